//! The scripts, which the server knows by their hash.

use std::sync::LazyLock;

use redis::Cmd;

/// A script with its prelude, and its hash.
pub(crate) struct Script {
    text: &'static str,
    hash: String,
}

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("../lua/prelude.lua"),
                "\n",
                include_str!(concat!("../lua/", $file))
            ))
        });
    };
}

/// One that also stores runs.
macro_rules! storing_script {
    ($name:ident, $file:literal) => {
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("../lua/prelude.lua"),
                "\n",
                include_str!("../lua/store_runs.lua"),
                "\n",
                include_str!(concat!("../lua/", $file))
            ))
        });
    };
}

storing_script!(ENQUEUE, "enqueue.lua");
storing_script!(WRITE_SCHEDULES, "write_schedules.lua");
script!(ANNOTATE, "annotate.lua");
script!(CHANGE, "change.lua");
script!(CLAIM, "claim.lua");
script!(DEAD_GROUPS, "dead_groups.lua");
script!(DUE_SCHEDULES, "due_schedules.lua");
script!(EXTEND, "extend.lua");
script!(GIVE_BACK, "give_back.lua");
script!(MARK_STARTED, "mark_started.lua");
script!(MATCHES, "matches.lua");
script!(PRUNE, "prune.lua");
script!(QUEUES, "queues.lua");
script!(RUN, "run.lua");
script!(RUNS, "runs.lua");
script!(SAVE_STEPS, "save_steps.lua");
script!(SCHEDULES, "schedules.lua");
script!(SETTLE, "settle.lua");
script!(SIZES, "sizes.lua");
script!(STORE_EVENTS, "store_events.lua");
script!(WAKE_FORGOTTEN, "wake_forgotten.lua");

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// Calls it by its hash.
    pub(crate) fn by_hash(&self, prefix: &str, arguments: &[Vec<u8>]) -> Cmd {
        call("EVALSHA", &self.hash, prefix, arguments)
    }

    /// Calls it by its text, after which the server knows it.
    pub(crate) fn by_text(&self, prefix: &str, arguments: &[Vec<u8>]) -> Cmd {
        call("EVAL", self.text, prefix, arguments)
    }
}

fn call(command: &str, script: &str, prefix: &str, arguments: &[Vec<u8>]) -> Cmd {
    let bytes: usize = arguments.iter().map(Vec::len).sum();
    let mut call = Cmd::with_capacity(arguments.len() + 4, bytes + script.len() + prefix.len() + 16);
    call.arg(command).arg(script).arg(1).arg(prefix);
    for argument in arguments {
        call.arg(argument.as_slice());
    }
    call
}

//! Limits of lengths, sizes and numbers, and the checks of them.

use crate::{
    Codec, Error, ErrorKind, NewRun, Payload,
    any_json::AnyJson,
    store::{EventStart, LackingPath, Replay},
};

/// The longest name of a job, queue, step, event or codec, in bytes.
pub const NAME_BYTES: usize = 128;
/// The longest event name, in bytes (the event API allows more than other names).
pub const EVENT_NAME_BYTES: usize = 512;
/// The longest unique key, event id or reference, in bytes.
pub const KEY_BYTES: usize = 512;
/// The longest error text that is kept with an attempt, in bytes; the rest is cut.
pub const ERROR_BYTES: usize = 8 * 1024;
/// The longest log line, progress text, reason of a pause or text of an action that is kept, in bytes; the rest is cut.
pub const TEXT_BYTES: usize = 1024;
/// How many log lines are kept with a run, newest last.
pub const LINES_KEPT: usize = 100;
/// How many attempt records are kept with a run, newest last.
pub const ATTEMPTS_KEPT: usize = 25;
/// Unique keys that start with this belong to events.
pub const EVENT_KEY_PREFIX: &str = "event/";

/// What a store accepts. The sizes can be set when the store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest input, in bytes. Default 1 MiB.
    pub input_bytes: usize,
    /// Largest result of a step and largest output, in bytes. Default 1 MiB.
    pub result_bytes: usize,
    /// Most runs in one group. Default 10,000.
    pub group_runs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { input_bytes: 1 << 20, result_bytes: 1 << 20, group_runs: 10_000 }
    }
}

impl Limits {
    /// Checks a group of runs as [`Queue::enqueue`](crate::Queue::enqueue) takes it.
    ///
    /// # Errors
    /// `Rejected`, with the index of the first faulty run, the field and the limit.
    pub fn check_group(&self, runs: &[NewRun]) -> Result<(), Error> {
        self.check_each(runs, |run| {
            let queue = &runs[0].queue;
            if run.queue != *queue {
                return Err(rejected(format!(
                    "a group must be of one queue; found {queue:?} and {:?}",
                    run.queue
                )));
            }
            Ok(())
        })
        .map_err(|error| error.of("enqueue"))
    }

    /// Checks runs of any queues that `operation` is given.
    ///
    /// # Errors
    /// As [`check_group`](Self::check_group).
    pub fn check_runs(&self, operation: &'static str, runs: &[NewRun]) -> Result<(), Error> {
        self.check_each(runs, |_| Ok(())).map_err(|error| error.of(operation))
    }

    /// Checks the runs that events start, of any queues and in any number. None can be in conflict with another.
    ///
    /// # Errors
    /// As [`check_group`](Self::check_group), with the index of the event.
    pub fn check_event_runs(&self, events: &[EventStart]) -> Result<(), Error> {
        for (index, start) in events.iter().enumerate() {
            let mut checked = check_size("input", &start.event.data, self.input_bytes);
            for job in &start.jobs {
                checked = checked
                    .and_then(|()| check_name("job", &job.name))
                    .and_then(|()| check_name("queue", &job.queue));
            }
            checked.map_err(|error| error.of("send_events").at_index(index))?;
        }
        Ok(())
    }

    fn check_each(&self, runs: &[NewRun], also: impl Fn(&NewRun) -> Result<(), Error>) -> Result<(), Error> {
        if runs.len() > self.group_runs {
            return Err(rejected(format!(
                "a group has at most {} runs; this one has {}",
                self.group_runs,
                runs.len()
            )));
        }
        for (index, run) in runs.iter().enumerate() {
            self.check_run(run).and_then(|()| also(run)).map_err(|error| error.at_index(index))?;
        }
        Ok(())
    }

    fn check_run(&self, run: &NewRun) -> Result<(), Error> {
        check_name("job", &run.job)?;
        check_name("queue", &run.queue)?;
        if run.event_id_kept.is_none() && run.tick.is_none() {
            check_lacking(run)?;
        }
        if let Some(unique) = &run.unique {
            check_key("unique key", &unique.key)?;
            if unique.key.starts_with(EVENT_KEY_PREFIX) {
                return Err(rejected(format!("unique key {:?} begins as the keys of events do", unique.key)));
            }
        }
        if let Some(reference) = &run.reference {
            check_key("reference", reference)?;
        }
        check_size("input", &run.input, self.input_bytes)
    }

    /// Checks the input of runs to come.
    pub(crate) fn check_input(&self, input: &Payload) -> Result<(), Error> {
        check_size("input", input, self.input_bytes).and_then(|()| check_json("input", input))
    }

    /// Checks the input that a replay gives to the new run.
    ///
    /// # Errors
    /// `Rejected`, with the limit and the size.
    pub fn check_replay(&self, replay: &Replay) -> Result<(), Error> {
        let Some(input) = &replay.input else { return Ok(()) };
        self.check_input(input).map_err(|error| error.of("replay"))
    }

    /// Checks the result of a step, or an output.
    ///
    /// # Errors
    /// `Rejected`, with the limit and the size.
    pub fn check_result(&self, field: &str, result: &Payload) -> Result<(), Error> {
        check_size(field, result, self.result_bytes).map_err(|error| error.of("encode"))
    }
}

/// Checks that the input has what the keys of its job are made of.
pub(crate) fn check_lacking(run: &NewRun) -> Result<(), Error> {
    let Some(LackingPath { rule, path }) = run.lacking.first() else { return Ok(()) };
    let job = &run.job;
    Err(rejected(format!(
        "the input of job {job:?} has no text, number or boolean at {path:?}, of which its {rule} is made"
    )))
}

fn check_size(field: &str, payload: &Payload, limit: usize) -> Result<(), Error> {
    if payload.bytes.len() > limit {
        let size = payload.bytes.len();
        return Err(rejected(format!("{field} has {size} bytes; the limit is {limit}")));
    }
    Ok(())
}

/// Checks the name of a job, queue or step: 1 to [`NAME_BYTES`] bytes, no control characters.
///
/// # Errors
/// `Rejected`, with the field and the limit.
pub fn check_name(field: &str, name: &str) -> Result<(), Error> {
    check_text(field, name, NAME_BYTES)
}

/// Checks a unique key, an event id or a reference: 1 to [`KEY_BYTES`] bytes, no control characters.
///
/// # Errors
/// `Rejected`, with the field and the limit.
pub fn check_key(field: &str, key: &str) -> Result<(), Error> {
    check_text(field, key, KEY_BYTES)
}

/// Deepest nesting accepted, counting the innermost value; a job can't decode deeper JSON.
pub const LEVELS: usize = 128;

/// Checks that a payload of JSON is what a job can read: syntax, depth, numbers, text.
///
/// # Errors
/// `Rejected`, with the field, and the limit or what is wrong.
pub fn check_json(field: &str, payload: &Payload) -> Result<(), Error> {
    if payload.codec != Codec::JSON {
        return Ok(());
    }
    serde_json::from_slice::<AnyJson>(&payload.bytes).map(drop).map_err(|error| {
        let problem = error.to_string();
        if problem.contains("recursion limit") {
            rejected(format!("{field} is nested deeper than {LEVELS} levels"))
        } else {
            rejected(format!("{field} is not JSON that a job can read: {problem}"))
        }
    })
}

pub(crate) fn check_text(field: &str, text: &str, limit: usize) -> Result<(), Error> {
    if text.is_empty() {
        return Err(rejected(format!("{field} is empty")));
    }
    if text.len() > limit {
        return Err(rejected(format!("{field} has {} bytes; the limit is {limit}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(rejected(format!("{field} contains a control character")));
    }
    Ok(())
}

/// Makes a text fit to be stored on every store: no NUL, at most `limit` bytes, cut at a character.
pub fn clean_text(text: &str, limit: usize) -> String {
    let mut clean = text.replace('\0', "\u{fffd}");
    if clean.len() > limit {
        let mut end = limit.saturating_sub('…'.len_utf8());
        while !clean.is_char_boundary(end) {
            end -= 1;
        }
        clean.truncate(end);
        clean.push('…');
    }
    clean
}

/// A text that every store accepts, whatever its encoding: printable ASCII, at most 500 bytes.
pub(crate) fn plain_text(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(500).collect()
}

fn rejected(message: String) -> Error {
    Error::new(ErrorKind::Rejected, "check", message)
}

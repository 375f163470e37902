//! What can be asked for: the commands and their options.

mod act;
mod care;
mod look;
mod which;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::{
    act::{Dead, DeadCommand, Enqueue, Many, OnRuns, Schedule, Schedules, SchedulesCommand, SendEvent},
    care::{Dashboard, Migrate, MigrateOnly, Prune},
    look::{Audit, Emails, EmailsCommand, Events, Runs, RunsCommand},
    which::{Page, Selection},
};

/// Inspect and operate a riqle-jobs store.
#[derive(Parser)]
#[command(name = "riqle-jobs", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Example: RIQLE_JOBS_URL=sqlite:jobs.db riqle-jobs status
Exit codes: 0 done, 1 refused, 2 usage, 3 not found, 4 store unavailable, 5 check failed")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// For every command.
#[derive(Args)]
pub(crate) struct Common {
    /// The store: sqlite:PATH, postgres://…, redis://… or redis-cluster://…
    #[arg(long, global = true, env = "RIQLE_JOBS_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Print one JSON object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Your name in the audit log [default: USER@HOST]
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Migrate the schema, or show what a migration would do
    #[command(after_help = "Example: riqle-jobs migrate --dry-run")]
    Migrate(Migrate),
    /// Overall health, what is wrong, and how to fix it
    #[command(after_help = "Example: riqle-jobs status --json")]
    Status,
    /// Queues, jobs, workers and problems on one screen, live
    #[command(
        after_help = "Example: riqle-jobs top --every 5s\nKeys: q quits, tab goes to the next table, arrows scroll it"
    )]
    Top {
        /// How often to look
        #[arg(long, default_value = "2s", value_name = "TIME")]
        every: String,
    },
    /// Queues: due, scheduled, running and waiting runs, and who paused them
    #[command(after_help = "Example: riqle-jobs queues")]
    Queues,
    /// Workers seen in the last 24 hours
    #[command(after_help = "Example: riqle-jobs workers")]
    Workers,
    /// Jobs that workers and producers have registered
    #[command(after_help = "Example: riqle-jobs jobs")]
    Jobs,
    /// List, show or follow runs
    #[command(after_help = "Example: riqle-jobs runs list --state dead --job send-welcome-email")]
    Runs(Runs),
    /// List or show emails, or resolve an unknown outcome
    #[command(after_help = "Example: riqle-jobs emails list --open")]
    Emails(Emails),
    /// Recent events and the runs they started
    #[command(after_help = "Example: riqle-jobs events --name shop/order.paid")]
    Events(Events),
    /// The audit log of operators' actions
    #[command(after_help = "Example: riqle-jobs audit --by anna")]
    Audit(Audit),
    /// Enqueue a run of a registered job
    #[command(after_help = "Example: riqle-jobs enqueue send-welcome-email userId=user-7 vip:=true\n\
                      Example: riqle-jobs enqueue resize --input '{\"image\": 7}'")]
    Enqueue(Enqueue),
    /// Send an event: starts a run of every job that it triggers
    #[command(after_help = "Example: riqle-jobs send-event shop/user.created userId=user-7")]
    SendEvent(SendEvent),
    /// Cancel a run, or all matching runs
    #[command(after_help = "Example: riqle-jobs cancel 0199…\nExample: riqle-jobs cancel --job resize --yes")]
    Cancel(OnRuns),
    /// Make a scheduled or waiting run due now, or all matching runs
    #[command(after_help = "Example: riqle-jobs run-now --job resize")]
    RunNow(OnRuns),
    /// Pause a queue: no run of it is claimed
    #[command(after_help = "Example: riqle-jobs pause email --why 'the provider refuses'")]
    Pause {
        /// The queue
        queue: String,
        /// Reason, for display
        #[arg(long, default_value = "", hide_default_value = true)]
        why: String,
    },
    /// Resume a paused queue
    #[command(after_help = "Example: riqle-jobs resume email")]
    Resume {
        /// The queue
        queue: String,
    },
    /// Drain a worker: it finishes its runs and claims no more
    #[command(after_help = "Example: riqle-jobs drain web-1-4711")]
    Drain {
        /// The id or label, as shown by `workers`
        worker: String,
        /// Let it claim runs again
        #[arg(long)]
        undo: bool,
    },
    /// List schedules and act on them
    #[command(
        after_help = "Example: riqle-jobs schedules next\nExample: riqle-jobs schedules trigger send-digest every-morning"
    )]
    Schedules(Schedules),
    /// List, replay or discard dead letters
    #[command(
        after_help = "Example: riqle-jobs dead list\nExample: riqle-jobs dead replay --error 5c1f… --rate 50/s"
    )]
    Dead(Dead),
    /// Check the store and its workers; exit code 5 if something is wrong
    #[command(after_help = "Example: riqle-jobs doctor --json")]
    Doctor,
    /// Delete old runs, events, emails and records
    #[command(after_help = "Example: riqle-jobs prune --ended 7d --events 7d")]
    Prune(Prune),
    /// Export a run as one redacted JSON object, for a bug report
    #[command(after_help = "Example: riqle-jobs export 0199… > run.json")]
    Export {
        /// The run's id
        run: String,
    },
    /// Print the text of /metrics once
    #[command(after_help = "Example: riqle-jobs metrics | grep oldest_due")]
    Metrics,
    /// Serve the dashboard for the store
    #[command(
        after_help = "Example: riqle-jobs dashboard --listen 127.0.0.1:9000\nRIQLE_JOBS_OPERATOR and RIQLE_JOBS_VIEWER name users as NAME:PASSWORD; without an operator, it prints a link with a token"
    )]
    Dashboard(Dashboard),
    /// Print the completions of a shell
    #[command(after_help = "Example: riqle-jobs completions bash > /etc/bash_completion.d/riqle-jobs")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_help = "Example: riqle-jobs man /usr/local/share/man/man1")]
    Man {
        /// The folder
        folder: PathBuf,
    },
}

//! What can be asked for: the commands and their options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

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

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Migrate {
    /// Print what would be applied, without applying it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(subcommand)]
    pub(crate) only: Option<MigrateOnly>,
}

#[derive(Subcommand)]
pub(crate) enum MigrateOnly {
    /// Print the SQL of the schema, for other migration tools
    #[command(after_help = "Example: riqle-jobs migrate print | psql shop")]
    Print,
    /// Compare the schema with this version; exit code 5 if migrations are pending
    #[command(after_help = "Example: riqle-jobs migrate status --json")]
    Status,
}

#[derive(Args)]
pub(crate) struct Runs {
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
}

#[derive(Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, newest first
    #[command(after_help = "Example: riqle-jobs runs list --state dead --limit 10")]
    List {
        #[command(flatten)]
        which: Selection,
        #[command(flatten)]
        page: Page,
    },
    /// Show a run with its attempts, steps, log and emails
    #[command(after_help = "Example: riqle-jobs runs show 0199…")]
    Show {
        /// Its id
        run: String,
    },
    /// Follow the newest 500 runs: print each when it is enqueued or changes state
    #[command(after_help = "Example: riqle-jobs runs tail --job resize")]
    Tail {
        #[command(flatten)]
        which: Selection,
    },
}

/// Which runs; by default, all.
#[derive(Args, Clone, Default)]
pub(crate) struct Selection {
    /// pending, running, waiting, succeeded, dead or cancelled
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// Of this job
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Of this queue
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// With this reference
    #[arg(long, value_name = "TEXT")]
    pub(crate) reference: Option<String>,
    /// With this unique key
    #[arg(long, value_name = "TEXT")]
    pub(crate) key: Option<String>,
    /// With this fingerprint of the newest error
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) error: Option<String>,
    /// Without any error
    #[arg(long, conflicts_with = "error")]
    pub(crate) without_error: bool,
    /// Enqueued at or after this time: 2026-11-26T08:30 (UTC), or 3h (ago)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Enqueued before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

/// Which page of a list.
#[derive(Args)]
pub(crate) struct Page {
    /// Page size, up to 1,000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Continue after this id, the last of the previous page
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<String>,
}

#[derive(Args)]
pub(crate) struct Emails {
    #[command(subcommand)]
    pub(crate) command: EmailsCommand,
}

#[derive(Subcommand)]
pub(crate) enum EmailsCommand {
    /// List emails, newest first
    #[command(after_help = "Example: riqle-jobs emails list --to anna@example.com")]
    List {
        /// pending, sent or failed
        #[arg(long)]
        status: Option<String>,
        /// To this address
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
        /// With this reference
        #[arg(long, value_name = "TEXT")]
        reference: Option<String>,
        /// Only those with an unknown outcome that needs a decision
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Show an email and its delivery events
    #[command(after_help = "Example: riqle-jobs emails show 0199…")]
    Show {
        /// Its id
        email: String,
    },
    /// Record whether an email with an unknown outcome was sent
    #[command(after_help = "Example: riqle-jobs emails resolve 0199… sent")]
    Resolve {
        /// Its id
        email: String,
        /// sent or not-sent
        #[arg(value_parser = ["sent", "not-sent"])]
        outcome: String,
    },
}

#[derive(Args)]
pub(crate) struct Events {
    /// Of this name
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) page: Page,
}

#[derive(Args)]
pub(crate) struct Audit {
    /// By this person
    #[arg(long)]
    pub(crate) by: Option<String>,
    /// Of this kind, such as replay or pause
    #[arg(long)]
    pub(crate) kind: Option<String>,
    #[command(flatten)]
    pub(crate) page: Page,
}

#[derive(Args)]
pub(crate) struct Enqueue {
    /// The job
    pub(crate) job: String,
    /// Fields of the input: key=text, or key:=json
    pub(crate) fields: Vec<String>,
    /// The input as JSON, or - for standard input
    #[arg(long, value_name = "JSON", conflicts_with = "fields")]
    pub(crate) input: Option<String>,
    /// The run's id (UUIDv7): repeating the command starts no second run
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<String>,
}

#[derive(Args)]
pub(crate) struct SendEvent {
    /// Its name
    pub(crate) name: String,
    /// Fields of the data: key=text, or key:=json
    pub(crate) fields: Vec<String>,
    /// The data as JSON, or - for standard input
    #[arg(long, value_name = "JSON", conflicts_with = "fields")]
    pub(crate) data: Option<String>,
    /// The event's id: sent again within 24 hours, it starts nothing
    #[arg(long, value_name = "TEXT")]
    pub(crate) id: Option<String>,
}

#[derive(Args)]
pub(crate) struct OnRuns {
    /// Ids of runs; if none, all matching runs
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) which: Selection,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// How an action on many is done.
#[derive(Args)]
pub(crate) struct Many {
    /// All runs, if no filter is given
    #[arg(long)]
    pub(crate) all: bool,
    /// Runs per second, at most
    #[arg(long, default_value = "100/s", value_name = "N/s")]
    pub(crate) rate: String,
    /// Skip the confirmation
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct Schedules {
    #[command(subcommand)]
    pub(crate) command: SchedulesCommand,
}

#[derive(Args)]
pub(crate) struct Schedule {
    /// The job
    pub(crate) job: String,
    /// The schedule's name
    pub(crate) name: String,
}

#[derive(Subcommand)]
pub(crate) enum SchedulesCommand {
    /// List schedules, by job and name
    #[command(after_help = "Example: riqle-jobs schedules list --prefix digest/")]
    List {
        /// Names starting with this
        #[arg(long, default_value = "", hide_default_value = true)]
        prefix: String,
        /// Page size, up to 1,000
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show the next ticks of a schedule
    #[command(after_help = "Example: riqle-jobs schedules next send-digest every-morning --ticks 3")]
    Next {
        #[command(flatten)]
        which: Schedule,
        /// Number of ticks
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        ticks: u16,
    },
    /// Pause a schedule; its runs continue
    #[command(
        after_help = "Example: riqle-jobs schedules pause send-digest every-morning --why 'wrong prices'"
    )]
    Pause {
        #[command(flatten)]
        which: Schedule,
        /// Reason, for display
        #[arg(long, default_value = "", hide_default_value = true)]
        why: String,
    },
    /// Resume a schedule, from now on
    #[command(after_help = "Example: riqle-jobs schedules resume send-digest every-morning")]
    Resume {
        #[command(flatten)]
        which: Schedule,
    },
    /// Start a run of a schedule now
    #[command(after_help = "Example: riqle-jobs schedules trigger send-digest every-morning")]
    Trigger {
        #[command(flatten)]
        which: Schedule,
    },
    /// Fill in the ticks of a past range, one run after the other
    #[command(
        after_help = "Example: riqle-jobs schedules backfill send-digest every-morning --from 2026-11-01T00:00 --until 2026-11-03T00:00"
    )]
    Backfill {
        #[command(flatten)]
        which: Schedule,
        /// Start of the range, included
        #[arg(long, value_name = "TIME")]
        from: String,
        /// End of the range, included
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Remove a schedule; its runs continue
    #[command(after_help = "Example: riqle-jobs schedules remove send-digest every-morning --yes")]
    Remove {
        #[command(flatten)]
        which: Schedule,
        /// Skip the confirmation
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args)]
pub(crate) struct Dead {
    #[command(subcommand)]
    pub(crate) command: DeadCommand,
}

#[derive(Subcommand)]
pub(crate) enum DeadCommand {
    /// List dead letters by job and error, newest first
    #[command(after_help = "Example: riqle-jobs dead list")]
    List {
        /// Number of groups, up to 1,000
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Replay dead letters, each from its failed step
    #[command(after_help = "Example: riqle-jobs dead replay --job resize --rate 50/s")]
    Replay(OnRuns),
    /// Delete dead letters
    #[command(after_help = "Example: riqle-jobs dead discard --error 5c1f… --yes")]
    Discard(OnRuns),
}

/// Maximum ages, such as 12h, 7d or 4w. Anything not given is kept.
#[derive(Args)]
pub(crate) struct Prune {
    /// Succeeded, cancelled and replayed runs, from their end
    #[arg(long, value_name = "AGE")]
    pub(crate) ended: Option<String>,
    /// Dead letters, from their end
    #[arg(long, value_name = "AGE")]
    pub(crate) dead: Option<String>,
    /// Events, from their arrival; at least 1d
    #[arg(long, value_name = "AGE")]
    pub(crate) events: Option<String>,
    /// Emails that are not pending, from their creation
    #[arg(long, value_name = "AGE")]
    pub(crate) emails: Option<String>,
    /// Job metrics
    #[arg(long, value_name = "AGE")]
    pub(crate) metrics: Option<String>,
    /// Actions of operators
    #[arg(long, value_name = "AGE")]
    pub(crate) actions: Option<String>,
    /// Skip the confirmation
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct Dashboard {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8288", value_name = "HOST:PORT")]
    pub(crate) listen: String,
}

//! What can be asked for: the commands and their options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Looks at a store of riqle-jobs, and acts on it.
#[derive(Parser)]
#[command(name = "riqle-jobs", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Example: RIQLE_JOBS_URL=sqlite:jobs.db riqle-jobs status
Exit codes: 0 done, 1 refused, 2 usage, 3 not found, 4 the store is away, 5 a check failed")]
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
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Who acts, for the audit log [default: USER@HOST]
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Bring the schema up to date, or show what that would do
    #[command(after_help = "Example: riqle-jobs migrate --dry-run")]
    Migrate(Migrate),
    /// How things are, and what to do about it
    #[command(after_help = "Example: riqle-jobs status --json")]
    Status,
    /// The queues: what is due, scheduled, running and waiting, and who paused them
    #[command(after_help = "Example: riqle-jobs queues")]
    Queues,
    /// The workers that were seen within a day
    #[command(after_help = "Example: riqle-jobs workers")]
    Workers,
    /// The jobs that workers and producers have announced
    #[command(after_help = "Example: riqle-jobs jobs")]
    Jobs,
    /// Look at runs: list, show, tail
    #[command(after_help = "Example: riqle-jobs runs list --state dead --job send-welcome-email")]
    Runs(Runs),
    /// Look at the email log: list, show
    #[command(after_help = "Example: riqle-jobs emails list --open")]
    Emails(Emails),
    /// The newest events, with the runs that they started
    #[command(after_help = "Example: riqle-jobs events --name shop/order.paid")]
    Events(Events),
    /// What operators did
    #[command(after_help = "Example: riqle-jobs audit --by anna")]
    Audit(Audit),
    /// Start a run of an announced job
    #[command(after_help = "Example: riqle-jobs enqueue send-welcome-email userId=user-7 vip:=true\n\
                      Example: riqle-jobs enqueue resize --input '{\"image\": 7}'")]
    Enqueue(Enqueue),
    /// Send an event, which starts a run of each job that it triggers
    #[command(after_help = "Example: riqle-jobs send-event shop/user.created userId=user-7")]
    SendEvent(SendEvent),
    /// Cancel a run, or all that match
    #[command(after_help = "Example: riqle-jobs cancel 0199…\nExample: riqle-jobs cancel --job resize --yes")]
    Cancel(OnRuns),
    /// Make due now a run that waits for its time, or all that match
    #[command(after_help = "Example: riqle-jobs run-now --job resize")]
    RunNow(OnRuns),
    /// Stop handing out the runs of a queue
    #[command(after_help = "Example: riqle-jobs pause email --why 'the provider refuses'")]
    Pause {
        /// The queue
        queue: String,
        /// Why, for others
        #[arg(long, default_value = "", hide_default_value = true)]
        why: String,
    },
    /// Hand out the runs of a queue again
    #[command(after_help = "Example: riqle-jobs resume email")]
    Resume {
        /// The queue
        queue: String,
    },
    /// Tell a worker to take no more runs
    #[command(after_help = "Example: riqle-jobs drain web-1-4711")]
    Drain {
        /// Its id or label, as `workers` shows them
        worker: String,
        /// Let it take runs again
        #[arg(long)]
        undo: bool,
    },
    /// Look at schedules and act on them
    #[command(
        after_help = "Example: riqle-jobs schedules next\nExample: riqle-jobs schedules trigger send-digest every-morning"
    )]
    Schedules(Schedules),
    /// Look at dead letters, replay or discard them
    #[command(
        after_help = "Example: riqle-jobs dead list\nExample: riqle-jobs dead replay --error 5c1f… --rate 50/s"
    )]
    Dead(Dead),
    /// Check the store and what runs on it; exit code 5 where something is wrong
    #[command(after_help = "Example: riqle-jobs doctor --json")]
    Doctor,
    /// Delete what is older than it need be kept
    #[command(after_help = "Example: riqle-jobs prune --ended 7d --events 7d")]
    Prune(Prune),
    /// All about a run as one JSON object without secrets, for a bug report
    #[command(after_help = "Example: riqle-jobs export 0199… > run.json")]
    Export {
        /// The run's id
        run: String,
    },
    /// What /metrics serves, once
    #[command(after_help = "Example: riqle-jobs metrics | grep oldest_due")]
    Metrics,
    /// Serve the dashboard of the store
    #[command(
        after_help = "Example: riqle-jobs dashboard --listen 127.0.0.1:9000\nRIQLE_JOBS_OPERATOR and RIQLE_JOBS_VIEWER name users as NAME:PASSWORD; without an operator it prints a link that lets in"
    )]
    Dashboard(Dashboard),
    /// Print the completions of a shell
    #[command(after_help = "Example: riqle-jobs completions bash > /etc/bash_completion.d/riqle-jobs")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages to a folder
    #[command(after_help = "Example: riqle-jobs man /usr/local/share/man/man1")]
    Man {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Migrate {
    /// Say what would be applied, and apply nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(subcommand)]
    pub(crate) only: Option<MigrateOnly>,
}

#[derive(Subcommand)]
pub(crate) enum MigrateOnly {
    /// Print the SQL that builds the schema, for migrating by other means
    #[command(after_help = "Example: riqle-jobs migrate print | psql shop")]
    Print,
    /// How the schema stands to this version; exit code 5 where it must be migrated
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
    /// Show everything about a run: attempts, steps, log, emails
    #[command(after_help = "Example: riqle-jobs runs show 0199…")]
    Show {
        /// Its id
        run: String,
    },
    /// Print each run as it comes or ends, until interrupted
    #[command(after_help = "Example: riqle-jobs runs tail --job resize")]
    Tail {
        #[command(flatten)]
        which: Selection,
    },
}

/// Which runs. Nothing given means all.
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
    /// With this reference of the application
    #[arg(long, value_name = "TEXT")]
    pub(crate) reference: Option<String>,
    /// With this unique key
    #[arg(long, value_name = "TEXT")]
    pub(crate) key: Option<String>,
    /// With this fingerprint of the newest error
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) error: Option<String>,
    /// Enqueued then or later: 2026-11-26T08:30 in UTC, or 3h (ago)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Enqueued before
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

/// Which page of a list.
#[derive(Args)]
pub(crate) struct Page {
    /// At most so many, up to 1,000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Those before this id, the last of the page before
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
        /// Those whose outcome is unknown, and waits for an operator
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Show an email and what happened to it
    #[command(after_help = "Example: riqle-jobs emails show 0199…")]
    Show {
        /// Its id
        email: String,
    },
    /// Say whether an email was sent whose outcome is unknown
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
    /// A field of the input: key=text, or key:=json
    pub(crate) fields: Vec<String>,
    /// The input as JSON, or - to read it from standard input
    #[arg(long, value_name = "JSON", conflicts_with = "fields")]
    pub(crate) input: Option<String>,
    /// The run's id, a UUID of version 7: given twice, it starts one run
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<String>,
}

#[derive(Args)]
pub(crate) struct SendEvent {
    /// Its name
    pub(crate) name: String,
    /// A field of its data: key=text, or key:=json
    pub(crate) fields: Vec<String>,
    /// Its data as JSON, or - to read it from standard input
    #[arg(long, value_name = "JSON", conflicts_with = "fields")]
    pub(crate) data: Option<String>,
    /// Its id: sent twice within a day, it starts its jobs once
    #[arg(long, value_name = "TEXT")]
    pub(crate) id: Option<String>,
}

#[derive(Args)]
pub(crate) struct OnRuns {
    /// The runs' ids; without any, all that match
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) which: Selection,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// How an action on many is done.
#[derive(Args)]
pub(crate) struct Many {
    /// All runs, where nothing says which
    #[arg(long)]
    pub(crate) all: bool,
    /// At most so many a second
    #[arg(long, default_value = "100/s", value_name = "N/s")]
    pub(crate) rate: String,
    /// Do not ask
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
        /// With names that begin so
        #[arg(long, default_value = "", hide_default_value = true)]
        prefix: String,
        /// At most so many, up to 1,000
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// The next ticks of a schedule
    #[command(after_help = "Example: riqle-jobs schedules next send-digest every-morning --ticks 3")]
    Next {
        #[command(flatten)]
        which: Schedule,
        /// How many
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        ticks: u16,
    },
    /// Stop its ticks; its runs stay
    #[command(
        after_help = "Example: riqle-jobs schedules pause send-digest every-morning --why 'wrong prices'"
    )]
    Pause {
        #[command(flatten)]
        which: Schedule,
        /// Why, for others
        #[arg(long, default_value = "", hide_default_value = true)]
        why: String,
    },
    /// Let it tick again, from now on
    #[command(after_help = "Example: riqle-jobs schedules resume send-digest every-morning")]
    Resume {
        #[command(flatten)]
        which: Schedule,
    },
    /// Start a run of it now
    #[command(after_help = "Example: riqle-jobs schedules trigger send-digest every-morning")]
    Trigger {
        #[command(flatten)]
        which: Schedule,
    },
    /// Fill in the ticks of a range, one run after the other
    #[command(
        after_help = "Example: riqle-jobs schedules backfill send-digest every-morning --from 2026-11-01T00:00 --until 2026-11-03T00:00"
    )]
    Backfill {
        #[command(flatten)]
        which: Schedule,
        /// The first tick may be then
        #[arg(long, value_name = "TIME")]
        from: String,
        /// The last tick may be then
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Remove it; its runs stay
    #[command(after_help = "Example: riqle-jobs schedules remove send-digest every-morning --yes")]
    Remove {
        #[command(flatten)]
        which: Schedule,
        /// Do not ask
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
    /// Dead letters by job and error, newest first
    #[command(after_help = "Example: riqle-jobs dead list")]
    List {
        /// At most so many groups, up to 1,000
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Start dead letters again, each from its failed step
    #[command(after_help = "Example: riqle-jobs dead replay --job resize --rate 50/s")]
    Replay(OnRuns),
    /// Delete dead letters
    #[command(after_help = "Example: riqle-jobs dead discard --error 5c1f… --yes")]
    Discard(OnRuns),
}

/// How long things are kept: 12h, 7d, 4w, or forever. What is not given stays.
#[derive(Args)]
pub(crate) struct Prune {
    /// Succeeded, cancelled and replayed runs, from their end
    #[arg(long, value_name = "AGE")]
    pub(crate) ended: Option<String>,
    /// Dead letters, from their end
    #[arg(long, value_name = "AGE")]
    pub(crate) dead: Option<String>,
    /// Events, from their arrival; a day at least
    #[arg(long, value_name = "AGE")]
    pub(crate) events: Option<String>,
    /// Emails that are not pending, from their creation
    #[arg(long, value_name = "AGE")]
    pub(crate) emails: Option<String>,
    /// Figures of jobs
    #[arg(long, value_name = "AGE")]
    pub(crate) metrics: Option<String>,
    /// Actions of operators
    #[arg(long, value_name = "AGE")]
    pub(crate) actions: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct Dashboard {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8288", value_name = "HOST:PORT")]
    pub(crate) listen: String,
}

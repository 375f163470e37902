//! The options of commands that act.

use clap::{Args, Subcommand};

use super::Selection;

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

//! The options of commands that look.

use clap::{Args, Subcommand};

use super::{Page, Selection};

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

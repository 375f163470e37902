//! The options of commands that take care of the store.

use clap::{Args, Subcommand};

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

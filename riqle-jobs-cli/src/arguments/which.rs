//! What several commands ask: which runs, and which page of a list.

use clap::Args;

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

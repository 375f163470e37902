//! What the three jobs share.

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{Error, JobError, Mailbox, Receipt, RetryPolicy};
use serde::{Deserialize, Serialize};

/// The outcome of an order's email.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Delivery {
    /// The provider accepted it.
    Sent(Receipt),
    /// The order was already marked, so nothing was sent.
    AlreadyDone {
        /// When it was marked.
        at: Timestamp,
    },
}

/// Waits 1, 2, 4 s and so on.
pub(super) fn policy(max_retries: u32) -> RetryPolicy {
    RetryPolicy::exponential(Duration::from_secs(1)).max_retries(max_retries)
}

/// No retry changes the address.
pub(super) fn recipient(field: &str, address: &str) -> Result<Mailbox, JobError> {
    Mailbox::parse(address).map_err(|error| dead(&error).context(field))
}

/// No retry changes content that is refused.
pub(super) fn dead(error: &Error) -> JobError {
    JobError::dead(error.message())
}

//! What the three jobs share.

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{Error, JobError, Mailbox, Receipt, RetryPolicy};
use serde::{Deserialize, Serialize};

/// What became of the email of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Delivery {
    /// The provider has taken it.
    Sent(Receipt),
    /// The order was marked before, so nothing was sent.
    AlreadyDone {
        /// When it was marked.
        at: Timestamp,
    },
}

/// Waits 1, 2, 4 s and so on.
pub(super) fn policy(max_retries: u32) -> RetryPolicy {
    RetryPolicy::exponential(Duration::from_secs(1)).max_retries(max_retries)
}

/// No attempt makes another address of it.
pub(super) fn recipient(field: &str, address: &str) -> Result<Mailbox, JobError> {
    Mailbox::parse(address).map_err(|error| dead(&error).context(field))
}

/// No attempt changes what is refused for its content.
pub(super) fn dead(error: &Error) -> JobError {
    JobError::dead(error.message())
}

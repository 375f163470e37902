//! The three email jobs of a shop, over its [`Orders`](crate::Orders).
//!
//! All of them use the queue `email` and retry after 1, 2, 4 s, as often as each says. Register them with a
//! worker; start them by their events, by the functions here, or in a transaction by the `new_run` of their
//! inputs.

mod purchase_confirmation;
mod refund_notification;
pub mod steps;
mod welcome_email;

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{Error, JobError, Mailbox, Receipt, RetryPolicy};
use serde::{Deserialize, Serialize};

pub use self::{
    purchase_confirmation::{PurchaseConfirmation, SendPurchaseConfirmation, enqueue_purchase_confirmation},
    refund_notification::{RefundNotification, SendRefundNotification, enqueue_refund_notification},
    welcome_email::{SendWelcomeEmail, WelcomeEmail, enqueue_welcome_email},
};

/// The queue of all three.
const QUEUE: &str = "email";

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
fn policy(max_retries: u32) -> RetryPolicy {
    RetryPolicy::exponential(Duration::from_secs(1)).max_retries(max_retries)
}

/// No retry changes the address.
fn recipient(field: &str, address: &str) -> Result<Mailbox, JobError> {
    Mailbox::parse(address).map_err(|error| dead(&error).context(field))
}

/// No retry changes content that is refused.
fn dead(error: &Error) -> JobError {
    JobError::dead(error.message())
}

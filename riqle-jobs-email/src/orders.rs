use jiff::Timestamp;
use riqle_jobs_core::{JobError, async_trait};

use crate::Order;

/// The application's orders, as the email jobs need them.
///
/// Errors of a database driver turn into a [`JobError`] by `?`, and are retried by the job's policy.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Orders: Send + Sync {
    /// An order with its items and products; `None` where there is none, which makes a dead letter at once.
    async fn order(&self, id: &str) -> Result<Option<Order>, JobError>;

    /// When the order was marked fulfilled; asked once more just before the email goes out, so that a run that
    /// was dead for a week does not confirm what another run has confirmed.
    async fn fulfilled_at(&self, id: &str) -> Result<Option<Timestamp>, JobError>;

    /// When the order was marked refunded; asked once more just before the email goes out.
    async fn refunded_at(&self, id: &str) -> Result<Option<Timestamp>, JobError>;

    /// The confirmation has left: sets `fulfilledAt` where it is not set yet. May be called again for the same
    /// order.
    async fn mark_fulfilled(&self, id: &str) -> Result<(), JobError>;

    /// The refund notification has left: sets `refundedAt` where it is not set yet. May be called again for the
    /// same order.
    async fn mark_refunded(&self, id: &str) -> Result<(), JobError>;
}

//! The application's orders, as the email jobs read and mark them.

use jiff::Timestamp;
use riqle_jobs_core::{JobError, async_trait};

use crate::{Money, Order, Refund};

/// The application's orders, as the email jobs need them.
///
/// Errors of a database driver turn into a [`JobError`] by `?`, and are retried by the job's policy.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Orders: Send + Sync {
    /// An order with its items and products; `None` if there is none, which makes a dead letter at once.
    async fn order(&self, id: &str) -> Result<Option<Order>, JobError>;

    /// When the order was marked fulfilled; read again just before the email goes out, so that a run replayed
    /// after a week does not confirm what another run has confirmed.
    async fn fulfilled_at(&self, id: &str) -> Result<Option<Timestamp>, JobError>;

    /// When the order was marked refunded; read again just before the email goes out, if the refund has no id.
    async fn refunded_at(&self, id: &str) -> Result<Option<Timestamp>, JobError>;

    /// Adds a refund to its order, once per refund id, and returns how much it gives back: the same again if it
    /// was added before. [`Refund::amount_of`] decides; two concurrent refunds of an order must each see the
    /// other. `None` if the order's purchase is not there yet: it is asked again, for up to three days.
    ///
    /// By default nothing is added: a refund is checked against the order's total alone. An application with
    /// partial refunds stores its refunds here.
    async fn add_refund(&self, order_id: &str, refund: &Refund) -> Result<Option<Money>, JobError> {
        let Some(order) = self.order(order_id).await? else { return Ok(None) };
        refund.amount_of(order.total, 0).map(Some)
    }

    /// The buyer's address, for a refund that names none. By default `None`: such a refund makes a dead letter.
    async fn customer_email(&self, _order_id: &str) -> Result<Option<String>, JobError> {
        Ok(None)
    }

    /// The confirmation has left: sets `fulfilledAt` unless it is set. May be called again for the same order.
    async fn mark_fulfilled(&self, id: &str) -> Result<(), JobError>;

    /// A refund notification has left: sets `refundedAt` unless it is set, so that it is the time of the first.
    /// Called for each refund of the order, and maybe again for the same one.
    async fn mark_refunded(&self, id: &str) -> Result<(), JobError>;
}

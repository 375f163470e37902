use riqle_jobs_core::{Enqueued, Error, JobInput, Jobs, Key, Unique};
use serde::{Deserialize, Serialize};

use super::QUEUE;
use crate::{Locale, Refund, locale};

/// The input of `SendRefundNotification`, and the data of its event:
/// `{"orderId", "customerEmail"?, "refundReason"?, "refund"?: {"id", "amount", "currency"}}`.
///
/// With a refund, its amount is told, once for its id. Without, what was refunded of the order so far
/// (`Order::refund`), unless the customer was told of a refund before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundNotification {
    /// The order.
    pub order_id: String,
    /// Where to; `None` to who bought (`Orders::customer_email`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_email: Option<String>,
    /// Which refund; `None` for all that was refunded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<Refund>,
    /// Why; shown to the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_reason: Option<String>,
    /// The language of the email, such as `de`; without one, or with one that has no texts, the brand's.
    #[serde(default, deserialize_with = "locale::optional", skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
}

impl RefundNotification {
    /// For an order, to who bought.
    pub fn new(order_id: impl Into<String>, customer_email: impl Into<String>) -> Self {
        Self {
            order_id: order_id.into(),
            customer_email: Some(customer_email.into()),
            refund: None,
            refund_reason: None,
            locale: None,
        }
    }

    /// Tells the customer why.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.refund_reason = Some(reason.into());
        self
    }

    /// Says which refund.
    #[must_use]
    pub fn refund(mut self, refund: Refund) -> Self {
        self.refund = Some(refund);
        self
    }
}

impl JobInput for RefundNotification {
    const JOB: &'static str = "send-refund-notification";
    const TRIGGER: Option<&'static str> = Some("email/refund-notification");
    const QUEUE: &'static str = QUEUE;
    // An order may be refunded in parts, so a run that names no refund has no key.
    const UNIQUE: Option<Unique> = Some(Unique::by("refund/{orderId}/{refund.id?}"));
    const REFERENCE: Option<Key> = Some(Key::by("{orderId}"));
}

/// Enqueues the notification of what was refunded of an order; that of one refund is enqueued by its input.
///
/// # Errors
/// `Rejected` for an input over the limit; `Unavailable`.
pub async fn enqueue_refund_notification(
    jobs: &Jobs,
    order_id: impl Into<String> + Send,
    customer_email: impl Into<String> + Send,
    refund_reason: Option<String>,
) -> Result<Enqueued, Error> {
    jobs.enqueue(RefundNotification { refund_reason, ..RefundNotification::new(order_id, customer_email) })
        .await
}

//! The input of the job that tells customers of refunds, and how it is enqueued.

use riqle_jobs_core::{Enqueued, Error, JobInput, Jobs, Key, Unique};
use serde::{Deserialize, Serialize};

use super::QUEUE;
use crate::{Locale, Refund, locale};

/// The input of `SendRefundNotification`, and the data of its event:
/// `{"orderId", "customerEmail"?, "refundReason"?, "refund"?: {"id", "amount", "currency"}}`.
///
/// With a refund, the customer is told its amount, once per refund id. Without, what was refunded of the order
/// so far (`Order::refund`), unless the customer was told of a refund before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundNotification {
    /// The order.
    pub order_id: String,
    /// The recipient; `None` for the buyer (`Orders::customer_email`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_email: Option<String>,
    /// Which refund; `None` for everything refunded so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<Refund>,
    /// The reason, shown to the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_reason: Option<String>,
    /// The language of the email, such as `de`; the brand's if there is none, or one without texts.
    #[serde(default, deserialize_with = "locale::optional", skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
}

impl RefundNotification {
    /// For an order, to its buyer.
    pub fn new(order_id: impl Into<String>, customer_email: impl Into<String>) -> Self {
        Self {
            order_id: order_id.into(),
            customer_email: Some(customer_email.into()),
            refund: None,
            refund_reason: None,
            locale: None,
        }
    }

    /// Sets the reason, shown to the customer.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.refund_reason = Some(reason.into());
        self
    }

    /// Sets which refund.
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
    jobs: &Jobs<impl Send + Sync>,
    order_id: impl Into<String> + Send,
    customer_email: impl Into<String> + Send,
    refund_reason: Option<String>,
) -> Result<Enqueued, Error> {
    jobs.enqueue(RefundNotification { refund_reason, ..RefundNotification::new(order_id, customer_email) })
        .await
}

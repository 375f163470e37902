use std::sync::Arc;

use riqle_jobs_core::{
    Enqueued, Error, Job, JobError, Jobs, NewRun, RetryPolicy, RunContext, Sender, async_trait,
};
use serde::{Deserialize, Serialize};

use super::{
    Delivery, QUEUE, policy, recipient,
    steps::{FetchOrder, MarkRefunded, NotifyOfRefund},
};
use crate::{
    Brand, Locale, Orders, locale,
    templates::{StandardTemplates, Templates},
};

/// The input of [`SendRefundNotification`], and the data of its event:
/// `{"orderId", "customerEmail", "refundReason"?}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundNotification {
    /// The order.
    pub order_id: String,
    /// Who bought.
    pub customer_email: String,
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
            customer_email: customer_email.into(),
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

    /// A run to be enqueued, such as in the transaction that marks the refund. Its reference is the order's id. It
    /// has no unique key, since an order may be refunded in parts.
    ///
    /// # Errors
    /// None that a caller could cause; ids over the limit are refused by the enqueue.
    pub fn new_run(&self) -> Result<NewRun, Error> {
        Ok(NewRun::of::<SendRefundNotification>(self)?.reference(&self.order_id))
    }
}

/// Enqueues the notification of a refund.
///
/// # Errors
/// `Rejected` for ids over the limit; `Unavailable`.
pub async fn enqueue_refund_notification(
    jobs: &Jobs,
    order_id: impl Into<String> + Send,
    customer_email: impl Into<String> + Send,
    refund_reason: Option<String>,
) -> Result<Enqueued, Error> {
    let input = RefundNotification { refund_reason, ..RefundNotification::new(order_id, customer_email) };
    let reference = input.order_id.clone();
    jobs.enqueue::<SendRefundNotification>(input).reference(reference).await
}

/// Tells a customer of a refund, then marks the order refunded: with 2 retries, after 1, 2 s.
///
/// Steps: `fetch-order`, `send-email`, `mark-refunded`. An order that is marked refunded gets no second email; one
/// that does not exist, or whose refund is more than its total, makes a dead letter at once.
pub struct SendRefundNotification {
    fetch_order: FetchOrder,
    send_email: NotifyOfRefund,
    mark_refunded: MarkRefunded,
}

impl SendRefundNotification {
    /// For the orders of a shop.
    pub fn new(orders: Arc<dyn Orders>, sender: Sender, brand: Brand) -> Self {
        Self {
            fetch_order: FetchOrder { orders: Arc::clone(&orders) },
            send_email: NotifyOfRefund {
                orders: Arc::clone(&orders),
                sender,
                brand,
                templates: Arc::new(StandardTemplates),
            },
            mark_refunded: MarkRefunded { orders },
        }
    }

    /// Renders with the application's own templates.
    #[must_use]
    pub fn templates(mut self, templates: Arc<dyn Templates>) -> Self {
        self.send_email.templates = templates;
        self
    }
}

#[async_trait]
impl Job for SendRefundNotification {
    const NAME: &'static str = "send-refund-notification";
    const TRIGGER: Option<&'static str> = Some("email/refund-notification");
    const QUEUE: &'static str = QUEUE;
    type Input = RefundNotification;
    type Output = Delivery;

    fn retry_policy(&self) -> RetryPolicy {
        policy(2)
    }

    async fn run(&self, run: &RunContext, input: RefundNotification) -> Result<Delivery, JobError> {
        let to = recipient("customerEmail", &input.customer_email)?;
        let order = run.step_with(&self.fetch_order, input.order_id.clone()).await?;
        if let Some(at) = order.refunded_at {
            return Ok(Delivery::AlreadyDone { at });
        }
        let delivery =
            run.step_with(&self.send_email, (order, input.refund_reason, to, input.locale)).await?;
        if let Delivery::Sent(_) = delivery {
            run.step_with(&self.mark_refunded, input.order_id).await?;
        }
        Ok(delivery)
    }
}

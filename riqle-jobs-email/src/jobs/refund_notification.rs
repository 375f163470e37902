use std::sync::Arc;

use riqle_jobs_core::{
    Enqueued, Error, Job, JobError, JobInput, Jobs, NewRun, RetryPolicy, RunContext, Sender,
};
use serde::{Deserialize, Serialize};

use super::{
    Delivery, QUEUE, policy, recipient,
    steps::{AddRefund, FetchOrder, MarkRefunded, NotifyOfRefund, RefundToTell},
};
use crate::{
    Brand, Locale, Orders, Refund, locale,
    templates::{StandardTemplates, Templates},
};

/// The input of [`SendRefundNotification`], and the data of its event:
/// `{"orderId", "customerEmail"?, "refundReason"?, "refund"?: {"id", "amount", "currency"}}`.
///
/// With a refund, the customer is told its amount, once per refund id. Without, what was refunded of the order
/// so far ([`Order::refund`](crate::Order::refund)), unless the customer was told of a refund before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundNotification {
    /// The order.
    pub order_id: String,
    /// The recipient; `None` for the buyer ([`Orders::customer_email`]).
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

    /// A run to enqueue, such as in the transaction that marks the refund. Its reference is the order's id. A
    /// refund has at most one such run at a time; a run that names none has no unique key, since an order may
    /// be refunded in parts.
    ///
    /// # Errors
    /// None that a caller could cause; ids over the limit are refused by the enqueue.
    pub fn new_run(&self) -> Result<NewRun, Error> {
        let run = NewRun::of(self)?.reference(&self.order_id);
        Ok(match &self.refund {
            Some(refund) => run.unique(refund.unique_key(&self.order_id)),
            None => run,
        })
    }
}

/// Enqueues the notification of what was refunded of an order; for one refund, see
/// [`RefundNotification::new_run`].
///
/// # Errors
/// `Rejected` for ids over the limit; `Unavailable`.
pub async fn enqueue_refund_notification(
    jobs: &Jobs<impl Send + Sync>,
    order_id: impl Into<String> + Send,
    customer_email: impl Into<String> + Send,
    refund_reason: Option<String>,
) -> Result<Enqueued, Error> {
    let input = RefundNotification { refund_reason, ..RefundNotification::new(order_id, customer_email) };
    let reference = input.order_id.clone();
    jobs.enqueue(input).reference(reference).await
}

/// Tells a customer of a refund, then marks the order refunded: with 2 retries, after 1, 2 s.
///
/// Steps: `add-refund` if the input names a refund, `fetch-order`, `send-email`, `mark-refunded`. The customer
/// is told of a refund once per id; while its order's purchase is not there the run snoozes, for up to three
/// days. Without one, an order that is marked refunded gets no second email, and one that does not exist makes
/// a dead letter at once. A refund of more than is left of the total, of zero, or in another currency makes a
/// dead letter at once and is reported to `on_alert`.
pub struct SendRefundNotification {
    add_refund: AddRefund,
    fetch_order: FetchOrder,
    send_email: NotifyOfRefund,
    mark_refunded: MarkRefunded,
}

impl SendRefundNotification {
    /// For the orders of a shop.
    pub fn new(orders: Arc<dyn Orders>, sender: Sender, brand: Brand) -> Self {
        Self {
            add_refund: AddRefund { orders: Arc::clone(&orders) },
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

impl JobInput for RefundNotification {
    const JOB: &'static str = "send-refund-notification";
    const TRIGGER: Option<&'static str> = Some("email/refund-notification");
    const QUEUE: &'static str = QUEUE;
}

impl Job for SendRefundNotification {
    type Input = RefundNotification;
    type Output = Delivery;

    fn retry_policy(&self) -> RetryPolicy {
        policy(2)
    }

    async fn run(&self, run: &RunContext, input: RefundNotification) -> Result<Delivery, JobError> {
        let RefundNotification { order_id, customer_email, refund, refund_reason: reason, locale } = input;
        let address = customer_email.filter(|address| !address.is_empty());
        let to = address.map(|address| recipient("customerEmail", &address)).transpose()?;
        let added = match &refund {
            Some(refund) => {
                let input = (order_id.clone(), refund.clone(), run.age());
                Some(run.step_with(&self.add_refund, input).await?)
            }
            None => None,
        };
        let mut order = run.step_with(&self.fetch_order, order_id.clone()).await?;
        match (added, order.refunded_at) {
            (Some(amount), _) => order.refunded = Some(amount),
            (None, Some(at)) => return Ok(Delivery::AlreadyDone { at }),
            (None, None) => {}
        }
        let told = RefundToTell { order, refund, reason, to, locale };
        let delivery = run.step_with(&self.send_email, told).await?;
        if let Delivery::Sent(_) = delivery {
            run.step_with(&self.mark_refunded, order_id).await?;
        }
        Ok(delivery)
    }
}

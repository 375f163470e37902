//! The job that tells a customer of a refund, then marks the order refunded.

use std::sync::Arc;

use riqle_jobs_core::{Job, JobError, RetryPolicy, RunContext, Sender};

use super::{
    RefundNotification,
    delivery::{Delivery, policy, recipient},
    steps::{AddRefund, FetchOrder, MarkRefunded, NotifyOfRefund, RefundToTell},
};
use crate::{
    Brand, Orders,
    templates::{StandardTemplates, Templates},
};

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

//! The job that sends the receipt of a paid order, then marks the order fulfilled.

use std::sync::Arc;

use riqle_jobs_core::{Job, JobError, RetryPolicy, RunContext, Sender};

use super::{
    PurchaseConfirmation,
    delivery::{Delivery, policy, recipient},
    steps::{ConfirmPurchase, FetchOrder, MarkFulfilled},
};
use crate::{
    Brand, Orders,
    templates::{StandardTemplates, Templates},
};

/// Sends the receipt of a paid order, then marks the order fulfilled: with 3 retries, after 1, 2, 4 s.
///
/// Steps: `fetch-order`, `send-email`, `mark-fulfilled`. An order that is fulfilled gets no second email; one that
/// does not exist, or whose items don't add up, makes a dead letter at once.
pub struct SendPurchaseConfirmation {
    fetch_order: FetchOrder,
    send_email: ConfirmPurchase,
    mark_fulfilled: MarkFulfilled,
}

impl SendPurchaseConfirmation {
    /// For the orders of a shop.
    pub fn new(orders: Arc<dyn Orders>, sender: Sender, brand: Brand) -> Self {
        Self {
            fetch_order: FetchOrder { orders: Arc::clone(&orders) },
            send_email: ConfirmPurchase {
                orders: Arc::clone(&orders),
                sender,
                brand,
                templates: Arc::new(StandardTemplates),
            },
            mark_fulfilled: MarkFulfilled { orders },
        }
    }

    /// Renders with the application's own templates.
    #[must_use]
    pub fn templates(mut self, templates: Arc<dyn Templates>) -> Self {
        self.send_email.templates = templates;
        self
    }
}

impl Job for SendPurchaseConfirmation {
    type Input = PurchaseConfirmation;
    type Output = Delivery;

    fn retry_policy(&self) -> RetryPolicy {
        policy(3)
    }

    async fn run(&self, run: &RunContext, input: PurchaseConfirmation) -> Result<Delivery, JobError> {
        let to = recipient("customerEmail", &input.customer_email)?;
        let order = run.step_with(&self.fetch_order, input.order_id.clone()).await?;
        if let Some(at) = order.fulfilled_at {
            return Ok(Delivery::AlreadyDone { at });
        }
        let delivery = run.step_with(&self.send_email, (order, to, input.locale)).await?;
        if let Delivery::Sent(_) = delivery {
            run.step_with(&self.mark_fulfilled, input.order_id).await?;
        }
        Ok(delivery)
    }
}

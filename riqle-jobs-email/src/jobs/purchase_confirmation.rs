use std::sync::Arc;

use riqle_jobs_core::{
    Enqueued, Error, Job, JobError, JobInput, Jobs, NewRun, RetryPolicy, RunContext, Sender,
};
use serde::{Deserialize, Serialize};

use super::{
    Delivery, QUEUE, policy, recipient,
    steps::{ConfirmPurchase, FetchOrder, MarkFulfilled},
};
use crate::{
    Brand, Locale, Orders, locale,
    templates::{StandardTemplates, Templates},
};

/// The input of [`SendPurchaseConfirmation`], and the data of its event: `{"orderId", "customerEmail"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurchaseConfirmation {
    /// The order.
    pub order_id: String,
    /// The buyer's address.
    pub customer_email: String,
    /// The language of the email, such as `de`; the brand's if there is none, or one without texts.
    #[serde(default, deserialize_with = "locale::optional", skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
}

impl PurchaseConfirmation {
    /// For an order, to its buyer.
    pub fn new(order_id: impl Into<String>, customer_email: impl Into<String>) -> Self {
        Self { order_id: order_id.into(), customer_email: customer_email.into(), locale: None }
    }

    /// A run to enqueue, such as in the transaction that marks the order paid. Its reference is the order's id,
    /// and an order has at most one such run at a time.
    ///
    /// # Errors
    /// None that a caller could cause; ids over the limit are refused by the enqueue.
    pub fn new_run(&self) -> Result<NewRun, Error> {
        let run = NewRun::of(self)?;
        Ok(run.reference(&self.order_id).unique(self.unique_key()))
    }

    fn unique_key(&self) -> String {
        format!("order/{}", self.order_id)
    }
}

/// Enqueues the confirmation of an order; while one is pending, returns that one.
///
/// # Errors
/// `Conflict` if one to another address is pending; `Rejected` for ids over the limit; `Unavailable`.
pub async fn enqueue_purchase_confirmation(
    jobs: &Jobs<impl Send + Sync>,
    order_id: impl Into<String> + Send,
    customer_email: impl Into<String> + Send,
) -> Result<Enqueued, Error> {
    let input = PurchaseConfirmation::new(order_id, customer_email);
    let (reference, key) = (input.order_id.clone(), input.unique_key());
    jobs.enqueue(input).reference(reference).unique(key).await
}

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

impl JobInput for PurchaseConfirmation {
    const JOB: &'static str = "send-purchase-confirmation";
    const TRIGGER: Option<&'static str> = Some("email/purchase-confirmation");
    const QUEUE: &'static str = QUEUE;
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

//! The input of the job that sends receipts, and how it is enqueued.

use riqle_jobs_core::{Enqueued, Error, JobInput, Jobs, Key, Unique};
use serde::{Deserialize, Serialize};

use super::QUEUE;
use crate::{Locale, locale};

/// The input of `SendPurchaseConfirmation`, and the data of its event: `{"orderId", "customerEmail"}`.
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
}

impl JobInput for PurchaseConfirmation {
    const JOB: &'static str = "send-purchase-confirmation";
    const TRIGGER: Option<&'static str> = Some("email/purchase-confirmation");
    const QUEUE: &'static str = QUEUE;
    const UNIQUE: Option<Unique> = Some(Unique::by("order/{orderId}"));
    const REFERENCE: Option<Key> = Some(Key::by("{orderId}"));
}

/// Enqueues the confirmation of an order; while one has not ended, answers with that one.
///
/// # Errors
/// `Conflict` where one to another address has not ended; `Rejected` for an input over the limit; `Unavailable`.
pub async fn enqueue_purchase_confirmation(
    jobs: &Jobs<impl Send + Sync>,
    order_id: impl Into<String> + Send,
    customer_email: impl Into<String> + Send,
) -> Result<Enqueued, Error> {
    jobs.enqueue(PurchaseConfirmation::new(order_id, customer_email)).await
}

use riqle_jobs_core::{Error, Payload, store::NewEvent};
use serde_json::{Value, json};

use super::{Event, WebhookError};

/// What happened in the shop, as far as its emails go. Amounts are in minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// `checkout.session.completed`, paid, or `checkout.session.async_payment_succeeded`.
    OrderPaid {
        /// `metadata.orderId`, else `client_reference_id`, else the session's id.
        order_id: String,
        /// `customer_details.email`, else `customer_email`.
        email: String,
        /// `amount_total`.
        amount: i64,
        /// Three letters, lower case, as Stripe writes it.
        currency: String,
    },
    /// `charge.refunded`.
    OrderRefunded {
        /// `metadata.orderId`.
        order_id: String,
        /// `billing_details.email`, else `receipt_email`.
        email: String,
        /// `amount_refunded`: all refunds of the charge so far.
        amount: i64,
        /// Three letters, lower case.
        currency: String,
        /// `metadata.refundReason`.
        reason: Option<String>,
    },
    /// `customer.created`.
    CustomerCreated {
        /// `metadata.userId`, else the customer's id.
        user_id: String,
        /// `email`.
        email: String,
        /// `name`.
        name: Option<String>,
    },
}

impl Fact {
    /// The event that starts the email: `email/purchase-confirmation`, `email/refund-notification` or `email/welcome`, with
    /// `id` as its id and the data that these jobs read.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn job_event(&self, id: &str) -> Result<NewEvent, Error> {
        let (name, data) = match self {
            Fact::OrderPaid { order_id, email, .. } => {
                ("email/purchase-confirmation", json!({"orderId": order_id, "customerEmail": email}))
            }
            Fact::OrderRefunded { order_id, email, reason, .. } => (
                "email/refund-notification",
                json!({"orderId": order_id, "customerEmail": email, "refundReason": reason}),
            ),
            Fact::CustomerCreated { user_id, email, name } => {
                ("email/welcome", json!({"userId": user_id, "email": email, "name": name}))
            }
        };
        Ok(NewEvent { id: id.to_owned(), name: name.to_owned(), data: Payload::json(&data)?, due_at: None })
    }
}

impl Event {
    /// What happened; `None` for a type that sends no email, and for a checkout that is not paid yet.
    ///
    /// # Errors
    /// `Lacks` where the event is of a known type and has no order, address or amount.
    pub fn fact(&self) -> Result<Option<Fact>, WebhookError> {
        let object = self.object();
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let text = |paths: &[&str]| paths.iter().find_map(|path| text(path)).map(str::to_owned);
        let lacks = |field| WebhookError::Lacks { kind: self.kind.clone(), field };
        let amount =
            |field: &'static str| object.get(field).and_then(Value::as_i64).ok_or_else(|| lacks(field));
        let currency = || text(&["/currency"]).ok_or_else(|| lacks("currency"));
        Ok(Some(match self.kind.as_str() {
            "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
                // A bank transfer completes the session and is paid days later, with the second event.
                if object.get("payment_status").and_then(Value::as_str) == Some("unpaid") {
                    return Ok(None);
                }
                Fact::OrderPaid {
                    order_id: text(&["/metadata/orderId", "/client_reference_id", "/id"])
                        .ok_or_else(|| lacks("an order id"))?,
                    email: text(&["/customer_details/email", "/customer_email"])
                        .ok_or_else(|| lacks("an email address"))?,
                    amount: amount("amount_total")?,
                    currency: currency()?,
                }
            }
            "charge.refunded" => Fact::OrderRefunded {
                order_id: text(&["/metadata/orderId"]).ok_or_else(|| lacks("metadata.orderId"))?,
                email: text(&["/billing_details/email", "/receipt_email"])
                    .ok_or_else(|| lacks("an email address"))?,
                amount: amount("amount_refunded")?,
                currency: currency()?,
                reason: text(&["/metadata/refundReason"]),
            },
            "customer.created" => Fact::CustomerCreated {
                user_id: text(&["/metadata/userId", "/id"]).ok_or_else(|| lacks("an id"))?,
                email: text(&["/email"]).ok_or_else(|| lacks("an email address"))?,
                name: text(&["/name"]),
            },
            _ => return Ok(None),
        }))
    }
}

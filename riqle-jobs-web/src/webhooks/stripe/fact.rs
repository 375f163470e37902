//! What Stripe's events say of orders, refunds and customers, and the events that we make of it.

use riqle_jobs_core::{Error, Payload, store::NewEvent};
use serde_json::{Value, json};

use super::{EVENT_ID_KEPT, Event, Ignored};

/// What happened in the shop, as far as its emails are concerned. Amounts are in minor units.
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
    /// `charge.refunded`: the newest refund of a charge.
    OrderRefunded {
        /// `metadata.orderId`.
        order_id: String,
        /// `billing_details.email`, else `receipt_email`.
        email: Option<String>,
        /// Names the refund, which the event does not: the charge's id, `/`, and `amount_refunded`.
        refund_id: String,
        /// How much this refund gave back: `amount_refunded` minus its previous value. `None` if the event does
        /// not say.
        amount: Option<i64>,
        /// `amount_refunded`: all refunds of the charge so far.
        amount_refunded: i64,
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
    /// `id` as its id, kept for 35 days, and the data that these jobs read.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn job_event(&self, id: &str) -> Result<NewEvent, Error> {
        let (name, data) = match self {
            Fact::OrderPaid { order_id, email, .. } => {
                ("email/purchase-confirmation", json!({"orderId": order_id, "customerEmail": email}))
            }
            Fact::OrderRefunded { order_id, email, refund_id, amount, amount_refunded, currency, reason } => {
                let refund = match amount {
                    Some(amount) => json!({"id": refund_id, "amount": amount, "currency": currency}),
                    None => json!({"id": refund_id, "upTo": amount_refunded, "currency": currency}),
                };
                (
                    "email/refund-notification",
                    json!({"orderId": order_id, "customerEmail": email, "refundReason": reason, "refund": refund}),
                )
            }
            Fact::CustomerCreated { user_id, email, name } => {
                ("email/welcome", json!({"userId": user_id, "email": email, "name": name}))
            }
        };
        Ok(NewEvent { id_kept: EVENT_ID_KEPT, ..NewEvent::new(id, name, Payload::json(&data)?) })
    }
}

impl Event {
    /// What happened.
    ///
    /// # Errors
    /// Why the event is ignored: its type sends no email, its checkout is not paid yet or sold nothing, or it
    /// lacks the order, address or amount that its email needs.
    pub fn fact(&self) -> Result<Fact, Ignored> {
        match self.kind.as_str() {
            "checkout.session.completed" | "checkout.session.async_payment_succeeded" => self.order_paid(),
            "charge.refunded" => self.order_refunded(),
            "customer.created" => self.customer_created(),
            _ => Err(Ignored::Unwanted),
        }
    }

    fn order_paid(&self) -> Result<Fact, Ignored> {
        if self.text(&["/mode"]).is_some_and(|mode| mode == "setup") {
            return Err(Ignored::NothingSold);
        }
        // A bank transfer completes the session and is paid days later, with the second event.
        if self.text(&["/payment_status"]).is_some_and(|status| status == "unpaid") {
            return Err(Ignored::NotPaid);
        }
        Ok(Fact::OrderPaid {
            order_id: self.need("an order id", &["/metadata/orderId", "/client_reference_id", "/id"])?,
            email: self.need("an email address", &["/customer_details/email", "/customer_email"])?,
            amount: self.amount("amount_total")?,
            currency: self.need("currency", &["/currency"])?,
        })
    }

    fn order_refunded(&self) -> Result<Fact, Ignored> {
        let order_id = self.need("metadata.orderId", &["/metadata/orderId"])?;
        let amount_refunded = self.amount("amount_refunded")?;
        let before = self.previous_attributes().get("amount_refunded").and_then(Value::as_i64);
        Ok(Fact::OrderRefunded {
            order_id,
            email: self.text(&["/billing_details/email", "/receipt_email"]),
            refund_id: format!("{}/{amount_refunded}", self.need("an id", &["/id"])?),
            amount: before.map(|before| amount_refunded.saturating_sub(before)),
            amount_refunded,
            currency: self.need("currency", &["/currency"])?,
            reason: self.text(&["/metadata/refundReason"]),
        })
    }

    fn customer_created(&self) -> Result<Fact, Ignored> {
        Ok(Fact::CustomerCreated {
            user_id: self.need("an id", &["/metadata/userId", "/id"])?,
            email: self.need("an email address", &["/email"])?,
            name: self.text(&["/name"]),
        })
    }

    /// The first of these fields that holds a text.
    fn text(&self, paths: &[&str]) -> Option<String> {
        let text = |path: &&str| self.object().pointer(path).and_then(Value::as_str);
        paths.iter().filter_map(text).find(|text| !text.is_empty()).map(str::to_owned)
    }

    fn need(&self, what: &'static str, paths: &[&str]) -> Result<String, Ignored> {
        self.text(paths).ok_or(Ignored::Lacks(what))
    }

    /// A field in minor units.
    fn amount(&self, field: &'static str) -> Result<i64, Ignored> {
        self.object().get(field).and_then(Value::as_i64).ok_or(Ignored::Lacks(field))
    }
}

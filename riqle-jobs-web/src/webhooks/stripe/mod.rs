//! Stripe's webhooks: the signature, and what of an event the three email jobs need.
//!
//! ```
//! use riqle_jobs_web::webhooks::stripe::{Fact, Secrets, sign};
//!
//! let secrets = Secrets::new(["whsec_now", "whsec_before"])?;
//! let body = br#"{"id":"evt_1","type":"customer.created",
//!     "data":{"object":{"id":"cus_1","email":"ada@example.com","name":"Ada"}}}"#;
//! let header = sign("whsec_before", 1_795_460_000, body);
//!
//! let event = secrets.verify(Some(&header), body, 1_795_460_100)?;
//! assert_eq!(event.id, "evt_1");
//! assert!(matches!(event.fact()?, Some(Fact::CustomerCreated { user_id, .. }) if user_id == "cus_1"));
//! # Ok::<(), riqle_jobs_web::webhooks::stripe::WebhookError>(())
//! ```

mod fact;
mod signature;

pub use fact::Fact;
pub use signature::{Secrets, sign};

use serde::Deserialize;
use serde_json::Value;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "stripe-signature";
/// The largest body that a route should read, in bytes: 1 MiB.
pub const BODY_BYTES: usize = 1 << 20;

/// An event whose signature was right.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// `evt_…`: the same in each delivery of the event.
    pub id: String,
    /// Such as `charge.refunded`.
    #[serde(rename = "type")]
    pub kind: String,
    data: Data,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Data {
    object: Value,
}

impl Event {
    /// What the event is about, as it was sent: unknown fields and nulls included, integers of 64 bits exact.
    pub fn object(&self) -> &Value {
        &self.data.object
    }
}

/// Why a webhook was not taken. Each is answered with 400: a repeat would fail alike.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// No secret to check with.
    #[error("no webhook secret is configured")]
    NoSecret,
    /// The header is missing.
    #[error("the Stripe-Signature header is missing")]
    NoSignature,
    /// The header is not of the form `t=…,v1=…`.
    #[error("the Stripe-Signature header is not of the form t=…,v1=…")]
    MalformedSignature,
    /// Signed too long ago, or in the future.
    #[error("the signature is {off_by} s off this clock, more than {tolerance} s")]
    Stale {
        /// How far, in seconds.
        off_by: u64,
        /// How far is allowed, in seconds.
        tolerance: u64,
    },
    /// No signature fits any secret.
    #[error("the signature does not fit: another secret, or a changed body")]
    WrongSignature,
    /// The body is no event.
    #[error("the body is no Stripe event: {0}")]
    NoEvent(String),
    /// The event lacks what the job needs.
    #[error("the event {kind} lacks {field}")]
    Lacks {
        /// The event's type.
        kind: String,
        /// What is missing.
        field: &'static str,
    },
}

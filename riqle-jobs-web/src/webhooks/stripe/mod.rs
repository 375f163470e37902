//! Stripe's webhooks: the signature, and the parts of an event that the three email jobs need.
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
//! assert!(matches!(event.fact()?, Fact::CustomerCreated { user_id, .. } if user_id == "cus_1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fact;
mod route;
mod signature;

pub use super::{BODY_BYTES, EVENT_ID_KEPT, Ignored, IgnoredEvents, WebhookError};
pub use fact::Fact;
pub use route::Webhook;
pub use signature::{Secrets, sign};

use serde::Deserialize;
use serde_json::Value;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "stripe-signature";

/// An event whose signature is verified.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// `evt_…`: the same in each delivery of the event.
    pub id: String,
    /// Such as `charge.refunded`.
    #[serde(rename = "type")]
    pub kind: String,
    // Stripe's "thin" events have none.
    data: Option<Data>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Data {
    #[serde(default)]
    object: Value,
    #[serde(default)]
    previous_attributes: Value,
}

impl Event {
    /// What the event is about, as it was sent: unknown fields and nulls included, integers of 64 bits exact.
    /// Null if the event has none.
    pub fn object(&self) -> &Value {
        self.data.as_ref().map_or(&Value::Null, |data| &data.object)
    }

    /// What the changed fields of the object held before; null if the event does not say.
    pub fn previous_attributes(&self) -> &Value {
        self.data.as_ref().map_or(&Value::Null, |data| &data.previous_attributes)
    }
}

//! Signed webhooks of other services.

mod error;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fuzz;
mod ignored;
pub mod resend;
pub mod stripe;

use std::time::Duration;

pub use error::WebhookError;
pub use ignored::{Ignored, IgnoredCount, IgnoredEvents};

/// The largest body that a route reads, in bytes: 1 MiB.
pub const BODY_BYTES: usize = 1 << 20;
/// How long a route remembers an event's id, so that a repeat starts nothing: services repeat for 3 days, and
/// an event can be resent by hand for 30.
pub const EVENT_ID_KEPT: Duration = Duration::from_secs(35 * 24 * 60 * 60);
/// How far a signature's time may be off, in seconds: what the services' own libraries allow.
const TOLERANCE: u64 = 300;
/// Senders wait about 15 s.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

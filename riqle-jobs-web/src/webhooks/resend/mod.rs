//! Resend's webhooks: delivery reports, for the email log.
//!
//! ```
//! use riqle_jobs_web::webhooks::resend::{Delivery, Secrets, sign};
//!
//! let secrets = Secrets::new(["whsec_bmV3", "whsec_b2xk"])?;
//! let body = br#"{"type":"email.delivered","created_at":"2026-11-23T22:09:02.017Z","data":{"email_id":"56761188"}}"#;
//! let signature = sign("whsec_b2xk", "msg_1", 1_795_471_742, body)?;
//!
//! let delivery = Delivery { id: "msg_1", timestamp: "1795471742", signature: &signature };
//! let report = secrets.verify(Some(delivery), body, 1_795_471_800)?;
//! assert_eq!(report.kind, "email.delivered");
//! # Ok::<(), riqle_jobs_web::webhooks::WebhookError>(())
//! ```

mod report;
mod route;
mod signature;

pub use report::Report;
pub use route::router;
pub use signature::{Delivery, Secrets, sign};

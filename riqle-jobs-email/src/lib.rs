//! Email for riqle-jobs: templates, file and SMTP mailers, the three email jobs of a shop.
//!
//! Applications reach all of this through the facade, `riqle-jobs`, with its feature `email` (and `smtp`, `resend`).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod brand;
mod compose;
#[cfg(feature = "dkim")]
mod dkim;
#[cfg(not(feature = "dkim"))]
#[path = "no_dkim.rs"]
mod dkim;
mod dkim_query;
#[cfg(feature = "doctor")]
pub mod doctor;
mod file_mailer;
pub mod jobs;
mod locale;
mod mailer_url;
mod money;
mod order;
mod orders;
#[cfg(any(feature = "smtp", feature = "resend"))]
mod pause;
mod refund;
#[cfg(feature = "resend")]
mod resend;
#[cfg(feature = "smtp")]
mod smtp;
pub mod templates;
#[cfg(any(feature = "smtp", feature = "resend"))]
mod tls;

pub use brand::Brand;
#[cfg(feature = "dkim")]
pub use dkim::DkimKey;
pub use file_mailer::FileMailer;
pub use locale::Locale;
pub use mailer_url::mailer_from_url;
pub use money::{Currency, Money};
pub use order::{Order, OrderItem, Product};
#[cfg(feature = "mock")]
pub use orders::MockOrders;
pub use orders::Orders;
pub use refund::{Refund, RefundAmount};
#[cfg(feature = "resend")]
pub use resend::{ResendMailer, ResendTimeouts};
#[cfg(feature = "smtp")]
pub use smtp::{SmtpMailer, SmtpTimeouts};

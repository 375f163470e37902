//! Email for riqle-jobs: templates, file and SMTP mailers, the three email jobs of a shop.
//!
//! Applications reach all of this through the facade, `riqle-jobs`, with its feature `email` (and `smtp`, `resend`). Without
//! the feature `send` (in the facade: with `email-inputs`) there are the inputs of the three jobs alone, for processes that
//! enqueue emails and send none.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "send")]
mod brand;
#[cfg(feature = "send")]
mod compose;
#[cfg(feature = "dkim")]
mod dkim;
#[cfg(all(feature = "send", not(feature = "dkim")))]
#[path = "no_dkim.rs"]
mod dkim;
#[cfg(feature = "send")]
mod dkim_query;
#[cfg(feature = "doctor")]
pub mod doctor;
#[cfg(feature = "send")]
mod file_mailer;
#[cfg(all(test, feature = "smtp"))]
mod fuzz;
pub mod jobs;
mod locale;
#[cfg(feature = "send")]
mod mailer_url;
#[cfg(feature = "send")]
mod money;
#[cfg(feature = "send")]
mod order;
#[cfg(feature = "send")]
mod orders;
#[cfg(any(feature = "smtp", feature = "resend"))]
mod pause;
mod refund;
#[cfg(feature = "send")]
mod refund_sum;
#[cfg(feature = "resend")]
mod resend;
#[cfg(feature = "smtp")]
mod smtp;
#[cfg(feature = "send")]
pub mod templates;
#[cfg(any(feature = "smtp", feature = "resend"))]
mod tls;

#[cfg(feature = "send")]
pub use brand::Brand;
#[cfg(feature = "dkim")]
pub use dkim::DkimKey;
#[cfg(feature = "send")]
pub use file_mailer::FileMailer;
pub use locale::Locale;
#[cfg(feature = "send")]
pub use mailer_url::mailer_from_url;
#[cfg(feature = "send")]
pub use money::{Currency, Money};
#[cfg(feature = "send")]
pub use order::{Order, OrderItem, Product};
#[cfg(all(feature = "send", feature = "mock"))]
pub use orders::MockOrders;
#[cfg(feature = "send")]
pub use orders::Orders;
pub use refund::{Refund, RefundAmount};
#[cfg(feature = "resend")]
pub use resend::{ResendMailer, ResendTimeouts};
#[cfg(feature = "smtp")]
pub use smtp::{SmtpMailer, SmtpTimeouts};

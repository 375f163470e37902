//! What the tests share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(any(feature = "smtp", feature = "resend"))]
pub mod certificates;
#[cfg(feature = "smtp")]
pub mod fault_server;
#[cfg(feature = "resend")]
pub mod http_server;
#[cfg(feature = "resend")]
pub mod openapi;
pub mod outbox;
#[cfg(feature = "real-servers")]
pub mod resend_double;
pub mod shop;
pub mod unmarked;

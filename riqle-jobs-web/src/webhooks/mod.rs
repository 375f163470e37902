//! Signed webhooks of other services.

pub mod stripe;

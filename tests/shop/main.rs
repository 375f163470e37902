//! The shop as a process of its own: its demo, its webhook, and what is left of it after kill -9.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr
)]

mod demo;
#[path = "../../examples/shop/http_client.rs"]
mod http_client;
mod kill;
#[cfg(feature = "real-servers")]
mod nginx;
mod process;
mod refunds;
mod server;
mod smtp_receiver;
mod traces;
mod webhook;

type Failure = Box<dyn std::error::Error + Send + Sync>;

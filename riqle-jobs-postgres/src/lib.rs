//! The PostgreSQL store of riqle-jobs: many machines, one database. For PostgreSQL 13 and later, in a schema of its own,
//! plain SQL, no extension.
//!
//! Within a process a wake-up is immediate; other processes are told by NOTIFY, and polling finds what that
//! misses. Concurrent enqueues share commits; no caller is answered before its commit. Every write of a row is
//! fenced by the token of its claim, and all times are the server's.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod address;
mod attempts;
mod audit;
mod batches;
mod claim;
mod connect;
mod connections;
mod days;
mod email_events;
mod email_log;
mod enqueue;
mod error;
mod events;
mod examine;
mod fence;
mod floors;
#[cfg(test)]
mod fuzz;
mod handle;
mod health;
mod held_events;
mod inspect;
mod lanes;
mod list;
mod metrics;
mod migrate;
mod notes;
mod operate;
mod own_connection;
#[cfg(test)]
mod plan_tests;
mod portions;
mod prune;
mod queue;
mod registry;
mod rows;
mod schedules;
mod settle;
mod staging;
mod statements;
mod steps;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod transaction;
mod url;
mod wake;
mod work;

pub use connect::PostgresOptions;
pub use handle::Postgres;
pub use transaction::PostgresTransaction;

// The support of the tests names the crate.
#[cfg(test)]
extern crate self as riqle_jobs_postgres;

//! The Redis store of riqle-jobs: from one server to a cluster. For Redis 6.2 and later and for Valkey; runs
//! are in memory, and on disk as configured by the server's `appendonly` and `appendfsync`.
//!
//! Each operation is one script call over a batch; concurrent enqueues share calls. All of a queue's keys are
//! in one slot, so a cluster works. Writes are fenced by the token of their claim, and all times are the
//! server's. Within a process a wake-up is immediate; other processes are told by PUBLISH, and polling finds
//! what that misses.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod audit;
mod change;
mod claim;
mod connect;
mod count;
mod dead_groups;
mod email_events;
mod email_log;
mod email_row;
mod enqueue;
mod error;
mod events;
mod examine;
mod frame;
#[cfg(test)]
mod fuzz;
mod handle;
mod health;
mod inspect;
mod keys;
mod list;
mod matching;
mod metrics;
mod notes;
mod operate;
mod prune;
mod queue;
mod registry;
mod rows;
mod schedules;
mod script;
mod server;
mod settings;
mod settle;
mod steps;
mod url;
mod values;
mod wake;
mod workers;

pub use connect::RedisOptions;
pub use handle::Redis;

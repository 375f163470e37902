//! The Redis store of riqle-jobs: from one server to a cluster. For Redis 6.2 and later and for Valkey; a run lives in
//! memory, and on disk as far as the server's `appendonly` and `appendfsync` say.
//!
//! Each operation is one call of a script over a batch; what concurrent callers enqueue shares calls. What belongs to a
//! queue stands in one slot, so a cluster works. Writes are fenced by the token of their claim, and all times are the
//! server's. Within a process a wake-up is immediate; other processes are told by PUBLISH, and what that misses polling
//! finds.

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
mod frame;
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

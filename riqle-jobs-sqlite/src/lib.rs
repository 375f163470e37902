//! The embedded store of riqle-jobs: one SQLite file.
//!
//! Several processes may use one file. Within a process a wake-up is immediate; another process finds new runs
//! at its next poll. Each store writes through one thread of its own, which commits everything that waits
//! together (group commit); a commit is on disk before any caller is answered, unless [`Synchronous::Normal`]
//! was chosen.
//!
//! If the machine's clock is set by more than a minute, the file's time continues as before, so that leases,
//! delays, retries and keys keep their remaining time; a run that is due at a given time
//! ([`Due::At`](riqle_jobs_core::Due::At)) follows the clock. All times that the store shows are then off by
//! that much, and also after a virtual machine was paused, since its boot clock stood still meanwhile. The
//! health says so until the clock is set back. To adopt the machine's time, stop all processes that have the
//! file open and `DELETE FROM riqle_clock`: everything stored shifts by the offset. If the file's time was
//! ahead, pending runs, retries and due runs wait that much longer, and leases and keys last that much longer;
//! if it was behind, they are due, and end, that much earlier. A run that is due at a given time keeps it.
//!
//! Keep the file where it is while a process has it open. Once it, or its `-wal`, is missing from its path,
//! nothing is acknowledged: within a second every call returns `Unavailable`, and the health says so. It works
//! again when the same file is back; if another file was seen in its place, or its `-wal` is a new one, the
//! store must be opened again.
//!
//! The file is in WAL mode; its tables have the prefix `riqle_`, so that an application can have its own beside
//! them and [enqueue in its own transaction](Sqlite::enqueue_in).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod attempts;
mod audit;
mod batch;
mod claim;
mod connect;
mod dead_groups;
mod email_events;
mod email_log;
mod enqueue;
mod error;
mod events;
mod examine;
mod fence;
mod file;
mod file_clock;
#[cfg(test)]
mod file_clock_tests;
#[cfg(test)]
mod fuzz;
mod handle;
mod health;
mod in_process;
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
mod prune;
mod queue;
mod registry;
mod rows;
mod schedules;
mod settle;
mod staging;
mod steps;
mod transaction;
mod url;
mod writer;

pub use connect::{SqliteOptions, Synchronous};
pub use handle::Sqlite;
pub use transaction::SqliteTransaction;

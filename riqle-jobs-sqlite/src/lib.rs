//! The embedded store of riqle-jobs: one SQLite file.
//!
//! Several processes may work on one file. Within a process a wake-up is immediate; another process finds new runs at
//! its next poll. Each store writes through one thread of its own, which commits together whatever waits (group
//! commit); a commit is on the disk before anybody is answered, unless [`Synchronous::Normal`] was chosen.
//!
//! Where the machine's clock is set by more than a minute, the file's time goes on as before, so that leases, delays, retries
//! and keys keep their remaining time; a run that is due at a given time ([`Due::At`](riqle_jobs_core::Due::At)) follows the
//! clock. All times that the store shows are off by as much then, and so they are after a virtual machine was paused: its
//! clock that counts since the boot stood still meanwhile. The health says so until the clock is set back. To adopt the
//! machine's time, stop all processes that have the file open and `DELETE FROM riqle_clock`: what is stored moves by as
//! much as the file's time was off. Where that was ahead, pending runs, retries and what is due now wait so much longer,
//! and leases and keys last so much longer; where it was behind, they are due, and end, so much earlier. A run that is due
//! at a given time keeps it.
//!
//! Keep the file where it is while a process has it open. Once it, or its `-wal`, is missing from its path, nothing is
//! acknowledged: within a second every call answers `Unavailable`, and the health says so. It works again when the same file
//! is back; where another file was seen in its place, or its `-wal` is a new one, the store has to be opened again.
//!
//! The file is in WAL mode; its tables carry the prefix `riqle_`, so that an application can have its own beside them
//! and [enqueue in its own transaction](Sqlite::enqueue_in).

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
mod fence;
mod file;
mod file_clock;
#[cfg(test)]
mod file_clock_tests;
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
#[cfg(test)]
mod plan_tests;
mod prune;
mod queue;
mod registry;
mod rows;
mod settle;
mod staging;
mod step_in;
mod steps;
mod transaction;
mod writer;

pub use connect::{SqliteOptions, Synchronous};
pub use handle::Sqlite;
pub use transaction::SqliteTransaction;

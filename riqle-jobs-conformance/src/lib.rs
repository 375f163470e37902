//! Every behaviour that a store of riqle-jobs owes, one named test a case.
//!
//! A store writes a [`Harness`] and one line in its `tests/conformance.rs`:
//!
//! ```
//! use std::sync::Arc;
//!
//! use riqle_jobs_conformance::{Harness, conformance_suite};
//! use riqle_jobs_core::{ManualClock, Memory, Store, async_trait};
//!
//! struct InMemory {
//!     store: Memory,
//!     clock: ManualClock,
//! }
//!
//! #[async_trait]
//! impl Harness for InMemory {
//!     async fn start() -> Self {
//!         let clock = ManualClock::new();
//!         Self { store: Memory::with_clock(&clock), clock }
//!     }
//!
//!     fn store(&self) -> Arc<dyn Store> {
//!         Arc::new(self.store.clone())
//!     }
//!
//!     async fn second_handle(&self) -> Arc<dyn Store> {
//!         self.store()
//!     }
//!
//!     fn clock(&self) -> &ManualClock {
//!         &self.clock
//!     }
//! }
//!
//! conformance_suite!(InMemory);
//! # fn main() {}
//! ```
//!
//! A store that also stages for others writes a [`StagingHarness`] and [`staging_suite!`], and one with transactions of the
//! application a [`ShopHarness`] and [`transaction_suite!`].
//!
//! A case is a `pub async fn` in the module of its area, named for the promise it holds, and listed in `suite.rs`.
//! A bug that one store had begins its fix with a case here, so that every store gets it.
//!
//! [`fuzz!`] feeds what must hold for any bytes, in the `fuzz.rs` of any crate.

#![allow(missing_docs)]

mod area;
mod around_commit;
mod fault_scene;
mod given;
mod harness;
mod intercepted;
mod lost_replies;
mod memory_staging;
mod model;
mod proxy;
mod silent_host;
mod sql_suites;
mod suite;
mod unreliable;
mod unreliable_staging;

pub mod audit;
pub mod cancel;
pub mod claim;
pub mod concurrency;
pub mod counts;
pub mod crash;
pub mod cron;
pub mod cron_operators;
pub mod cron_overlap;
pub mod dead_groups;
pub mod dead_letters;
pub mod email_delivery;
pub mod email_list;
pub mod email_log;
pub mod email_start;
pub mod enqueue;
pub mod event_keys;
pub mod event_list;
pub mod event_starts;
pub mod events;
pub mod fuzz;
pub mod health;
pub mod history;
pub mod lease;
pub mod limits;
pub mod metrics;
pub mod notes;
pub mod odd_data;
pub mod pause;
pub mod prune;
pub mod registry;
pub mod retry;
pub mod run_now;
pub mod settle;
pub mod staging;
pub mod staging_relay;
pub mod steps;
pub mod transaction;
pub mod transaction_schedules;
pub mod transaction_staging;
pub mod unique;
pub mod workload;

pub use around_commit::{AroundCommit, TransactionAroundCommit};
pub use fault_scene::{Connect, Connecting, FaultScene, ToldInput, enqueue_told};
pub use harness::{Harness, StagingHarness, TransactionEnd, opened, within_limit};
pub use intercepted::{Effect, Intercepted, Interceptor};
pub use lost_replies::LostReplies;
pub use memory_staging::MemoryStaging;
pub use model::{Random, random_operations_match_memory, run_model_test};
pub use proxy::Proxy;
pub use silent_host::SilentHost;
pub use transaction::ShopHarness;
pub use unreliable::{Fault, Unreliable};
pub use unreliable_staging::UnreliableStaging;

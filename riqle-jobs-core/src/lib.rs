//! The rules of riqle-jobs: what a job, a run, an attempt and a step are, when an attempt is retried, what a
//! store must do, how an email is sent effectively once. No SQL, Redis, HTTP or SMTP.
//!
//! Applications depend on the facade, `riqle-jobs`, which re-exports all of this alongside the stores and
//! mailers.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod any_json;
mod backoff;
mod canonical_json;
mod clock;
pub mod email;
mod error;
mod finite;
pub mod first_to_answer;
#[cfg(test)]
mod fuzz;
mod id;
mod job;
mod jobs;
pub mod limits;
mod memory;
#[cfg(test)]
mod models;
mod outside;
mod payload;
mod process_metrics;
mod relay;
mod run;
pub mod schedule;
pub mod show;
mod state;
pub mod store;
pub mod testing;
pub mod trace;
mod worker;

pub use clock::{Clock, ManualClock, earlier, from_millis, later, millis_of};
pub use email::{Email, EmailLog, Mailbox, Mailer, Receipt, SendError, Sender};
pub use error::{Cause, Error, ErrorKind};
pub use id::{ActionId, EmailId, LeaseToken, RunId, WorkerId};
pub use job::{
    Jitter, Job, JobError, JobFn, JobFuture, JobInput, Key, NamedJob, RetryPolicy, Step, Unique,
    UnreadableStep,
};
pub use jobs::{
    BulkReport, Database, DatabaseTransaction, Enqueue, Jobs, Pace, ScheduleStatus, Skipped, Transaction,
    events, operator, verdict,
};
pub use limits::Limits;
pub use memory::Memory;
pub use payload::{Codec, Fingerprint, Payload};
pub use relay::Relay;
pub use run::{RunContext, StepPath, StopReason};
pub use state::{Reason, RunState};
pub use store::{
    AsStaging, AsStore, AttemptOutcome, AttemptRecord, Audit, ClaimRequest, Claimed, ClaimedRun, Due, Ending,
    Enqueued, Hint, Inspect, LeaseAnswer, LeaseConnection, LeaseRef, LogLevel, NewRun, Operate, OtherInput,
    Priority, Queue, Registry, Replay, ReplayFrom, Retention, Run, RunFilter, SavedStep, Settlement, Staging,
    StepSave, Store, UniqueKey, UniqueScope, Wake, WakeSender, WakeUps,
};

/// Seeds what is made at random, for a simulation.
#[cfg(riqle_simulation)]
pub use outside::seed_ids;
pub use trace::TraceContext;
pub use worker::{Alert, RunReport, Shutdown, Worker, WorkerStats};

/// For implementing [`Mailer`] and the store traits; jobs and steps are plain `async fn`.
pub use async_trait::async_trait;
/// The type of every public time.
pub use jiff::Timestamp;

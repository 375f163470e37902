//! The rules of riqle-jobs: what a job, a run, an attempt and a step are, when an attempt is retried, what a
//! store must do, how an email is sent effectively once. No SQL, Redis, HTTP or SMTP.
//!
//! Applications depend on the facade, `riqle-jobs`, which re-exports all of this alongside the stores and
//! mailers.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod any_json;
mod backoff;
mod bulk;
mod canonical_json;
mod clock;
mod context;
pub mod email;
mod error;
pub mod events;
mod finite;
pub mod first_to_answer;
mod id;
mod job;
mod job_error;
mod job_fn;
mod job_rules;
mod jobs;
pub mod limits;
mod memory;
mod named_job;
mod notes;
mod payload;
mod policy;
mod relay;
mod state;
pub mod store;
pub mod testing;
mod transaction;
mod unreadable_step;
mod worker;

pub use bulk::{BulkReport, Pace, Skipped};
pub use clock::{Clock, ManualClock, earlier, from_millis, later, millis_of};
pub use context::{RunContext, StepPath, StopReason};
pub use email::{Email, EmailLog, Mailbox, Mailer, Receipt, SendError, Sender};
pub use error::{Cause, Error, ErrorKind};
pub use id::{ActionId, EmailId, LeaseToken, RunId, WorkerId};
pub use job::{Job, JobFuture, JobInput, Step};
pub use job_error::JobError;
pub use job_fn::JobFn;
pub use job_rules::{Key, Unique};
pub use jobs::{Enqueue, Jobs};
pub use limits::Limits;
pub use memory::Memory;
pub use named_job::NamedJob;
pub use payload::{Codec, Fingerprint, Payload};
pub use policy::{Jitter, RetryPolicy};
pub use relay::Relay;
pub use state::{Reason, RunState};
pub use store::{
    AsStaging, AsStore, AttemptOutcome, AttemptRecord, Audit, ClaimRequest, Claimed, ClaimedRun, Due, Ending,
    Enqueued, Hint, Inspect, LeaseAnswer, LeaseConnection, LeaseRef, LogLevel, NewRun, Operate, OtherInput,
    Priority, Queue, Registry, Replay, ReplayFrom, Retention, Run, RunFilter, SavedStep, Settlement, Staging,
    StepSave, Store, UniqueKey, UniqueScope, Wake, WakeSender, WakeUps,
};

pub use transaction::{Database, DatabaseTransaction, Transaction};
pub use unreadable_step::UnreadableStep;
pub use worker::{Alert, RunReport, Shutdown, Worker, WorkerStats};

/// For implementing [`Mailer`] and the store traits; jobs and steps are plain `async fn`.
pub use async_trait::async_trait;
/// The type of every public time.
pub use jiff::Timestamp;

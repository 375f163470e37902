#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod connect;
pub mod guide;

pub use connect::connect;
#[cfg(feature = "email")]
pub use connect::mailer;
pub use riqle_jobs_core::{
    Alert, Email, Enqueued, Error, ErrorKind, Job, JobError, JobFn, JobInput, Jobs, Mailbox, ManualClock,
    Memory, NewRun, Payload, Priority, Reason, Receipt, Relay, Replay, ReplayFrom, RetryPolicy, Run,
    RunContext, RunFilter, RunId, RunState, Sender, Shutdown, Step, Timestamp, UniqueScope, UnreadableStep,
    Worker, async_trait, testing,
};

/// The traits of a store and the types they use: to write one, or for calls that [`Jobs`] does not have.
pub mod store {
    pub use riqle_jobs_core::{
        ActionId, BulkReport, Cause, Clock, Codec, EmailId, Enqueue, Fingerprint, Jitter, LeaseToken, Limits,
        Pace, RunReport, Skipped, StepDatabase, StepPath, StepTransaction, StopReason, WorkerId, WorkerStats,
        earlier, events, first_to_answer, from_millis, later, limits, millis_of, store::*,
    };
}

/// Emails: the sender, the log and, with the feature `email`, templates, mailers and the three email jobs.
pub mod email {
    pub use riqle_jobs_core::email::*;
    #[cfg(feature = "email")]
    pub use riqle_jobs_email::*;
}

/// The embedded store: one SQLite file.
#[cfg(feature = "sqlite")]
pub mod sqlite {
    pub use riqle_jobs_sqlite::*;
}

/// The store of many machines: PostgreSQL.
#[cfg(feature = "postgres")]
pub mod postgres {
    pub use riqle_jobs_postgres::*;
}

/// The store in memory on a server or a cluster: Redis and Valkey.
#[cfg(feature = "redis")]
pub mod redis {
    pub use riqle_jobs_redis::*;
}

/// Routers for axum: the event API, health, jobs, signed webhooks.
#[cfg(feature = "web")]
pub mod web {
    pub use riqle_jobs_web::*;
}

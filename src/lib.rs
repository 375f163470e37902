//! Durable background jobs and effectively-once email, embedded in your application.
//!
//! A job is made of steps; a finished step is not executed again. An accepted run is executed at least once and never lost: not by a
//! crash, a deploy or an outage of the store. Runs live in memory, in SQLite, in PostgreSQL or in Redis.
//!
//! ```
//! use riqle_jobs::{JobError, JobInput, Jobs, RunContext, Worker, testing};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! impl JobInput for Greeting {
//!     const JOB: &'static str = "greet";
//! }
//!
//! async fn greet(_: (), run: RunContext, input: Greeting) -> Result<String, JobError> {
//!     run.step("compose", || async { Ok(format!("Hello {}", input.name)) }).await
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), riqle_jobs::Error> {
//!     let store = riqle_jobs::connect("memory:").await?; // or sqlite:jobs.db, postgres://…, redis://…
//!     let run = Jobs::new(&store).enqueue(Greeting { name: "Ada".to_owned() }).await?;
//!     Worker::new(&store).register_with((), greet).run_until_idle().await?; // .run() in a service
//!     assert_eq!(testing::output::<String>(&store, run.id()).await?, "Hello Ada");
//!     Ok(())
//! }
//! ```
//!
//! - The [`guide`] has a page for each question; start with [a first job](guide::first_job).
//! - [`JobInput`] and [`Job`] are what you write; [`Jobs`] enqueues, reads and operates; [`Worker`] runs.
//! - [`connect`] opens a store, `mailer` a mailer, by URL. The modules below have what is special to each.
//!
//! | feature | what it adds |
//! |---|---|
//! | `sqlite` (default) | the embedded store |
//! | `postgres` | the store that many machines share |
//! | `redis` | the store in memory, on a server or a cluster |
//! | `email` | templates, the file mailer, the three email jobs of a shop |
//! | `email-inputs` | the inputs of these jobs alone, for processes that enqueue emails and send none |
//! | `smtp` | the SMTP mailer: STARTTLS, implicit TLS, AUTH |
//! | `resend` | the Resend mailer: idempotency keys, its rate limit kept |
//! | `dkim` | DKIM signatures over SMTP, for mail servers that do not sign |
//! | `doctor` | checks the sender's domain, the SMTP server and the Resend account |
//! | `web` | routers for axum: the dashboard, the event API, health, metrics, jobs, signed webhooks; a server for them |
//! | `metrics` | what a process does, for the recorder of the `metrics` facade |
//! | `otel` | traces that cross processes, by OpenTelemetry |
//! | `mock` | mockall doubles of the store traits, `Mailer` and `EmailLog` |
//! | `full` | all of these |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod connect;
pub mod guide;
#[cfg(feature = "otel")]
pub mod otel;

/// The README's code is compiled and run, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use connect::connect;
#[cfg(feature = "email")]
pub use connect::mailer;
pub use riqle_jobs_core::{
    Database, Email, Enqueued, Error, ErrorKind, Job, JobError, JobFn, JobInput, Jobs, Key, Mailbox,
    ManualClock, Memory, NewRun, Payload, Priority, Receipt, Relay, ReplayFrom, RetryPolicy, Run, RunContext,
    RunFilter, RunId, RunState, Sender, Shutdown, Step, Transaction, Unique, UniqueScope, UnreadableStep,
    Worker, schedule, testing,
};

/// For implementations of object-safe traits, such as [`email::Mailer`]; jobs and steps are plain `async fn`.
pub use riqle_jobs_core::async_trait;

/// The traits of a store and the types they use: to write one, or for calls that [`Jobs`] does not have.
pub mod store {
    pub use riqle_jobs_core::{
        ActionId, Alert, BulkReport, Cause, Clock, Codec, DatabaseTransaction, EmailId, Enqueue, Fingerprint,
        Jitter, JobFuture, LeaseToken, Limits, NamedJob, Pace, Reason, Replay, RunReport, ScheduleStatus,
        Skipped, StepPath, StopReason, Timestamp, TraceContext, WorkerId, WorkerStats, earlier, events,
        first_to_answer, from_millis, later, limits, millis_of, store::*,
    };
}

/// What operators do to a store, each action recorded: as the dashboard and the command line do it.
pub mod operator {
    pub use riqle_jobs_core::operator::*;
}

/// How things are with a store, and what to do about it.
pub mod verdict {
    pub use riqle_jobs_core::verdict::*;
}

/// How lengths of time and numbers are shown to people.
pub mod show {
    pub use riqle_jobs_core::show::*;
}

/// Emails: the sender, the log and, with the feature `email`, templates, mailers and the three email jobs (their inputs alone with
/// `email-inputs`).
pub mod email {
    pub use riqle_jobs_core::email::*;
    #[cfg(feature = "email-inputs")]
    pub use riqle_jobs_email::*;
}

/// The embedded store: one SQLite file.
#[cfg(feature = "sqlite")]
pub mod sqlite {
    pub use riqle_jobs_sqlite::*;
}

/// The store for many machines: PostgreSQL.
#[cfg(feature = "postgres")]
pub mod postgres {
    pub use riqle_jobs_postgres::*;
}

/// The in-memory store on a server or a cluster: Redis and Valkey.
#[cfg(feature = "redis")]
pub mod redis {
    pub use riqle_jobs_redis::*;
}

/// Routers for axum: the event API, health, metrics, jobs, signed webhooks.
#[cfg(feature = "web")]
pub mod web {
    pub use riqle_jobs_web::*;
}

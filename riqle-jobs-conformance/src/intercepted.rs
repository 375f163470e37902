//! A store whose calls pass through an interceptor.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    ActionId, AsStore, Audit, ClaimRequest, Claimed, Clock, EmailId, EmailLog, Enqueued, Error, Inspect,
    LeaseAnswer, LeaseConnection, LeaseRef, LeaseToken, Limits, NewRun, Operate, Queue, Registry, Replay,
    Retention, Run, RunFilter, RunId, SavedStep, Settlement, StepSave, Store, WakeUps, WorkerId,
    email::{
        EmailEnding, EmailEvent, EmailFilter, EmailRecord, EmailStart, NewEmail, NewEmailEvent,
        RecordedEmailEvent, Resolution, Suppression,
    },
    store::{
        ActionFilter, DeadError, DeadGroup, DueRequest, DueSchedules, EventFilter, EventRun, EventStart,
        Health, JobCount, JobDeclaration, JobMetrics, ListedEvent, MetricsFilter, NewAction, NewEvent, Note,
        Problem, Pruned, QueueStatus, RecordedAction, RegisteredJob, RegisteredWorker, RunNotes,
        ScheduleAnswer, ScheduleFilter, ScheduleWrite, Schedules, StoredEvent, StoredSchedule, WorkerOrder,
        WorkerReport,
    },
};
use uuid::Uuid;

/// What a call does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Read,
    Write,
}

/// A store over another one, by an [`Interceptor`].
#[derive(Clone)]
pub struct Intercepted<I>(pub I);

impl<I: Interceptor + Clone> AsStore for Intercepted<I> {
    type Database = ();

    fn as_store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    fn database(&self) {}
}

macro_rules! interceptor {
    ($($trait:ident {
        $($effect:ident $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
        $({ $($untouched:tt)* })?
    })*) => {
        /// Makes the calls of a store, each in its own way. What is not written goes through [`call`](Self::call).
        #[async_trait]
        pub trait Interceptor: Send + Sync + 'static {
            /// The real store.
            fn inner(&self) -> &Arc<dyn Store>;

            /// Makes a call of the real store: never, once, or more often.
            async fn call<T, A, F>(&self, operation: &'static str, effect: Effect, call: F) -> Result<T, Error>
            where
                T: Send,
                A: Future<Output = Result<T, Error>> + Send,
                F: Fn() -> A + Send + Sync;

            /// A connection for extensions alone.
            async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
                self.inner().lease_connection().await
            }

            $($(async fn $method(&self, $($argument: $type),*) -> Result<$answer, Error> {
                let call = || self.inner().$method($(Clone::clone(&$argument)),*);
                self.call(stringify!($method), Effect::$effect, call).await
            })*)*
        }

        $(#[async_trait]
        impl<I: Interceptor> $trait for Intercepted<I> {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer, Error> {
                self.0.$method($($argument),*).await
            })*
            $($($untouched)*)?
        })*
    };
}

interceptor! {
    Queue {
        Write enqueue(runs: Vec<NewRun>) -> Vec<Enqueued>;
        Write claim(request: ClaimRequest) -> Claimed;
        Write give_back(queue: &str, token: LeaseToken) -> ();
        Write extend(leases: Vec<LeaseRef>, lease: Duration) -> Vec<LeaseAnswer>;
        Write save_steps(steps: Vec<StepSave>) -> Vec<LeaseAnswer>;
        Write annotate(notes: Vec<Note>) -> Vec<LeaseAnswer>;
        Write settle(settlements: Vec<Settlement>) -> Vec<LeaseAnswer>;
        {
            async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
                self.0.lease_connection().await
            }

            fn queues_stand_apart(&self) -> bool {
                self.0.inner().queues_stand_apart()
            }

            fn wake_ups(&self) -> WakeUps {
                self.0.inner().wake_ups()
            }

            fn clock(&self) -> Clock {
                self.0.inner().clock()
            }

            async fn now(&self) -> Result<Timestamp, Error> {
                self.0.inner().now().await
            }

            fn limits(&self) -> Limits {
                self.0.inner().limits()
            }
        }
    }

    Registry {
        Write register_jobs(jobs: Vec<JobDeclaration>) -> ();
        Read jobs() -> Vec<RegisteredJob>;
        Write report_worker(worker: WorkerReport) -> WorkerOrder;
        Write remove_worker(worker: WorkerId) -> ();
        Read workers() -> Vec<RegisteredWorker>;
        Write report_metrics(worker: WorkerId, metrics: Vec<JobMetrics>) -> ();
        Write store_events(events: Vec<NewEvent>) -> Vec<StoredEvent>;
        Write start_events(events: Vec<EventStart>) -> Vec<StoredEvent>;
        Write mark_started(event_id: &str, runs: Vec<EventRun>) -> ();
        Read idle_events(names: Vec<String>, limit: usize) -> Vec<StoredEvent>;
    }

    Inspect {
        Read run(id: RunId) -> Option<Run>;
        Read steps(id: RunId) -> Vec<SavedStep>;
        Read events(filter: EventFilter) -> Vec<ListedEvent>;
        Read runs(filter: RunFilter) -> Vec<Run>;
        Read count_runs(filter: RunFilter, most: u64) -> u64;
        Read dead_groups(limit: usize) -> Vec<DeadGroup>;
        Read dead_errors(filter: RunFilter) -> Vec<DeadError>;
        Read counts() -> Vec<JobCount>;
        Read queues() -> Vec<QueueStatus>;
        Read health() -> Health;
        Read examine() -> Vec<Problem>;
        Read notes(id: RunId) -> RunNotes;
        Read metrics(filter: MetricsFilter) -> Vec<JobMetrics>;
    }

    Operate {
        Write replay(id: RunId, new_run: RunId, replay: Replay) -> ();
        Write cancel(id: RunId) -> ();
        Write run_now(id: RunId) -> ();
        Write pause_queue(queue: &str, by: &str, why: &str) -> ();
        Write resume_queue(queue: &str) -> ();
        Write order_worker(worker: WorkerId, order: WorkerOrder) -> ();
        Write discard(id: RunId) -> ();
        Write prune(retention: Retention) -> Pruned;
    }

    EmailLog {
        Write intend_email(email: NewEmail) -> EmailRecord;
        Write start_email(id: EmailId, start: EmailStart) -> (EmailRecord, Timestamp);
        Write email_body_begins(id: EmailId, sender: Uuid, sends: u32) -> ();
        Write end_email(id: EmailId, sender: Uuid, ending: EmailEnding) -> ();
        Write fail_emails_of_run(run: RunId, error: &str) -> ();
        Write record_email_event(event: NewEmailEvent) -> RecordedEmailEvent;
        Write resolve_email(id: EmailId, resolution: Resolution, by: &str) -> ();
        Read email(id: EmailId) -> Option<EmailRecord>;
        Read emails(filter: EmailFilter) -> Vec<EmailRecord>;
        Read email_events(id: EmailId) -> Vec<EmailEvent>;
        Write suppress(address: &str, reason: &str) -> ();
        Write unsuppress(address: &str) -> ();
        Read suppression(address: &str) -> Option<String>;
        Read suppressions(limit: usize, after: Option<String>) -> Vec<Suppression>;
    }

    Schedules {
        Read due_schedules(request: DueRequest) -> DueSchedules;
        Write write_schedules(writes: Vec<ScheduleWrite>) -> Vec<ScheduleAnswer>;
        Read wall_time() -> Timestamp;
        Read schedule(job: &str, name: &str) -> Option<StoredSchedule>;
        Read schedules(filter: ScheduleFilter) -> Vec<StoredSchedule>;
        Write gather_schedules(job: &str, queue: &str) -> ();
    }

    Audit {
        Write record_action(action: NewAction) -> ();
        Read action(id: ActionId) -> Option<RecordedAction>;
        Read actions(filter: ActionFilter) -> Vec<RecordedAction>;
    }
}

//! A store that answers badly, over a real one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    ActionId, Audit, ClaimRequest, Claimed, Clock, EmailId, EmailLog, Ending, Enqueued, Error, ErrorKind,
    Inspect, LeaseAnswer, LeaseConnection, LeaseRef, LeaseToken, Limits, NewRun, Operate, Queue, Registry,
    Replay, Retention, Run, RunFilter, RunId, SavedStep, Settlement, StepSave, Store, WakeUps, WorkerId,
    email::{
        EmailEnding, EmailEvent, EmailFilter, EmailRecord, EmailStart, NewEmail, NewEmailEvent,
        RecordedEmailEvent, Resolution, Suppression,
    },
    store::{
        ActionFilter, DeadError, DeadGroup, EventStart, Health, JobCount, JobDeclaration, JobMetrics,
        MetricsFilter, NewAction, NewEvent, Note, Pruned, QueueStatus, RecordedAction, RegisteredJob,
        RegisteredWorker, RunNotes, StoredEvent, WorkerOrder, WorkerReport, Writes,
    },
};
use uuid::Uuid;

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect.
    Before,
    /// It has its effect, and its reply is lost.
    After,
}

/// Decides the fault of the next call of an operation, if any.
pub type Faults = Arc<dyn Fn(&'static str) -> Option<Fault> + Send + Sync>;

/// A store whose calls fail as they are told, with `Unavailable`.
#[derive(Clone)]
pub struct Unreliable {
    inner: Arc<dyn Store>,
    faults: Faults,
    fails: Fails,
    refuses: Refuses,
    /// What became of the newest enqueue.
    writes: Arc<Writes>,
}

/// The error of the next call of an operation, if any; it has no effect then.
type Fails = Arc<dyn Fn(&'static str) -> Option<Error> + Send + Sync>;

/// Whether a text can't be stored.
type Refuses = Arc<dyn Fn(&str) -> bool + Send + Sync>;

impl Unreliable {
    /// Fails as `faults` says; leases are extended reliably, since the keeper's connection is its own.
    pub fn new(
        inner: Arc<dyn Store>,
        faults: impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            faults: Arc::new(faults),
            fails: Arc::new(|_| None),
            refuses: Arc::new(|_| false),
            writes: Arc::default(),
        }
    }

    /// Fails with other errors than `Unavailable`.
    #[must_use]
    pub fn failing(self, fails: impl Fn(&'static str) -> Option<Error> + Send + Sync + 'static) -> Self {
        Self { fails: Arc::new(fails), ..self }
    }

    /// Refuses settlements, notes and outcomes of emails with a text like this, as a database does whose encoding lacks a
    /// character: the whole call, with nothing done.
    #[must_use]
    pub fn refusing(self, refuses: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { refuses: Arc::new(refuses), ..self }
    }

    fn take<'a>(
        &self,
        operation: &'static str,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Error> {
        if texts.into_iter().any(|text| (self.refuses)(text)) {
            let message = "a text holds what the store can't hold";
            return Err(Error::new(ErrorKind::Rejected, operation, message));
        }
        Ok(())
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match (self.fails)(operation) {
            Some(error) => Err(error),
            None => befallen((self.faults)(operation), operation, call).await,
        }
    }
}

/// A call under its fault.
pub(crate) async fn befallen<T>(
    fault: Option<Fault>,
    operation: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let lost =
        |when: &str| Error::new(ErrorKind::Unavailable, operation, format!("failed {when} its effect"));
    match fault {
        None => call.await,
        Some(Fault::Before) => Err(lost("before")),
        Some(Fault::After) => {
            call.await?;
            Err(lost("after"))
        }
    }
}

#[async_trait]
impl Queue for Unreliable {
    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        self.writes.note(self.call("enqueue", self.inner.enqueue(runs)).await)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        self.call("claim", self.inner.claim(request)).await
    }

    async fn give_back(&self, queue: &str, token: LeaseToken) -> Result<(), Error> {
        self.call("give_back", self.inner.give_back(queue, token)).await
    }

    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error> {
        self.call("extend", self.inner.extend(leases, lease)).await
    }

    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error> {
        self.call("save_steps", self.inner.save_steps(steps)).await
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<Vec<LeaseAnswer>, Error> {
        let lines = notes.iter().flat_map(|note| &note.lines).map(|line| line.text.as_str());
        let progress = notes.iter().filter_map(|note| Some(note.progress.as_ref()?.text.as_str()));
        self.take("annotate", lines.chain(progress))?;
        self.call("annotate", self.inner.annotate(notes)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        let outputs = settlements.iter().filter_map(|settlement| match &settlement.ending {
            Ending::Succeeded { output } => std::str::from_utf8(&output.bytes).ok(),
            _ => None,
        });
        let errors = settlements.iter().filter_map(|settlement| settlement.error.as_deref());
        self.take("settle", outputs.chain(errors))?;
        self.call("settle", self.inner.settle(settlements)).await
    }

    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
        self.inner.lease_connection().await
    }

    fn queues_stand_apart(&self) -> bool {
        self.inner.queues_stand_apart()
    }

    fn wake_ups(&self) -> WakeUps {
        self.inner.wake_ups()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    async fn now(&self) -> Result<Timestamp, Error> {
        self.inner.now().await
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}

#[async_trait]
impl Registry for Unreliable {
    async fn register_jobs(&self, jobs: Vec<JobDeclaration>) -> Result<(), Error> {
        self.call("register_jobs", self.inner.register_jobs(jobs)).await
    }

    async fn jobs(&self) -> Result<Vec<RegisteredJob>, Error> {
        self.call("jobs", self.inner.jobs()).await
    }

    async fn report_worker(&self, worker: WorkerReport) -> Result<WorkerOrder, Error> {
        self.call("report_worker", self.inner.report_worker(worker)).await
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        self.call("remove_worker", self.inner.remove_worker(worker)).await
    }

    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        self.call("workers", self.inner.workers()).await
    }

    async fn report_metrics(&self, worker: WorkerId, metrics: Vec<JobMetrics>) -> Result<(), Error> {
        self.call("report_metrics", self.inner.report_metrics(worker, metrics)).await
    }

    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        self.call("store_events", self.inner.store_events(events)).await
    }

    async fn start_events(&self, events: Vec<EventStart>) -> Result<Vec<StoredEvent>, Error> {
        self.call("start_events", self.inner.start_events(events)).await
    }

    async fn mark_started(&self, event_id: &str, runs: u32) -> Result<(), Error> {
        self.call("mark_started", self.inner.mark_started(event_id, runs)).await
    }

    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.call("idle_events", self.inner.idle_events(names, limit)).await
    }
}

#[async_trait]
impl Inspect for Unreliable {
    async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.call("run", self.inner.run(id)).await
    }

    async fn steps(&self, id: RunId) -> Result<Vec<SavedStep>, Error> {
        self.call("steps", self.inner.steps(id)).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, Error> {
        self.call("runs", self.inner.runs(filter)).await
    }

    async fn count_runs(&self, filter: RunFilter, most: u64) -> Result<u64, Error> {
        self.call("count_runs", self.inner.count_runs(filter, most)).await
    }

    async fn dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error> {
        self.call("dead_groups", self.inner.dead_groups(limit)).await
    }

    async fn dead_errors(&self, filter: RunFilter) -> Result<Vec<DeadError>, Error> {
        self.call("dead_errors", self.inner.dead_errors(filter)).await
    }

    async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        self.call("counts", self.inner.counts()).await
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        self.call("queues", self.inner.queues()).await
    }

    async fn health(&self) -> Result<Health, Error> {
        let health = self.call("health", self.inner.health()).await?;
        Ok(Health { write_error: self.writes.error(), ..health })
    }

    async fn notes(&self, id: RunId) -> Result<RunNotes, Error> {
        self.call("notes", self.inner.notes(id)).await
    }

    async fn metrics(&self, filter: MetricsFilter) -> Result<Vec<JobMetrics>, Error> {
        self.call("metrics", self.inner.metrics(filter)).await
    }
}

#[async_trait]
impl Operate for Unreliable {
    async fn replay(&self, id: RunId, new_run: RunId, replay: Replay) -> Result<(), Error> {
        self.call("replay", self.inner.replay(id, new_run, replay)).await
    }

    async fn cancel(&self, id: RunId) -> Result<(), Error> {
        self.call("cancel", self.inner.cancel(id)).await
    }

    async fn run_now(&self, id: RunId) -> Result<(), Error> {
        self.call("run_now", self.inner.run_now(id)).await
    }

    async fn pause_queue(&self, queue: &str, by: &str, why: &str) -> Result<(), Error> {
        self.call("pause_queue", self.inner.pause_queue(queue, by, why)).await
    }

    async fn resume_queue(&self, queue: &str) -> Result<(), Error> {
        self.call("resume_queue", self.inner.resume_queue(queue)).await
    }

    async fn order_worker(&self, worker: WorkerId, order: WorkerOrder) -> Result<(), Error> {
        self.call("order_worker", self.inner.order_worker(worker, order)).await
    }

    async fn discard(&self, id: RunId) -> Result<(), Error> {
        self.call("discard", self.inner.discard(id)).await
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        self.call("prune", self.inner.prune(retention)).await
    }
}

#[async_trait]
impl EmailLog for Unreliable {
    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error> {
        self.call("intend_email", self.inner.intend_email(email)).await
    }

    async fn start_email(&self, id: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error> {
        self.call("start_email", self.inner.start_email(id, start)).await
    }

    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error> {
        self.call("email_body_begins", self.inner.email_body_begins(id, sender, sends)).await
    }

    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error> {
        self.take(
            "end_email",
            match &ending {
                EmailEnding::Sent { message_id, reply } => [message_id.as_str(), reply],
                EmailEnding::NotSent { error, .. } => [error.as_str(), ""],
            },
        )?;
        self.call("end_email", self.inner.end_email(id, sender, ending)).await
    }

    async fn fail_emails_of_run(&self, run: RunId, error: &str) -> Result<(), Error> {
        self.take("fail_emails_of_run", [error])?;
        self.call("fail_emails_of_run", self.inner.fail_emails_of_run(run, error)).await
    }

    async fn record_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        self.call("record_email_event", self.inner.record_email_event(event)).await
    }

    async fn resolve_email(&self, id: EmailId, resolution: Resolution, by: &str) -> Result<(), Error> {
        self.call("resolve_email", self.inner.resolve_email(id, resolution, by)).await
    }

    async fn email(&self, id: EmailId) -> Result<Option<EmailRecord>, Error> {
        self.call("email", self.inner.email(id)).await
    }

    async fn emails(&self, filter: EmailFilter) -> Result<Vec<EmailRecord>, Error> {
        self.call("emails", self.inner.emails(filter)).await
    }

    async fn email_events(&self, id: EmailId) -> Result<Vec<EmailEvent>, Error> {
        self.call("email_events", self.inner.email_events(id)).await
    }

    async fn suppress(&self, address: &str, reason: &str) -> Result<(), Error> {
        self.call("suppress", self.inner.suppress(address, reason)).await
    }

    async fn unsuppress(&self, address: &str) -> Result<(), Error> {
        self.call("unsuppress", self.inner.unsuppress(address)).await
    }

    async fn suppression(&self, address: &str) -> Result<Option<String>, Error> {
        self.call("suppression", self.inner.suppression(address)).await
    }

    async fn suppressions(&self, limit: usize, after: Option<String>) -> Result<Vec<Suppression>, Error> {
        self.call("suppressions", self.inner.suppressions(limit, after)).await
    }
}

#[async_trait]
impl Audit for Unreliable {
    async fn record_action(&self, action: NewAction) -> Result<(), Error> {
        self.call("record_action", self.inner.record_action(action)).await
    }

    async fn action(&self, id: ActionId) -> Result<Option<RecordedAction>, Error> {
        self.call("action", self.inner.action(id)).await
    }

    async fn actions(&self, filter: ActionFilter) -> Result<Vec<RecordedAction>, Error> {
        self.call("actions", self.inner.actions(filter)).await
    }
}

//! A store over a real one, each of whose writes is made twice.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    ActionId, Audit, ClaimRequest, Claimed, Clock, EmailId, EmailLog, Enqueued, Error, Inspect, LeaseAnswer,
    LeaseConnection, LeaseRef, LeaseToken, Limits, NewRun, Operate, Queue, Registry, Replay, Retention, Run,
    RunFilter, RunId, SavedStep, Settlement, StepSave, Store, WakeUps, WorkerId,
    email::{
        EmailEnding, EmailEvent, EmailFilter, EmailRecord, EmailStart, NewEmail, NewEmailEvent,
        RecordedEmailEvent, Resolution, Suppression,
    },
    store::{
        ActionFilter, DeadError, DeadGroup, EventStart, Health, JobCount, JobDeclaration, JobMetrics,
        MetricsFilter, NewAction, NewEvent, Note, Pruned, QueueStatus, RecordedAction, RegisteredJob,
        RegisteredWorker, RunNotes, StoredEvent, WorkerOrder, WorkerReport,
    },
};
use uuid::Uuid;

/// A store whose every write loses its first reply and is made again, as a caller would.
#[derive(Clone)]
pub struct LostReplies {
    inner: Arc<dyn Store>,
}

impl LostReplies {
    /// Over a reliable store.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }

    /// Whether another claim has settled the run between a settlement and its repeat: only then may the repeat be
    /// told that its lease is lost.
    async fn has_moved_on(&self, settlement: &Settlement) -> Result<bool, Error> {
        let Some(run) = self.inner.run(settlement.lease.run).await? else { return Ok(false) };
        let newest = run.attempts.last().map(|attempt| (attempt.number, attempt.outcome));
        Ok(newest != Some((settlement.attempt, settlement.outcome)))
    }
}

#[async_trait]
impl Queue for LostReplies {
    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
        let first = self.inner.enqueue(runs.clone()).await?;
        let mut answers = self.inner.enqueue(runs).await?;
        // The caller knows its own ids: one that is there by now was stored by the call whose reply was lost.
        for ((answer, first), id) in answers.iter_mut().zip(first).zip(ids) {
            if first.is_new() && *answer == Enqueued::Existing(id) {
                *answer = Enqueued::New(id);
            }
        }
        Ok(answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        self.inner.claim(request.clone()).await?;
        self.inner.give_back(&request.queue, request.token).await?;
        self.inner.claim(request).await
    }

    async fn give_back(&self, queue: &str, token: LeaseToken) -> Result<(), Error> {
        self.inner.give_back(queue, token).await?;
        self.inner.give_back(queue, token).await
    }

    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error> {
        self.inner.extend(leases.clone(), lease).await?;
        self.inner.extend(leases, lease).await
    }

    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error> {
        self.inner.save_steps(steps.clone()).await?;
        self.inner.save_steps(steps).await
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<Vec<LeaseAnswer>, Error> {
        self.inner.annotate(notes.clone()).await?;
        self.inner.annotate(notes).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        let first = self.inner.settle(settlements.clone()).await?;
        let mut answers = self.inner.settle(settlements.clone()).await?;
        for ((answer, first), settlement) in answers.iter_mut().zip(first).zip(settlements) {
            let lost_since = first == LeaseAnswer::Done && *answer == LeaseAnswer::LeaseLost;
            if lost_since && self.has_moved_on(&settlement).await? {
                *answer = LeaseAnswer::Done;
            }
        }
        Ok(answers)
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
impl Registry for LostReplies {
    async fn register_jobs(&self, jobs: Vec<JobDeclaration>) -> Result<(), Error> {
        self.inner.register_jobs(jobs.clone()).await?;
        self.inner.register_jobs(jobs).await
    }

    async fn jobs(&self) -> Result<Vec<RegisteredJob>, Error> {
        self.inner.jobs().await
    }

    async fn report_worker(&self, worker: WorkerReport) -> Result<WorkerOrder, Error> {
        self.inner.report_worker(worker.clone()).await?;
        self.inner.report_worker(worker).await
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        self.inner.remove_worker(worker).await?;
        self.inner.remove_worker(worker).await
    }

    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        self.inner.workers().await
    }

    async fn report_metrics(&self, worker: WorkerId, metrics: Vec<JobMetrics>) -> Result<(), Error> {
        self.inner.report_metrics(worker, metrics.clone()).await?;
        self.inner.report_metrics(worker, metrics).await
    }

    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        self.inner.store_events(events.clone()).await?;
        self.inner.store_events(events).await
    }

    async fn start_events(&self, events: Vec<EventStart>) -> Result<Vec<StoredEvent>, Error> {
        self.inner.start_events(events.clone()).await?;
        self.inner.start_events(events).await
    }

    async fn mark_started(&self, event_id: &str, runs: u32) -> Result<(), Error> {
        self.inner.mark_started(event_id, runs).await?;
        self.inner.mark_started(event_id, runs).await
    }

    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.inner.idle_events(names, limit).await
    }
}

#[async_trait]
impl Inspect for LostReplies {
    async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.inner.run(id).await
    }

    async fn steps(&self, id: RunId) -> Result<Vec<SavedStep>, Error> {
        self.inner.steps(id).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, Error> {
        self.inner.runs(filter).await
    }

    async fn count_runs(&self, filter: RunFilter, most: u64) -> Result<u64, Error> {
        self.inner.count_runs(filter, most).await
    }

    async fn dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error> {
        self.inner.dead_groups(limit).await
    }

    async fn dead_errors(&self, filter: RunFilter) -> Result<Vec<DeadError>, Error> {
        self.inner.dead_errors(filter).await
    }

    async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        self.inner.counts().await
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        self.inner.queues().await
    }

    async fn health(&self) -> Result<Health, Error> {
        self.inner.health().await
    }

    async fn notes(&self, id: RunId) -> Result<RunNotes, Error> {
        self.inner.notes(id).await
    }

    async fn metrics(&self, filter: MetricsFilter) -> Result<Vec<JobMetrics>, Error> {
        self.inner.metrics(filter).await
    }
}

#[async_trait]
impl Operate for LostReplies {
    async fn replay(&self, id: RunId, new_run: RunId, replay: Replay) -> Result<(), Error> {
        self.inner.replay(id, new_run, replay.clone()).await?;
        self.inner.replay(id, new_run, replay).await
    }

    async fn cancel(&self, id: RunId) -> Result<(), Error> {
        self.inner.cancel(id).await?;
        self.inner.cancel(id).await
    }

    async fn run_now(&self, id: RunId) -> Result<(), Error> {
        self.inner.run_now(id).await?;
        self.inner.run_now(id).await
    }

    async fn pause_queue(&self, queue: &str, by: &str, why: &str) -> Result<(), Error> {
        self.inner.pause_queue(queue, by, why).await?;
        self.inner.pause_queue(queue, by, why).await
    }

    async fn resume_queue(&self, queue: &str) -> Result<(), Error> {
        self.inner.resume_queue(queue).await?;
        self.inner.resume_queue(queue).await
    }

    async fn order_worker(&self, worker: WorkerId, order: WorkerOrder) -> Result<(), Error> {
        self.inner.order_worker(worker, order).await?;
        self.inner.order_worker(worker, order).await
    }

    async fn discard(&self, id: RunId) -> Result<(), Error> {
        self.inner.discard(id).await?;
        self.inner.discard(id).await
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        self.inner.prune(retention).await
    }
}

#[async_trait]
impl EmailLog for LostReplies {
    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error> {
        self.inner.intend_email(email.clone()).await?;
        self.inner.intend_email(email).await
    }

    async fn start_email(&self, id: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error> {
        self.inner.start_email(id, start).await
    }

    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error> {
        self.inner.email_body_begins(id, sender, sends).await?;
        self.inner.email_body_begins(id, sender, sends).await
    }

    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error> {
        self.inner.end_email(id, sender, ending.clone()).await?;
        self.inner.end_email(id, sender, ending).await
    }

    async fn fail_emails_of_run(&self, run: RunId, error: &str) -> Result<(), Error> {
        self.inner.fail_emails_of_run(run, error).await?;
        self.inner.fail_emails_of_run(run, error).await
    }

    async fn record_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        let first = self.inner.record_email_event(event.clone()).await?;
        let again = self.inner.record_email_event(event).await?;
        assert!(!again.is_new, "an event that is recorded again is not new");
        Ok(RecordedEmailEvent { is_new: first.is_new, ..again })
    }

    async fn resolve_email(&self, id: EmailId, resolution: Resolution, by: &str) -> Result<(), Error> {
        self.inner.resolve_email(id, resolution, by).await?;
        self.inner.resolve_email(id, resolution, by).await
    }

    async fn email(&self, id: EmailId) -> Result<Option<EmailRecord>, Error> {
        self.inner.email(id).await
    }

    async fn emails(&self, filter: EmailFilter) -> Result<Vec<EmailRecord>, Error> {
        self.inner.emails(filter).await
    }

    async fn email_events(&self, id: EmailId) -> Result<Vec<EmailEvent>, Error> {
        self.inner.email_events(id).await
    }

    async fn suppress(&self, address: &str, reason: &str) -> Result<(), Error> {
        self.inner.suppress(address, reason).await?;
        self.inner.suppress(address, reason).await
    }

    async fn unsuppress(&self, address: &str) -> Result<(), Error> {
        self.inner.unsuppress(address).await?;
        self.inner.unsuppress(address).await
    }

    async fn suppression(&self, address: &str) -> Result<Option<String>, Error> {
        self.inner.suppression(address).await
    }

    async fn suppressions(&self, limit: usize, after: Option<String>) -> Result<Vec<Suppression>, Error> {
        self.inner.suppressions(limit, after).await
    }
}

#[async_trait]
impl Audit for LostReplies {
    async fn record_action(&self, action: NewAction) -> Result<(), Error> {
        self.inner.record_action(action.clone()).await?;
        self.inner.record_action(action).await
    }

    async fn action(&self, id: ActionId) -> Result<Option<RecordedAction>, Error> {
        self.inner.action(id).await
    }

    async fn actions(&self, filter: ActionFilter) -> Result<Vec<RecordedAction>, Error> {
        self.inner.actions(filter).await
    }
}

//! The trait for what is known across processes: jobs, workers, events.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    JobMetrics, JobRules, LackingPath, NewRun, RepeatedEach, WORKER_FORGOTTEN_AFTER, WORKER_GONE_AFTER,
};
use crate::{
    Enqueued, Error, Payload, Priority, RunId, TraceContext, WorkerId, clock, events::EVENT_ID_KEPT,
    state::closed_set,
};

/// What is known across processes: jobs, workers, events.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Registry: Send + Sync {
    /// Notes that these jobs exist, now; replaces what was known of them.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn register_jobs(&self, jobs: Vec<JobDeclaration>) -> Result<(), Error>;

    /// Every job ever registered, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn jobs(&self) -> Result<Vec<RegisteredJob>, Error>;

    /// Notes that a worker is alive, now; replaces what it reported before. Answers what it was ordered.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn report_worker(&self, worker: WorkerReport) -> Result<WorkerOrder, Error>;

    /// Forgets a worker that has stopped.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error>;

    /// The workers that were seen within [`WORKER_FORGOTTEN_AFTER`](super::WORKER_FORGOTTEN_AFTER), the most recently seen
    /// first, whether or not anybody has pruned.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error>;

    /// Notes what a worker has counted: each item replaces what the worker has reported of that job and span of time.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn report_metrics(&self, worker: WorkerId, metrics: Vec<JobMetrics>) -> Result<(), Error>;

    /// Stores events, all or none; one whose id came before (also earlier in the list), no longer ago than the first one
    /// with it says ([`NewEvent::id_kept`]), is left as it was.
    /// Answers in order with what is stored under each id.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error>;

    /// Stores events as [`store_events`](Self::store_events) does and, of those that are idle, enqueues
    /// the runs of their jobs and notes what became of them, in as few commits as the store can: in SQL one, all or none.
    /// Answers as `store_events` does, with what was noted.
    ///
    /// Where an application's open transaction holds one of the ids, or the unique key of one of the runs, PostgreSQL
    /// starts the others, and answers `Unavailable` that names it: sent again, it starts nothing twice.
    ///
    /// Each run holds a key made of its event's id, so that its job starts once for the event, however often this is
    /// repeated; and the job's own, where its rules make one. Where another run holds the job's own, the event joins that
    /// run: its key is noted as answered by it, and it starts nothing for that job.
    ///
    /// # Errors
    /// As [`Queue::enqueue`](super::Queue::enqueue), but never `Conflict`; `Unavailable`; repeating is safe.
    async fn start_events(&self, events: Vec<EventStart>) -> Result<Vec<StoredEvent>, Error>;

    /// Notes the runs of an event, one of each of its jobs: with any, it is idle no longer.
    ///
    /// # Errors
    /// `Unavailable`; repeating notes the same.
    async fn mark_started(&self, event_id: &str, runs: Vec<EventRun>) -> Result<(), Error>;

    /// Idle events with one of these names, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error>;
}

/// A job as a producer or worker announces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDeclaration {
    /// The job's name.
    pub name: String,
    /// Its queue.
    pub queue: String,
    /// Its priority among due runs.
    pub priority: Priority,
    /// The event that starts it.
    pub trigger: Option<String>,
    /// Its retry policy in words, for people; `None` from a producer that has no instance.
    pub policy: Option<String>,
    /// What holds for each of its runs.
    #[serde(default)]
    pub rules: JobRules,
}

/// A job as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredJob {
    /// What was announced last.
    pub declaration: JobDeclaration,
    /// When that was.
    pub seen_at: Timestamp,
}

/// A worker as it reports itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Random, of this process alone.
    pub id: WorkerId,
    /// A label for people: host name and process id, or what the application says.
    pub label: String,
    /// The library's version.
    pub version: String,
    /// The jobs that it runs, each with the queue that it takes it from.
    pub jobs: BTreeMap<String, String>,
    /// How many attempts it runs at once, at most.
    pub concurrency: u32,
    /// How many it runs now.
    pub running: u32,
    /// How many runs it has claimed beside these, for the next free slots, by queue; a queue with none may be left out.
    pub claimed_ahead: BTreeMap<String, u32>,
    /// What keeps failing, at most one of each kind.
    pub troubles: Vec<WorkerTrouble>,
}

/// What has failed each time a worker tried it, for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerTrouble {
    /// What kind of thing.
    pub kind: TroubleKind,
    /// For how long, up to the worker's report.
    pub lasting: Duration,
    /// What was tried, and the newest error.
    pub error: String,
}

/// What can keep failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TroubleKind {
    /// What a worker does beside its runs, such as pruning.
    Housekeeping,
    /// Runs of some queue can't be claimed.
    Claims,
    /// A provider takes no email for now.
    Mailer,
    /// A provider takes no email until its key, its sender or its certificate is put right.
    MailerSetup,
    /// Some schedule, or any, can't be ticked.
    Schedules,
}

closed_set! {
    /// What a worker is to do.
    WorkerOrder {
        /// Take runs.
        Work = "work",
        /// Take no more runs, and end those that it has; it stays alive.
        Drain = "drain",
    }
}

/// A worker as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredWorker {
    /// What it reported last.
    pub report: WorkerReport,
    /// When it first reported.
    pub started_at: Timestamp,
    /// When it last reported.
    pub seen_at: Timestamp,
    /// What it was ordered; it heeds it from its next report on.
    pub order: WorkerOrder,
}

impl RegisteredWorker {
    /// Whether it has reported within [`WORKER_GONE_AFTER`] of `now`, the store's time.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        clock::later(self.seen_at, WORKER_GONE_AFTER) > now
    }

    /// Whether it is still listed at `now`, the store's time.
    pub fn is_listed(&self, now: Timestamp) -> bool {
        clock::later(self.seen_at, WORKER_FORGOTTEN_AFTER) >= now
    }
}

/// An event to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Given by the sender, or made in core.
    pub id: String,
    /// The name that jobs are triggered by.
    pub name: String,
    /// The data, which is the input of the runs it starts: see [`Payload::event_data`].
    pub data: Payload,
    /// When its runs are due, where that is not at once.
    pub due_at: Option<Timestamp>,
    /// For how long its id starts nothing again, counted from its arrival: [`EVENT_ID_KEPT`], or longer where the sender
    /// may repeat it later. Each job that it has started keeps the id for so long; the event itself is kept as
    /// [`Retention::events`](super::Retention::events) says.
    pub id_kept: Duration,
    /// The trace that it belongs to, and so do the runs that it starts; [`Jobs`](crate::Jobs) sets it where a trace is
    /// propagated.
    pub trace: Option<TraceContext>,
}

impl NewEvent {
    /// An event whose runs are due at once and whose id is kept for 24 h.
    pub fn new(id: impl Into<String>, name: impl Into<String>, data: Payload) -> Self {
        Self { id: id.into(), name: name.into(), data, due_at: None, id_kept: EVENT_ID_KEPT, trace: None }
    }
}

/// An event with the jobs that it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct EventStart {
    /// The event.
    pub event: NewEvent,
    /// As [`jobs_started_by`](crate::events::jobs_started_by) finds them; may be none.
    pub jobs: Vec<JobDeclaration>,
}

impl EventStart {
    /// The runs that are to be enqueued where this is stored under the event's id: none unless it is idle. The
    /// first event under an id wins, so they take its data and due time; one of another name has other jobs, whose
    /// workers adopt it.
    pub fn runs_for(&self, stored: &StoredEvent) -> Vec<NewRun> {
        if !stored.is_idle() || stored.event.name != self.event.name {
            return Vec::new();
        }
        self.jobs.iter().map(|job| NewRun::of_event(job, &stored.event)).collect()
    }
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// What was sent first under the id.
    pub event: NewEvent,
    /// When it came.
    pub received_at: Timestamp,
    /// The runs that it started or joined, one of each of its jobs and in the order of these; none yet of an idle event.
    pub runs: Vec<EventRun>,
}

impl StoredEvent {
    /// Whether it has neither started nor joined a run, so that a job that registers may adopt it.
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }
}

closed_set! {
    /// What an event did for a job.
    EventEffect {
        /// It started the run.
        Started = "started",
        /// It joined a run that held the job's own unique key.
        Joined = "joined",
    }
}

/// What became of an event for one of its jobs. Stores keep it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRun {
    /// The job's name.
    pub job: String,
    /// The run that stands for the event.
    pub run: RunId,
    /// Whether the event started it.
    pub effect: EventEffect,
    /// What the event's data lacks for the run's keys; the run has none of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<LackingPath>,
}

impl EventRun {
    /// What the answer says of a run that was enqueued for an event.
    pub fn of(run: &NewRun, answer: Enqueued) -> Self {
        for LackingPath { rule, path } in &run.lacking {
            static LACKING: RepeatedEach = RepeatedEach::new();
            if let Some(times) = LACKING.happened(&format!("{}\0{path}", run.job)) {
                let (job, run) = (&run.job, answer.id());
                tracing::warn!(job, %run, %rule, path, times, "an event's data lacks the field of a key");
            }
        }
        let (effect, lacking) = match answer {
            Enqueued::Joined(_) => (EventEffect::Joined, Vec::new()),
            Enqueued::New(_) | Enqueued::Existing(_) | Enqueued::Staged(_) => {
                (EventEffect::Started, run.lacking.clone())
            }
        };
        Self { job: run.job.clone(), run: answer.id(), effect, lacking }
    }

    /// Puts it among the runs of its event, which are in the order of their jobs; one that is there for its job stays.
    pub fn file_in(self, runs: &mut Vec<EventRun>) {
        if let Err(place) = runs.binary_search_by(|known| known.job.cmp(&self.job)) {
            runs.insert(place, self);
        }
    }
}

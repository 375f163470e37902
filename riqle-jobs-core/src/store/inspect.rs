use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DeadGroup, EventFilter, Health, JobMetrics, ListedEvent, MetricsFilter, QueueStatus, RunNotes};
use crate::{
    AttemptRecord, Error, JobInput, Payload, Priority, Reason, RunId, RunState, SavedStep, WorkerId,
};

/// Where counting may stop: a number below it is exact; any other is a lower bound, at least this.
pub const COUNTED_TO: u64 = 10_000;

/// Read: what operators, dashboards and tests see.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Inspect: Send + Sync {
    /// One run, with its attempts, in whatever state.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if a stored word is unknown.
    async fn run(&self, id: RunId) -> Result<Option<Run>, Error>;

    /// The saved steps of a run, in order of saving; empty if there are none.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn steps(&self, id: RunId) -> Result<Vec<SavedStep>, Error>;

    /// A page of runs, newest id first. State `dead` lists dead letters: not those that were replayed.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if a stored word is unknown.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, Error>;

    /// How many runs `runs` would list on all its pages together, counted up to `most`; `before` applies,
    /// `limit` does not.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn count_runs(&self, filter: RunFilter, most: u64) -> Result<u64, Error>;

    /// Dead letters by job and fingerprint of their newest error: at most `limit` groups, newest death first;
    /// ties by job and fingerprint.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error>;

    /// The newest errors of a page of dead letters, newest id first: of those that `runs` would list by state
    /// `dead`, whatever the filter's states. A text search reads nothing else of them.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if attempts can't be read.
    async fn dead_errors(&self, filter: RunFilter) -> Result<Vec<DeadError>, Error>;

    /// How many runs of each job are in each state, by job and state; zero counts and replayed dead runs are
    /// left out.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn counts(&self) -> Result<Vec<JobCount>, Error>;

    /// The queues that are paused or hold runs that have not ended, by name. Per job and state, counting may
    /// stop at [`COUNTED_TO`] runs.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn queues(&self) -> Result<Vec<QueueStatus>, Error>;

    /// What a health page shows first: what has waited longest, what no worker takes, what is wrong with the
    /// store.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn health(&self) -> Result<Health, Error>;

    /// The notes of a run's bodies; empty if they wrote none or there is no run.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if a stored word is unknown.
    async fn notes(&self, id: RunId) -> Result<RunNotes, Error>;

    /// A page of events, newest first; of a name, those among the newest [`EVENTS_LOOKED_AT`](super::EVENTS_LOOKED_AT) that
    /// are older than `before`. Behind an event that is gone there is nothing.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if the runs of one can't be read.
    async fn events(&self, filter: EventFilter) -> Result<Vec<ListedEvent>, Error>;

    /// What the jobs did in each time span, merged over the workers, by start and job.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if a stored histogram can't be read.
    async fn metrics(&self, filter: MetricsFilter) -> Result<Vec<JobMetrics>, Error>;
}

/// A run in its current state.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The job's name.
    pub job: String,
    /// Its queue.
    pub queue: String,
    /// Its priority among due runs.
    pub priority: Priority,
    /// Its state.
    pub state: RunState,
    /// Why it ended, if it has.
    pub reason: Option<Reason>,
    /// The job's input.
    pub input: Payload,
    /// What the body returned, if it has succeeded.
    pub output: Option<Payload>,
    /// Failed attempts.
    pub failures: u32,
    /// Claims that ended by their lease running out.
    pub crashes: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When it is, or was last, due.
    pub due_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// The claim that holds it, while it is running.
    pub holder: Option<Holder>,
    /// Its ended attempts, oldest first, the newest 25 records.
    pub attempts: Vec<AttemptRecord>,
    /// Groups runs with similar newest errors: as the settlement that carried it said.
    pub error_fingerprint: Option<String>,
    /// The first run in its chain of replays; itself if it is not a replay.
    pub root: RunId,
    /// The run that it replays.
    pub replay_of: Option<RunId>,
    /// The run that replays it.
    pub replayed_by: Option<RunId>,
    /// Its unique key.
    pub unique_key: Option<String>,
    /// The application's own name for what it is about.
    pub reference: Option<String>,
    /// The event that started it.
    pub event_id: Option<String>,
}

impl Run {
    /// The current or next attempt: `failures + 1`.
    pub fn attempt(&self) -> u32 {
        self.failures.saturating_add(1)
    }

    /// The newest error; a snooze's message is not one.
    pub fn error(&self) -> Option<&str> {
        newest_error(&self.attempts)
    }
}

fn newest_error(attempts: &[AttemptRecord]) -> Option<&str> {
    let mut newest = attempts.iter().rev().filter(|attempt| !attempt.outcome.is_uncharged());
    newest.find_map(|attempt| attempt.error.as_deref())
}

/// Who holds a running run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The worker.
    pub worker: WorkerId,
    /// When it claimed.
    pub claimed_at: Timestamp,
    /// When the lease runs out.
    pub lease_until: Timestamp,
}

/// Which runs to list. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFilter {
    /// Of these states.
    pub states: Vec<RunState>,
    /// Of this job.
    pub job: Option<String>,
    /// Of this queue.
    pub queue: Option<String>,
    /// With this reference.
    pub reference: Option<String>,
    /// With this unique key.
    pub unique_key: Option<String>,
    /// With this fingerprint of the newest error; an empty one means runs without an error.
    pub error_fingerprint: Option<String>,
    /// Enqueued at this time or later.
    pub enqueued_from: Option<Timestamp>,
    /// Enqueued before this time.
    pub enqueued_before: Option<Timestamp>,
    /// Older than this one: the last id of the previous page.
    pub before: Option<RunId>,
    /// Page size; 0 means 100.
    pub limit: usize,
}

macro_rules! of_state {
    ($($name:ident: $state:ident,)+) => {
        $(
            #[doc = concat!("Runs that are ", stringify!($name), ".")]
            pub fn $name() -> Self {
                Self::all().states([RunState::$state])
            }
        )+
    };
}

impl RunFilter {
    /// All runs.
    pub fn all() -> Self {
        Self::default()
    }

    of_state! {
        pending: Pending, running: Running, waiting: Waiting, succeeded: Succeeded, dead: Dead, cancelled: Cancelled,
    }

    /// In one of these states; an empty list means any.
    #[must_use]
    pub fn states(mut self, states: impl Into<Vec<RunState>>) -> Self {
        self.states = states.into();
        self
    }

    /// Of the job of this input.
    #[must_use]
    pub fn of<I: JobInput>(self) -> Self {
        self.job(I::JOB)
    }

    /// Of the job of this name.
    #[must_use]
    pub fn job(mut self, name: impl Into<String>) -> Self {
        self.job = Some(name.into());
        self
    }

    /// Of this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// With this reference.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// With this unique key.
    #[must_use]
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    /// With this fingerprint of the newest error; an empty one means runs without an error.
    #[must_use]
    pub fn error_fingerprint(mut self, fingerprint: impl Into<String>) -> Self {
        self.error_fingerprint = Some(fingerprint.into());
        self
    }

    /// Enqueued at this time or later.
    #[must_use]
    pub fn enqueued_from(mut self, from: Timestamp) -> Self {
        self.enqueued_from = Some(from);
        self
    }

    /// Enqueued before this time.
    #[must_use]
    pub fn enqueued_before(mut self, before: Timestamp) -> Self {
        self.enqueued_before = Some(before);
        self
    }

    /// Older than this run: the last one of the previous page.
    #[must_use]
    pub fn before(mut self, run: RunId) -> Self {
        self.before = Some(run);
        self
    }

    /// Page size; 0 means 100.
    #[must_use]
    pub fn limit(mut self, runs: usize) -> Self {
        self.limit = runs;
        self
    }

    /// Page size, with 0 replaced by 100.
    pub fn page_size(&self) -> usize {
        if self.limit == 0 { 100 } else { self.limit }
    }
}

/// A dead letter and its newest error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadError {
    /// The run.
    pub run: RunId,
    /// Its newest error; `None` if no attempt had one.
    pub error: Option<String>,
}

impl DeadError {
    /// The newest error of a run with these attempts, oldest first.
    pub fn of(run: RunId, attempts: &[AttemptRecord]) -> Self {
        Self { run, error: newest_error(attempts).map(str::to_owned) }
    }
}

/// How many runs of a job are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCount {
    /// The job's name.
    pub job: String,
    /// The state.
    pub state: RunState,
    /// How many.
    pub runs: u64,
}

//! The trait by which runs, queues, health, events and metrics are read.

use async_trait::async_trait;

use super::{
    DeadGroup, EventFilter, Health, JobMetrics, ListedEvent, MetricsFilter, Problem, QueueStatus, RunNotes,
    run::newest_error,
};
use crate::{AttemptRecord, Error, Run, RunFilter, RunId, RunState, SavedStep};

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

    /// What is wrong with the store besides what [`health`](Self::health) names: what changes too seldom, or takes too long to
    /// look at, for a page that is read each second.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn examine(&self) -> Result<Vec<Problem>, Error>;

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

//! The trait for what operators do, and how long what is stored is kept.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::{Replay, WorkerOrder};
use crate::{Error, RunId, WorkerId};

/// For operators: what they do.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Operate: Send + Sync {
    /// Starts a dead or cancelled run again, as the new run `new_run`, due now, with the same input or the
    /// given one, and no failures, crashes or notes; the original leaves the dead letters with `replayed_by`
    /// set and keeps its own input. The unique key is taken again; a period counts from now. Repeating it with
    /// the same `new_run` changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` if the run has not ended, has succeeded, was replayed by another run, or the
    /// input is over the limit; `Conflict` if its unique key is taken by now; `Unavailable`.
    async fn replay(&self, id: RunId, new_run: RunId, replay: Replay) -> Result<(), Error>;

    /// Cancels a run that has not ended. A running one is cancelled at once: its worker is told, and its
    /// further writes are refused.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` if the run has ended in another way; `Unavailable`. Repeating is safe.
    async fn cancel(&self, id: RunId) -> Result<(), Error>;

    /// Makes a pending or waiting run due now; workers are woken. A run that is already due keeps its place.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` if the run is running or has ended; `Unavailable`. Repeating is safe.
    async fn run_now(&self, id: RunId) -> Result<(), Error>;

    /// Pauses a queue: from now on no claim gets a run of it, not even one whose lease has run out. Running
    /// attempts continue, and may be settled; runs can still be enqueued. A paused queue is left as is.
    ///
    /// # Errors
    /// As [`Pause::new`](super::Pause::new); `Unavailable`. Repeating is safe.
    async fn pause_queue(&self, queue: &str, by: &str, why: &str) -> Result<(), Error>;

    /// Ends the pause of a queue, if there is one; workers are woken.
    ///
    /// # Errors
    /// `Unavailable`. Repeating is safe.
    async fn resume_queue(&self, queue: &str) -> Result<(), Error>;

    /// Tells a worker what to do, from its next report on; see [`WorkerOrder`].
    ///
    /// # Errors
    /// `NotFound` if no such worker is registered; `Unavailable`. Repeating is safe.
    async fn order_worker(&self, worker: WorkerId, order: WorkerOrder) -> Result<(), Error>;

    /// Deletes a dead letter with its steps and notes. A unique key taken for a period stays taken.
    ///
    /// # Errors
    /// `Rejected` if the run is in another state or was replayed; `Unavailable`. A missing run is fine.
    async fn discard(&self, id: RunId) -> Result<(), Error>;

    /// Deletes what is older than the retention says, in bounded portions, and workers that have not reported
    /// for [`WORKER_FORGOTTEN_AFTER`], whatever it says. A kind that fails does not stop the others.
    ///
    /// # Errors
    /// `Unavailable`, with the kinds that failed; what was deleted stays deleted.
    async fn prune(&self, retention: Retention) -> Result<Pruned, Error>;
}

/// A worker is removed from the list after this long without a report.
pub const WORKER_FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long things are kept, by the store's clock. `None` keeps them forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Succeeded, cancelled and replayed runs, from their end. Default 7 days. PostgreSQL drops them by the day, so up to a
    /// day later.
    pub ended: Option<Duration>,
    /// Dead letters, from their end. Default: forever.
    pub dead: Option<Duration>,
    /// Events, from their arrival. Default 7 days; never less than 24 h.
    pub events: Option<Duration>,
    /// Rows of the email log that are not pending, from their creation. Default 90 days.
    pub emails: Option<Duration>,
    /// Metrics, from the start of their span. Default 7 days.
    pub metrics: Option<Duration>,
    /// Actions of operators, from their first record. Default a year.
    pub actions: Option<Duration>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Retention {
    fn default() -> Self {
        Self {
            ended: Some(DAY * 7),
            dead: None,
            events: Some(DAY * 7),
            emails: Some(DAY * 90),
            metrics: Some(DAY * 7),
            actions: Some(DAY * 365),
        }
    }
}

impl Retention {
    /// Keeps everything.
    pub const FOREVER: Retention =
        Retention { ended: None, dead: None, events: None, emails: None, metrics: None, actions: None };

    /// The same ages and so much more.
    pub(crate) fn older_by(self, more: Duration) -> Self {
        let older = |age: Option<Duration>| age.map(|age| age.saturating_add(more));
        Self {
            ended: older(self.ended),
            dead: older(self.dead),
            events: older(self.events),
            emails: older(self.emails),
            metrics: older(self.metrics),
            actions: older(self.actions),
        }
    }
}

/// How much a prune deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs, of every ended state.
    pub runs: u64,
    /// Events.
    pub events: u64,
    /// Rows of the email log.
    pub emails: u64,
    /// Spans of a job and a worker.
    pub metrics: u64,
    /// Actions of operators.
    pub actions: u64,
}

impl Pruned {
    /// Adds what another call deleted.
    pub(crate) fn add(&mut self, more: Pruned) {
        self.runs += more.runs;
        self.events += more.events;
        self.emails += more.emails;
        self.metrics += more.metrics;
        self.actions += more.actions;
    }
}

/// `3 runs, 0 events, 0 emails, 0 metrics, 0 actions`.
impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, events, emails, metrics, actions } = self;
        write!(f, "{runs} runs, {events} events, {emails} emails, {metrics} metrics, {actions} actions")
    }
}

use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, RunId};

/// Act: what operators do.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Operate: Send + Sync {
    /// Starts a dead or cancelled run once more, as the new run `new_run`, due now, with the same input, no
    /// failures and no crashes; the original leaves the dead letters with `replayed_by` set. The unique key is
    /// taken again, one for a period from now on. Repeated with the same `new_run` it changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` where the run has not ended, has succeeded, or was replayed by another run;
    /// `Conflict` where its unique key is taken by now; `Unavailable`.
    async fn replay(&self, id: RunId, new_run: RunId, from: ReplayFrom) -> Result<(), Error>;

    /// Ends a run that has not ended. A running one is cancelled at once: its worker is told, and what it
    /// still writes is refused.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` where the run has ended another way; `Unavailable`. Repeating is safe.
    async fn cancel(&self, id: RunId) -> Result<(), Error>;

    /// Deletes a dead letter and its steps. A unique key taken for a period stays taken.
    ///
    /// # Errors
    /// `Rejected` where the run stands elsewhere or was replayed; `Unavailable`. One that is not there is fine.
    async fn discard(&self, id: RunId) -> Result<(), Error>;

    /// Deletes what is older than the retention says, in bounded portions.
    ///
    /// # Errors
    /// `Unavailable`; what was deleted so far stays deleted.
    async fn prune(&self, retention: Retention) -> Result<Pruned, Error>;
}

/// Where a replay goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReplayFrom {
    /// Keeps every saved step, so it goes on at the failed one.
    #[default]
    FailedStep,
    /// Keeps no step.
    Start,
    /// Keeps the steps that were saved before the first step of this name.
    Step(String),
}

/// For how long things are kept, by the store's clock. `None` keeps for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Succeeded, cancelled and replayed runs, from their end. Default 7 days.
    pub ended: Option<Duration>,
    /// Dead letters, from their end. Default: kept.
    pub dead: Option<Duration>,
    /// Events, from their arrival. Default 7 days; never less than 24 h.
    pub events: Option<Duration>,
    /// Rows of the email log that are not pending, from their creation. Default 90 days.
    pub emails: Option<Duration>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Retention {
    fn default() -> Self {
        Self { ended: Some(DAY * 7), dead: None, events: Some(DAY * 7), emails: Some(DAY * 90) }
    }
}

impl Retention {
    /// Keeps everything.
    pub const FOREVER: Retention = Retention { ended: None, dead: None, events: None, emails: None };
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
}

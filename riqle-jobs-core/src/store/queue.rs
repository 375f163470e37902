//! The trait by which runs are enqueued, claimed and settled, and what its calls take and answer.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{notes::Note, wake::WakeUps};
use crate::schedule::Tick;
use crate::{
    AttemptOutcome, Clock, Enqueued, Error, LeaseToken, Limits, NewRun, Payload, Priority, Reason, RunId,
    RunState, StepPath, TraceContext, WorkerId,
};

/// For producers and workers: enqueue, claim, settle.
///
/// Every write of a worker names its lease; a store applies it only while that lease is the run's newest and
/// has not been taken over. All times are the store's.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores a group of runs of one queue: all or none. Answers are in the order of `runs`.
    ///
    /// A run whose id is already stored, or whose unique key is taken (possibly earlier in the group), is
    /// `Existing`. Waiting workers are woken.
    ///
    /// # Errors
    /// `Rejected` over a limit and `Conflict` on a taken key with another input, both with the index;
    /// `Unavailable` if it may or may not be stored: repeat the same group.
    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error>;

    /// Takes at most `request.limit` due runs under a lease, by priority, due time, id.
    ///
    /// Runs whose lease ran out are due at their original due time; they are handed out with `crashes` raised
    /// and the lost attempt recorded. Jobs not named cost nothing. A paused queue returns no runs and no next
    /// due time.
    ///
    /// # Errors
    /// `Unavailable`; anything claimed then is freed by [`give_back`](Self::give_back), or when its lease runs
    /// out.
    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error>;

    /// Frees the runs that `token` still holds in `queue`, without counting a failure: after a claim whose
    /// answer was lost.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn give_back(&self, queue: &str, token: LeaseToken) -> Result<(), Error>;

    /// Sets each lease to run out `lease` from now, even one that has run out but was not taken over. Answers
    /// are in order. On an error some may be extended.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error>;

    /// Saves results of steps. A step that is already saved keeps its first result and is `Done`, unless the
    /// new one replaces it: then result, time and length are the new ones, in the old position. Answers are in
    /// order, item by item: a stale one does not affect its neighbours.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error>;

    /// Sets the progress of runs and adds log lines; the newest 100 of a run are kept. A line whose number is
    /// not above that of the newest line of the same claim was added before and is skipped. Answers are in
    /// order, item by item: a stale one does not affect its neighbours.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn annotate(&self, notes: Vec<Note>) -> Result<Vec<LeaseAnswer>, Error>;

    /// Records how claims ended. Answers are in order, item by item. Repeated with the same token after it was
    /// applied, and before a later claim was settled: `Done`, and nothing changes.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error>;

    /// A connection of its own that extends leases, made on the caller's runtime; none of its work passes
    /// through another task.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error>;

    /// Whether each queue may be on a server of its own, so that one being unavailable says nothing about the
    /// others. A worker's writes for several queues then go out separately; otherwise they share round trips.
    fn queues_stand_apart(&self) -> bool {
        false
    }

    /// Hints that something became due or was cancelled. They may be lost; polling finds what they miss.
    fn wake_ups(&self) -> WakeUps;

    /// Where the store gets its time.
    fn clock(&self) -> Clock;

    /// The store's time now.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn now(&self) -> Result<Timestamp, Error>;

    /// What the store accepts.
    fn limits(&self) -> Limits;
}

/// Extends leases from the lease keeper's own runtime.
#[async_trait]
pub trait LeaseConnection: Send {
    /// As [`Queue::extend`], but it waits for nobody. `None` says nothing about a lease: the server of its queue does not answer
    /// while others do, or its run is being settled or taken over at this moment.
    ///
    /// # Errors
    /// `Unavailable` if no lease was extended; the connection repairs itself at the next call.
    async fn extend(
        &mut self,
        leases: Vec<LeaseRef>,
        lease: Duration,
    ) -> Result<Vec<Option<LeaseAnswer>>, Error>;
}

/// What a worker asks a queue for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The queue.
    pub queue: String,
    /// The jobs of that queue that the worker has registered; no others are claimed.
    pub jobs: Arc<[String]>,
    /// The most runs to claim.
    pub limit: usize,
    /// How long the worker holds them.
    pub lease: Duration,
    /// Fences the writes for the runs of this claim.
    pub token: LeaseToken,
    /// Who claims.
    pub worker: WorkerId,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The runs, in order.
    pub runs: Vec<ClaimedRun>,
    /// When the next run of the named jobs is due or the next lease runs out, as far as known; in the past if
    /// more are due now; or an earlier time at which to claim again. `None`: nothing is stored for these jobs.
    pub next_due: Option<Timestamp>,
    /// The store's time of this claim.
    pub now: Timestamp,
}

/// A run under a lease.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedRun {
    /// Queue, run and token.
    pub lease: LeaseRef,
    /// The job's name.
    pub job: String,
    /// Its priority among due runs.
    pub priority: Priority,
    /// The job's input.
    pub input: Payload,
    /// Failed attempts so far.
    pub failures: u32,
    /// Claims that ended by their lease running out, so far.
    pub crashes: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When it was due.
    pub due_at: Timestamp,
    /// When this claim was made.
    pub claimed_at: Timestamp,
    /// The first run in the chain of replays; the run itself if it is not a replay.
    pub root: RunId,
    /// The run that it replays.
    pub replay_of: Option<RunId>,
    /// The application's own name for what it is about.
    pub reference: Option<String>,
    /// The event that started it.
    pub event_id: Option<String>,
    /// The schedule that started it, and at which of its times.
    pub tick: Option<Tick>,
    /// The trace in which it was enqueued.
    pub trace: Option<TraceContext>,
    /// Results saved by earlier claims or taken over from the replayed run, in order of saving.
    pub steps: Vec<SavedStep>,
}

/// The right to write for a run: queue (on Redis the slot), run, token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseRef {
    /// The run's queue.
    pub queue: Arc<str>,
    /// The run.
    pub run: RunId,
    /// The token of the claim.
    pub token: LeaseToken,
}

/// The answer to a fenced write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// Applied, now or before.
    Done,
    /// Refused: another claim has the run, or it was settled, discarded or never existed.
    LeaseLost,
    /// Refused: the run was cancelled while this lease held it.
    CancelRequested,
}

/// A step's saved result.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedStep {
    /// Which step.
    pub path: StepPath,
    /// What it returned.
    pub result: Payload,
    /// When it was saved, by the store's clock.
    pub saved_at: Timestamp,
    /// How long its body ran, by the worker's monotonic clock.
    pub took: Duration,
}

/// A step's result to save under a lease.
#[derive(Clone, Debug, PartialEq)]
pub struct StepSave {
    /// The lease that allows it.
    pub lease: LeaseRef,
    /// Which step.
    pub path: StepPath,
    /// What it returned.
    pub result: Payload,
    /// How long its body ran.
    pub took: Duration,
    /// Whether it replaces a saved result (which could not be read).
    pub replaces: bool,
}

/// How a claim ended, decided in core.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The lease that allows it.
    pub lease: LeaseRef,
    /// What happens to the run.
    pub ending: Ending,
    /// Failed attempts, including this one; replaces the stored number.
    pub failures: u32,
    /// The number of the attempt: failures before it + 1.
    pub attempt: u32,
    /// How the attempt ended.
    pub outcome: AttemptOutcome,
    /// The error with its chain, cleaned and capped.
    pub error: Option<String>,
    /// Groups similar errors (numbers and ids ignored).
    pub error_fingerprint: Option<String>,
}

impl Settlement {
    /// Whether its error, and so its fingerprint, is the run's newest from now on.
    pub fn tells_error(&self) -> bool {
        self.error.is_some() && !self.outcome.is_uncharged()
    }
}

/// What happens to a run whose claim ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Pending again, due this long after the store's now.
    Again {
        /// The wait.
        after: Duration,
    },
    /// Pending again, due as before.
    GiveBack,
    /// Succeeded.
    Succeeded {
        /// What the body returned.
        output: Payload,
    },
    /// A dead letter.
    Dead {
        /// Why.
        reason: Reason,
    },
    /// Cancelled by its body.
    Cancelled {
        /// Why.
        reason: Reason,
    },
}

impl Ending {
    /// The state it leads to.
    pub const fn state(&self) -> RunState {
        match self {
            Ending::Again { .. } | Ending::GiveBack => RunState::Pending,
            Ending::Succeeded { .. } => RunState::Succeeded,
            Ending::Dead { .. } => RunState::Dead,
            Ending::Cancelled { .. } => RunState::Cancelled,
        }
    }

    /// Why the run ended, if it did.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Ending::Again { .. } | Ending::GiveBack => None,
            Ending::Succeeded { .. } => Some(Reason::Completed),
            Ending::Dead { reason } | Ending::Cancelled { reason } => Some(*reason),
        }
    }
}

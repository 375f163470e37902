//! A run as operators, dashboards and tests see it.

use jiff::Timestamp;

use crate::{
    AttemptRecord, Payload, Priority, Reason, RunId, RunState, TraceContext, WorkerId, schedule::Tick,
};

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
    /// The schedule that started it, and at which of its times.
    pub tick: Option<Tick>,
    /// The trace in which it was enqueued.
    pub trace: Option<TraceContext>,
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

pub(super) fn newest_error(attempts: &[AttemptRecord]) -> Option<&str> {
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

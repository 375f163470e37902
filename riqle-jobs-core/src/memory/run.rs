//! A run as it is kept, and how claims, steps, settlements and operators change it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::notes::StoredNotes;
#[cfg(test)]
use super::snapshot::Tokens;
use crate::schedule::Tick;
use crate::{
    AttemptOutcome, AttemptRecord, ClaimRequest, ClaimedRun, Due, Ending, Fingerprint, LeaseRef, LeaseToken,
    NewRun, Payload, Priority, Reason, Replay, Run, RunId, RunState, SavedStep, Settlement, StepSave,
    TraceContext, UniqueKey, WorkerId, clock,
    store::{
        HeldKey, Holder,
        rules::{Fence, Standing},
    },
};

/// A run as it is kept.
#[derive(Clone, Debug)]
pub(super) struct StoredRun {
    /// Its number in [`DueRuns`](super::due::DueRuns).
    pub(super) lane: usize,
    pub(super) queue: Arc<str>,
    pub(super) job: Arc<str>,
    pub(super) priority: Priority,
    pub(super) state: RunState,
    pub(super) reason: Option<Reason>,
    pub(super) input: Payload,
    pub(super) fingerprint: Fingerprint,
    pub(super) output: Option<Payload>,
    pub(super) failures: u32,
    pub(super) crashes: u32,
    pub(super) enqueued_at: Timestamp,
    pub(super) due_at: Timestamp,
    /// By the machine's clock, where it is due at a given time and was never claimed.
    pub(super) at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    /// There while it is running.
    pub(super) lease: Option<Lease>,
    /// The newest token under which it was settled.
    settled_token: Option<LeaseToken>,
    /// The token that held it when an operator cancelled it.
    cancelled_token: Option<LeaseToken>,
    pub(super) attempts: Vec<AttemptRecord>,
    /// Of the newest error.
    pub(super) error_fingerprint: Option<String>,
    pub(super) notes: StoredNotes,
    pub(super) steps: Vec<SavedStep>,
    pub(super) root: RunId,
    pub(super) replay_of: Option<RunId>,
    pub(super) replayed_by: Option<RunId>,
    pub(super) unique: Option<UniqueKey>,
    pub(super) reference: Option<String>,
    event_id: Option<String>,
    pub(super) tick: Option<Tick>,
    gates: Vec<String>,
    trace: Option<TraceContext>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) token: LeaseToken,
    worker: WorkerId,
    claimed_at: Timestamp,
    pub(super) until: Timestamp,
}

impl StoredRun {
    /// `offset` is how far the store's time is ahead of the machine's clock, in milliseconds.
    pub(super) fn new(
        run: NewRun,
        lane: usize,
        names: (Arc<str>, Arc<str>),
        now: Timestamp,
        offset: i64,
    ) -> Self {
        let (due_at, at) = match run.due {
            Due::Now => (now, None),
            Due::In(delay) => (clock::later(now, delay), None),
            Due::At(time) => (clock::from_millis(time.as_millisecond().saturating_add(offset)), Some(time)),
        };
        Self {
            lane,
            queue: names.0,
            job: names.1,
            priority: run.priority,
            state: RunState::Pending,
            reason: None,
            input: run.input,
            fingerprint: run.fingerprint,
            output: None,
            failures: 0,
            crashes: 0,
            enqueued_at: now,
            due_at,
            at,
            ended_at: None,
            lease: None,
            settled_token: None,
            cancelled_token: None,
            attempts: Vec::new(),
            error_fingerprint: None,
            notes: StoredNotes::default(),
            steps: Vec::new(),
            root: run.id,
            replay_of: None,
            replayed_by: None,
            unique: run.unique,
            reference: run.reference,
            event_id: run.event_id,
            tick: run.tick,
            gates: run.gates,
            trace: run.trace,
        }
    }

    /// A new run, due now, that replays this one.
    pub(super) fn replay(&self, id: RunId, replay: Replay, now: Timestamp) -> Self {
        let fingerprint = replay.input.as_ref().map_or(self.fingerprint, Payload::fingerprint);
        Self {
            lane: self.lane,
            queue: Arc::clone(&self.queue),
            job: Arc::clone(&self.job),
            priority: self.priority,
            state: RunState::Pending,
            reason: None,
            input: replay.input.unwrap_or_else(|| self.input.clone()),
            fingerprint,
            output: None,
            failures: 0,
            crashes: 0,
            enqueued_at: now,
            due_at: now,
            at: None,
            ended_at: None,
            lease: None,
            settled_token: None,
            cancelled_token: None,
            attempts: Vec::new(),
            error_fingerprint: None,
            notes: StoredNotes::default(),
            steps: replay.from.kept_steps(&self.steps).to_vec(),
            root: self.root,
            replay_of: Some(id),
            replayed_by: None,
            unique: self.unique.clone(),
            reference: self.reference.clone(),
            event_id: self.event_id.clone(),
            tick: self.tick.clone(),
            gates: self.gates.clone(),
            trace: self.trace.clone(),
        }
    }

    pub(super) fn fence(&self, token: LeaseToken) -> Fence {
        if self.lease.is_some_and(|lease| lease.token == token) {
            Fence::Holds
        } else if self.cancelled_token == Some(token) {
            Fence::Cancelled
        } else if self.settled_token == Some(token) {
            Fence::Settled
        } else {
            Fence::Lost
        }
    }

    pub(super) fn standing(&self, id: RunId) -> Standing {
        let Self { state, reason, due_at, replayed_by, .. } = *self;
        Standing { id, state, reason, due_at, replayed_by }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.state == RunState::Pending && self.due_at <= now
    }

    /// Gives it to a claim; where another one held it, that one has crashed.
    pub(super) fn claim(&mut self, request: &ClaimRequest, now: Timestamp) {
        if let Some(lost) = self.lease.take() {
            self.crashes = self.crashes.saturating_add(1);
            let number = self.failures.saturating_add(1);
            self.note_attempt(&lost, number, AttemptOutcome::Crashed, None, now);
        }
        self.state = RunState::Running;
        self.at = None;
        self.lease = Some(Lease {
            token: request.token,
            worker: request.worker,
            claimed_at: now,
            until: clock::later(now, request.lease),
        });
    }

    pub(super) fn settle(&mut self, settlement: Settlement, now: Timestamp) {
        let Some(lease) = self.lease.take() else { return };
        self.settled_token = Some(lease.token);
        self.state = settlement.ending.state();
        self.reason = settlement.ending.reason();
        self.failures = settlement.failures;
        self.ended_at = self.state.is_ended().then_some(now);
        if settlement.tells_error() {
            self.error_fingerprint = settlement.error_fingerprint;
        }
        self.note_attempt(&lease, settlement.attempt, settlement.outcome, settlement.error, now);
        match settlement.ending {
            Ending::Again { after } => {
                self.due_at = clock::later(now, after);
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.delay = Some(Duration::from_millis(clock::millis_of(after).unsigned_abs()));
                }
            }
            Ending::Succeeded { output } => self.output = Some(output),
            Ending::GiveBack | Ending::Dead { .. } | Ending::Cancelled { .. } => {}
        }
    }

    /// The first result of a step stays, unless the new one replaces it.
    pub(super) fn save_step(&mut self, step: StepSave, now: Timestamp) {
        let StepSave { path, result, took, replaces, .. } = step;
        let place = self.steps.iter().position(|saved| saved.path == path);
        let step = SavedStep { path, result, saved_at: now, took };
        match place {
            None => self.steps.push(step),
            Some(place) if replaces => self.steps[place] = step,
            Some(_) => {}
        }
    }

    /// The key of its own that it holds, if it has one.
    pub(super) fn held_key(&self, id: RunId) -> Option<HeldKey<'_>> {
        let UniqueKey { key, scope, .. } = self.unique.as_ref()?;
        Some(HeldKey {
            job: &self.job,
            key: key.into(),
            run: id,
            fingerprint: self.fingerprint,
            scope: *scope,
        })
    }

    pub(super) fn unique_key(&self) -> Option<&str> {
        self.unique.as_ref().map(|unique| unique.key.as_str())
    }

    pub(super) fn give_back(&mut self) {
        self.lease = None;
        self.state = RunState::Pending;
    }

    /// Ends it for an operator, even if a worker holds it.
    pub(super) fn cancel(&mut self, now: Timestamp) {
        self.cancelled_token = self.lease.take().map(|lease| lease.token);
        self.state = RunState::Cancelled;
        self.reason = Some(Reason::CancelledByOperator);
        self.ended_at = Some(now);
    }

    fn note_attempt(
        &mut self,
        lease: &Lease,
        number: u32,
        outcome: AttemptOutcome,
        error: Option<String>,
        now: Timestamp,
    ) {
        let record = AttemptRecord {
            number,
            times: 1,
            started_at: lease.claimed_at,
            ended_at: now,
            worker: lease.worker,
            outcome,
            error,
            delay: None,
        };
        record.add_to(&mut self.attempts);
    }

    pub(super) fn claimed(&self, id: RunId, token: LeaseToken, now: Timestamp) -> ClaimedRun {
        ClaimedRun {
            lease: LeaseRef { queue: Arc::clone(&self.queue), run: id, token },
            job: self.job.as_ref().to_owned(),
            priority: self.priority,
            input: self.input.clone(),
            failures: self.failures,
            crashes: self.crashes,
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
            claimed_at: now,
            root: self.root,
            replay_of: self.replay_of,
            reference: self.reference.clone(),
            event_id: self.event_id.clone(),
            tick: self.tick.clone(),
            trace: self.trace.clone(),
            steps: self.steps.clone(),
        }
    }

    pub(super) fn shown(&self, id: RunId) -> Run {
        Run {
            id,
            job: self.job.as_ref().to_owned(),
            queue: self.queue.as_ref().to_owned(),
            priority: self.priority,
            state: self.state,
            reason: self.reason,
            input: self.input.clone(),
            output: self.output.clone(),
            failures: self.failures,
            crashes: self.crashes,
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
            ended_at: self.ended_at,
            holder: self.lease.map(|lease| Holder {
                worker: lease.worker,
                claimed_at: lease.claimed_at,
                lease_until: lease.until,
            }),
            attempts: self.attempts.clone(),
            error_fingerprint: self.error_fingerprint.clone(),
            root: self.root,
            replay_of: self.replay_of,
            replayed_by: self.replayed_by,
            unique_key: self.unique_key().map(str::to_owned),
            reference: self.reference.clone(),
            event_id: self.event_id.clone(),
            tick: self.tick.clone(),
            trace: self.trace.clone(),
        }
    }
}

#[cfg(test)]
impl StoredRun {
    pub(super) fn tokens(&self) -> Tokens {
        let Self { lease, settled_token, cancelled_token, .. } = self;
        let lease = lease.map(|lease| (lease.token, lease.until));
        Tokens { lease, settled: *settled_token, cancelled: *cancelled_token }
    }

    pub(super) fn rename_tokens(&mut self, name: impl Fn(LeaseToken) -> Option<LeaseToken>) {
        if let Some(lease) = &mut self.lease {
            lease.token = name(lease.token).unwrap_or(LeaseToken::from_uuid(uuid::Uuid::nil()));
        }
        self.settled_token = self.settled_token.and_then(&name);
        self.cancelled_token = self.cancelled_token.and_then(&name);
    }
}

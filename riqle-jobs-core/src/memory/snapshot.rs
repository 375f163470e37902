//! What the models of the protocols need of the store: copies of it, and a look at what no caller sees.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::{Memory, State};
use crate::{ClaimedRun, LeaseToken, ManualClock, Run, RunId};

/// A copy of all that a store holds.
#[derive(Clone, Default)]
pub(crate) struct Snapshot(State);

/// The tokens that a run knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Of its lease, with the time when that runs out.
    pub(crate) lease: Option<(LeaseToken, Timestamp)>,
    pub(crate) settled: Option<LeaseToken>,
    pub(crate) cancelled: Option<LeaseToken>,
}

impl Memory {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.state().clone())
    }

    pub(crate) fn of_snapshot(snapshot: &Snapshot, clock: &ManualClock) -> Self {
        Self { state: Arc::new(Mutex::new(snapshot.0.clone())), ..Self::with_clock(clock) }
    }
}

impl Snapshot {
    /// All that decides what may happen to its runs, and what callers see of them.
    pub(crate) fn text(&self) -> String {
        format!("{:?} {:?}", self.0.runs, self.0.due)
    }

    /// How many events it holds.
    pub(crate) fn events(&self) -> usize {
        self.0.known.event_count()
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        self.0.runs.iter().map(|(id, run)| run.shown(*id))
    }

    pub(crate) fn steps(&self, run: RunId) -> usize {
        self.0.runs[&run].steps.len()
    }

    pub(crate) fn tokens(&self, run: RunId) -> Tokens {
        self.0.runs[&run].tokens()
    }

    /// A run as the claim with this token was given it.
    pub(crate) fn claimed(&self, run: RunId, token: LeaseToken, now: Timestamp) -> ClaimedRun {
        self.0.runs[&run].claimed(run, token, now)
    }

    /// Moves the end of a run's lease.
    pub(crate) fn end_lease_at(&mut self, run: RunId, until: Timestamp) {
        self.0.change(run, |run| {
            if let Some(lease) = &mut run.lease {
                lease.until = until;
            }
        });
    }

    /// Gives tokens other names. `None`: nobody can present it any more, so it is the same as any other such token.
    pub(crate) fn rename_tokens(&mut self, name: impl Fn(LeaseToken) -> Option<LeaseToken>) {
        self.0.runs.values_mut().for_each(|run| run.rename_tokens(&name));
    }

    /// Leaves out of the records of attempts what no operation reads: how often and in which order.
    pub(crate) fn forget_order_of_attempts(&mut self) {
        for run in self.0.runs.values_mut() {
            run.attempts.retain(|attempt| !attempt.outcome.is_uncharged());
            run.attempts.sort_by_key(|attempt| (attempt.outcome, attempt.number));
        }
    }
}

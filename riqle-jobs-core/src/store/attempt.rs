//! One attempt of a run as it is recorded, and how it ended.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{WorkerId, limits::ATTEMPTS_KEPT, state::closed_set};

closed_set! {
    /// How an attempt ended.
    #[non_exhaustive]
    AttemptOutcome {
        /// The body returned a value.
        Succeeded = "succeeded",
        /// The body failed, panicked or ran out of time; counts as a failure.
        Failed = "failed",
        /// The body asked to run again later; does not count as a failure.
        Snoozed = "snoozed",
        /// The worker stopped and gave it back; does not count as a failure.
        GivenBack = "given-back",
        /// The lease ran out; counted separately.
        Crashed = "crashed",
        /// Cancelled by its body.
        Cancelled = "cancelled",
    }
}

impl AttemptOutcome {
    /// Whether it can happen to a run any number of times: a snooze, a give-back. Its record joins the newest one of its
    /// outcome since the last attempt of another sort, so that it pushes no failure out, and what it says is not the
    /// run's error.
    pub const fn is_uncharged(self) -> bool {
        matches!(self, AttemptOutcome::Snoozed | AttemptOutcome::GivenBack)
    }
}

/// One attempt, or snoozes or give-backs without a failure between them, as it is kept with the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// `failures + 1` at its start; the exponent of the policy.
    pub number: u32,
    /// How many attempts it represents: 1, except for snoozes and give-backs.
    pub times: u32,
    /// When the first of them was claimed, by the store's clock.
    pub started_at: Timestamp,
    /// When the last of them was settled, or when the expired lease was found, by the store's clock.
    pub ended_at: Timestamp,
    /// Who ran the last of them.
    pub worker: WorkerId,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The error of the last of them with its chain of causes, one per line, or the panic's message and
    /// location.
    pub error: Option<String>,
    /// How long until the run is due again, if it is.
    pub delay: Option<Duration>,
}

impl AttemptRecord {
    /// Adds it to the attempts of a run, oldest first, of which the newest 25 are kept: as one more of a record that it
    /// [joins](AttemptOutcome::is_uncharged), else as the newest.
    pub fn add_to(mut self, attempts: &mut Vec<AttemptRecord>) {
        let newest = attempts.iter().rev().take_while(|_| self.outcome.is_uncharged());
        let mut joined = newest.take_while(|record| record.outcome.is_uncharged());
        if let Some(back) = joined.position(|record| record.outcome == self.outcome) {
            let joined = attempts.remove(attempts.len() - 1 - back);
            self.started_at = joined.started_at;
            self.times = self.times.saturating_add(joined.times);
        }
        let surplus = (attempts.len() + 1).saturating_sub(ATTEMPTS_KEPT);
        attempts.drain(..surplus);
        // Most runs have one.
        attempts.reserve_exact(1);
        attempts.push(self);
    }
}

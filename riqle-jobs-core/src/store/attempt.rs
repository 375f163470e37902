use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{WorkerId, state::closed_set};

closed_set! {
    /// How an attempt ended.
    AttemptOutcome {
        /// The body returned a value.
        Succeeded = "succeeded",
        /// The body failed, panicked or ran out of time; charged to the policy.
        Failed = "failed",
        /// The body asked to come again later; not charged.
        Snoozed = "snoozed",
        /// The worker stopped and gave it back; not charged.
        GivenBack = "given-back",
        /// The lease ran out; counted apart.
        Crashed = "crashed",
        /// Cancelled by its body.
        Cancelled = "cancelled",
    }
}

/// One attempt, as it is kept with the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// `failures + 1` at its start; the exponent of the policy.
    pub number: u32,
    /// When it was claimed, by the store's clock.
    pub started_at: Timestamp,
    /// When it was settled, or when the expired lease was found, by the store's clock.
    pub ended_at: Timestamp,
    /// Who ran it.
    pub worker: WorkerId,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The error with its chain of causes, a line each, or the panic's message and place.
    pub error: Option<String>,
    /// How long until the run is due again, where it is.
    pub delay: Option<Duration>,
}

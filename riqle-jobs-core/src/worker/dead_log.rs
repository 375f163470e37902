//! Logs what an operator must act on: dead letters, and errors that want a human.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::hooks::Subject;
use crate::{Ending, Settlement, store::Repeated};

/// Errors that are told apart; what was last logged of one is forgotten only once it may be logged again.
const MOST_ERRORS: usize = 1_000;

/// Logs dead letters, and errors that want a human: of each job and error one line a minute, with how many there were.
#[derive(Default)]
pub(super) struct DeadLog(Mutex<BTreeMap<Of, Repeated>>);

/// Whether it is dead, its job, and the fingerprint of its error.
type Of = (bool, String, String);

impl DeadLog {
    /// Logs a stored settlement, if it is one of these.
    pub(super) fn settled(&self, settlement: &Settlement, subject: &Subject) {
        let reason = match &settlement.ending {
            Ending::Dead { reason } => Some(*reason),
            _ if subject.alert => None,
            _ => return,
        };
        let fingerprint = settlement.error_fingerprint.clone().unwrap_or_default();
        let Some(times) = self.happened((reason.is_some(), subject.job.clone(), fingerprint)) else { return };
        let (run, queue, attempt) = (settlement.lease.run, &*settlement.lease.queue, settlement.attempt);
        let (job, error) = (&subject.job, settlement.error.as_deref().unwrap_or_default());
        match reason {
            Some(reason) => {
                tracing::error!(%run, job, queue, attempt, %reason, error, times, "a run is a dead letter");
            }
            None => tracing::error!(%run, job, queue, attempt, error, times, "an error wants a human"),
        }
    }

    fn happened(&self, of: Of) -> Option<u64> {
        let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() >= MOST_ERRORS && !errors.contains_key(&of) {
            errors.retain(|_, repeated| !repeated.is_stale());
        }
        if errors.len() >= MOST_ERRORS && !errors.contains_key(&of) {
            return None;
        }
        errors.entry(of).or_default().happened()
    }
}

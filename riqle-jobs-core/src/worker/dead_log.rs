//! Logs what an operator must act on: dead letters, and errors that want a human.

use super::hooks::Subject;
use crate::{Ending, Settlement, store::RepeatedEach};

/// Logs dead letters, and errors that want a human: of each job and error one line a minute, with how many there were.
#[derive(Default)]
pub(super) struct DeadLog(RepeatedEach);

impl DeadLog {
    /// Logs a stored settlement, if it is one of these.
    pub(super) fn settled(&self, settlement: &Settlement, subject: &Subject) {
        let reason = match &settlement.ending {
            Ending::Dead { reason } => Some(*reason),
            _ if subject.alert => None,
            _ => return,
        };
        let fingerprint = settlement.error_fingerprint.as_deref().unwrap_or_default();
        let key = format!("{}\0{fingerprint}\0{}", subject.job, reason.is_some());
        let Some(times) = self.0.happened(&key) else { return };
        let (run, queue, attempt) = (settlement.lease.run, &*settlement.lease.queue, settlement.attempt);
        let (job, error) = (&subject.job, settlement.error.as_deref().unwrap_or_default());
        match reason {
            Some(reason) => {
                tracing::error!(%run, job, queue, attempt, %reason, error, times, "a run is a dead letter");
            }
            None => tracing::error!(%run, job, queue, attempt, error, times, "an error wants a human"),
        }
    }
}

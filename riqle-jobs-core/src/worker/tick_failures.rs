//! Since when a worker has failed to tick schedules.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::due_ticks::RETRIED_AFTER;
use crate::store::{TroubleKind, WorkerTrouble};

/// Longer than the pause between two tries: what has not failed for so long fails no more.
const OVER_AFTER: Duration = RETRIED_AFTER.saturating_add(Duration::from_secs(30));

/// Since when a worker has failed to tick some schedule or other.
#[derive(Debug, Default)]
pub(super) struct TickFailures(Mutex<Option<Failing>>);

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    error: String,
}

impl TickFailures {
    pub(super) fn note(&self, error: String) {
        let (mut failing, last) = (self.failing(), Instant::now());
        let since =
            failing.as_ref().filter(|failing| !failing.is_over()).map_or(last, |failing| failing.since);
        *failing = Some(Failing { since, last, error });
    }

    pub(super) fn trouble(&self) -> Option<WorkerTrouble> {
        let failing = self.failing();
        let failing = failing.as_ref().filter(|failing| !failing.is_over())?;
        let (lasting, error) = (failing.last.duration_since(failing.since), failing.error.clone());
        Some(WorkerTrouble { kind: TroubleKind::Schedules, lasting, error })
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failing {
    fn is_over(&self) -> bool {
        self.last.elapsed() > OVER_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_each_time_lasts_from_the_first_time_to_the_last() {
        let failures = TickFailures::default();
        assert_eq!(failures.trouble(), None);
        for round in 0..3 {
            failures.note(format!("round {round}"));
            tokio::time::advance(RETRIED_AFTER).await;
        }
        let trouble = failures.trouble().unwrap();
        assert_eq!((trouble.lasting, trouble.error.as_str()), (RETRIED_AFTER * 2, "round 2"));
        tokio::time::advance(OVER_AFTER).await;
        assert_eq!(failures.trouble(), None);
        failures.note("another".to_owned());
        assert_eq!(failures.trouble().unwrap().lasting, Duration::ZERO);
    }
}

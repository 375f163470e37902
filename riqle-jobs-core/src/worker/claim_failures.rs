//! Since when a worker has failed to claim.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::{
    Error,
    store::{TroubleKind, WorkerTrouble},
};

/// Since when a worker has failed to claim, by queue.
#[derive(Debug, Default)]
pub(super) struct ClaimFailures(Mutex<BTreeMap<Arc<str>, Failing>>);

#[derive(Debug)]
struct Failing {
    since: Instant,
    error: String,
}

impl ClaimFailures {
    pub(super) fn failed(&self, queue: &Arc<str>, error: &Error) {
        let mut failing = self.failing();
        let new = || Failing { since: Instant::now(), error: String::new() };
        failing.entry(Arc::clone(queue)).or_insert_with(new).error = error.message().to_owned();
    }

    pub(super) fn succeeded(&self, queue: &str) {
        self.failing().remove(queue);
    }

    /// That of the queue where it has lasted longest.
    pub(super) fn trouble(&self) -> Option<WorkerTrouble> {
        let failing = self.failing();
        let (queue, Failing { since, error }) = failing.iter().min_by_key(|(_, failing)| failing.since)?;
        let error = format!("queue {queue:?}: {error}");
        Some(WorkerTrouble { kind: TroubleKind::Claims, lasting: since.elapsed(), error })
    }

    fn failing(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ErrorKind;

    #[tokio::test(start_paused = true)]
    async fn claims_that_fail_last_from_the_first_to_the_next_that_succeeds() {
        let (failures, mail, bills) = (ClaimFailures::default(), Arc::from("mail"), Arc::from("bills"));
        let full = |message| Error::new(ErrorKind::Unavailable, "claim", message);
        failures.failed(&mail, &full("the disk is full"));
        tokio::time::advance(Duration::from_secs(5)).await;
        failures.failed(&bills, &full("the disk is full"));
        failures.failed(&mail, &full("the disk is still full"));
        let told = |seconds, error: &str| {
            let lasting = Duration::from_secs(seconds);
            Some(WorkerTrouble { kind: TroubleKind::Claims, lasting, error: error.to_owned() })
        };
        assert_eq!(failures.trouble(), told(5, "queue \"mail\": the disk is still full"));
        failures.succeeded("mail");
        assert_eq!(failures.trouble(), told(0, "queue \"bills\": the disk is full"));
        failures.succeeded("bills");
        assert_eq!(failures.trouble(), None);
    }
}

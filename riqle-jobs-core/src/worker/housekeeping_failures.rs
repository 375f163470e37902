//! Since when parts of a worker's housekeeping have failed.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::{
    Error,
    store::{Repeated, TroubleKind, WorkerTrouble},
};

/// Since when parts of a worker's housekeeping have failed each time.
#[derive(Default)]
pub(super) struct HousekeepingFailures(BTreeMap<&'static str, Failure>);

struct Failure {
    since: Instant,
    error: String,
    repeated: Repeated,
}

impl HousekeepingFailures {
    /// Notes what a part came to; answers whether it was done.
    pub(super) fn note(&mut self, part: &'static str, done: Result<(), Error>) -> bool {
        let Err(error) = done else {
            if let Some(failure) = self.0.remove(part) {
                tracing::info!(after = ?failure.since.elapsed(), "can {part} again");
            }
            return true;
        };
        let new = || Failure { since: Instant::now(), error: String::new(), repeated: Repeated::new() };
        let failure = self.0.entry(part).or_insert_with(new);
        failure.error = told(part, &error);
        if let Some(times) = failure.repeated.happened() {
            tracing::warn!(%error, times, "can't {part}; will retry");
        }
        false
    }

    /// What has failed for longest.
    pub(super) fn longest(&self) -> Option<WorkerTrouble> {
        let failure = self.0.values().min_by_key(|failure| failure.since)?;
        let (lasting, error) = (failure.since.elapsed(), failure.error.clone());
        Some(WorkerTrouble { kind: TroubleKind::Housekeeping, lasting, error })
    }
}

/// A prune begins with what can't be pruned ([`KindByKind`](crate::store::KindByKind)); other errors begin with the operation.
fn told(part: &str, error: &Error) -> String {
    match error.operation() == part {
        true => format!("can't {part} {}", error.message()),
        false => format!("can't {part}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, store::KindByKind};

    #[tokio::test]
    async fn a_failure_names_what_was_tried_once() {
        let locked = |operation| Error::new(ErrorKind::Unavailable, operation, "the table is locked");
        let mut kinds = KindByKind::default();
        kinds.pruned("events", Err(locked("prune")));
        for (part, error, told) in [
            ("prune", kinds.end(()).unwrap_err(), "can't prune events: the table is locked"),
            (
                "report metrics",
                locked("add_metrics"),
                "can't report metrics: add_metrics: the table is locked",
            ),
        ] {
            let mut failures = HousekeepingFailures::default();
            failures.note(part, Err(error));
            assert_eq!(failures.longest().unwrap().error, told);
        }
    }
}

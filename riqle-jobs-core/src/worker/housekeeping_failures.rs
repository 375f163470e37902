use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::{Error, store::HousekeepingFailure};

/// Since when parts of a worker's housekeeping have failed each time.
#[derive(Default)]
pub(super) struct HousekeepingFailures(BTreeMap<&'static str, Failure>);

struct Failure {
    since: Instant,
    error: String,
}

impl HousekeepingFailures {
    /// Notes what a part came to; answers whether it was done.
    pub(super) fn note(&mut self, part: &'static str, done: Result<(), Error>) -> bool {
        let Err(error) = done else {
            self.0.remove(part);
            return true;
        };
        match self.0.get_mut(part) {
            None => {
                tracing::warn!(%error, "can't {part}; will retry");
                self.0.insert(part, Failure { since: Instant::now(), error: error.to_string() });
            }
            Some(failure) => {
                tracing::debug!(%error, "still can't {part}; will retry");
                failure.error = error.to_string();
            }
        }
        false
    }

    /// What has failed for longest.
    pub(super) fn longest(&self) -> Option<HousekeepingFailure> {
        let (part, failure) = self.0.iter().min_by_key(|(_, failure)| failure.since)?;
        let error = format!("can't {part}: {}", failure.error);
        Some(HousekeepingFailure { lasting: failure.since.elapsed(), error })
    }
}

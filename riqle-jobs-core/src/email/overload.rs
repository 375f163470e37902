//! Since when a provider has accepted nothing, for load, and when that is reported.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a provider may accept nothing before it is reported.
const TOLD_AFTER: Duration = Duration::from_secs(60);

/// Since when a provider has accepted nothing, for load.
#[derive(Debug, Default)]
pub(super) struct Overload(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    is_told: bool,
}

impl Overload {
    /// The provider has deferred another email; returns since when, and whether to report it now.
    pub(super) fn goes_on(&self) -> (Instant, bool) {
        let mut state = self.state();
        let since = *state.since.get_or_insert_with(Instant::now);
        let is_long = since.elapsed() >= TOLD_AFTER;
        let is_to_be_told = is_long && !state.is_told;
        state.is_told |= is_long;
        (since, is_to_be_told)
    }

    /// The provider has accepted an email.
    pub(super) fn ends(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_takes_nothing_for_a_minute_is_told_once_until_it_takes_an_email() {
        let overload = Overload::default();
        for _ in 0..2 {
            let (since, is_to_be_told) = overload.goes_on();
            assert_eq!((since, is_to_be_told), (Instant::now(), false));
            tokio::time::advance(TOLD_AFTER - Duration::from_millis(1)).await;
            assert_eq!(overload.goes_on(), (since, false));
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(overload.goes_on(), (since, true));
            tokio::time::advance(10 * TOLD_AFTER).await;
            assert_eq!(overload.goes_on(), (since, false));
            overload.ends();
        }
    }
}

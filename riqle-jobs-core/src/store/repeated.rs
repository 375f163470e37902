//! When to log what happens again and again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often the same is logged at most.
const EVERY: Duration = Duration::from_secs(60);

/// Says when to log what happens again and again: the first time at once, from then on once a minute, with how often it has
/// happened since.
#[derive(Debug, Default)]
pub struct Repeated(Mutex<Option<Counted>>);

#[derive(Debug)]
struct Counted {
    since: Instant,
    logged: Instant,
    not_logged: u64,
}

impl Repeated {
    /// It has not happened yet.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// It has happened. How often since it was last logged, if it is to be logged now.
    pub fn happened(&self) -> Option<u64> {
        let (mut counted, now) = (self.counted(), Instant::now());
        match &mut *counted {
            Some(counted) => {
                counted.not_logged += 1;
                if now.duration_since(counted.logged) < EVERY {
                    return None;
                }
                counted.logged = now;
                Some(std::mem::take(&mut counted.not_logged))
            }
            none => {
                *none = Some(Counted { since: now, logged: now, not_logged: 0 });
                Some(1)
            }
        }
    }

    /// It happens no more. How long it did, if it had happened.
    pub fn ended(&self) -> Option<Duration> {
        self.counted().take().map(|counted| counted.since.elapsed())
    }

    /// Whether it would be logged by now: what was not for so long is as good as new.
    pub(crate) fn is_stale(&self) -> bool {
        self.counted().as_ref().is_none_or(|counted| counted.logged.elapsed() >= EVERY)
    }

    fn counted(&self) -> MutexGuard<'_, Option<Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_repeats_is_logged_at_once_and_then_once_a_minute_with_its_count() {
        let repeated = Repeated::new();
        assert_eq!(repeated.ended(), None);
        assert_eq!(repeated.happened(), Some(1));
        for _ in 0..5 {
            advance(Duration::from_secs(10)).await;
            assert_eq!(repeated.happened(), None);
        }
        advance(Duration::from_secs(10)).await;
        assert_eq!(repeated.happened(), Some(6));
        assert_eq!(repeated.happened(), None);
        assert_eq!(repeated.ended(), Some(EVERY));
        assert_eq!((repeated.ended(), repeated.happened()), (None, Some(1)));
    }
}

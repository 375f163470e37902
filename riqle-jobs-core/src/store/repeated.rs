//! When to log what happens again and again.

use std::{
    collections::BTreeMap,
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
    fn is_stale(&self) -> bool {
        self.counted().as_ref().is_none_or(|counted| counted.logged.elapsed() >= EVERY)
    }

    fn counted(&self) -> MutexGuard<'_, Option<Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most this many are tracked separately.
const MOST: usize = 1_000;

/// The same of things that are told apart by a key, such as a job and its error. Beyond a thousand keys within a minute, the
/// others count together.
#[derive(Debug, Default)]
pub struct RepeatedEach {
    each: Mutex<BTreeMap<String, Repeated>>,
    others: Repeated,
}

impl RepeatedEach {
    /// None has happened yet.
    pub const fn new() -> Self {
        Self { each: Mutex::new(BTreeMap::new()), others: Repeated::new() }
    }

    /// As [`Repeated::happened`], of this one.
    pub fn happened(&self, key: &str) -> Option<u64> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repeated) = each.get(key) {
            return repeated.happened();
        }
        if each.len() >= MOST {
            each.retain(|_, repeated| !repeated.is_stale());
        }
        if each.len() >= MOST {
            return self.others.happened();
        }
        each.entry(key.to_owned()).or_default().happened()
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

    #[tokio::test(start_paused = true)]
    async fn each_is_logged_by_itself_and_those_beyond_a_thousand_together() {
        let each = RepeatedEach::new();
        for key in 0..MOST {
            assert_eq!(each.happened(&key.to_string()), Some(1));
        }
        assert_eq!(
            (each.happened("7"), each.happened("one more"), each.happened("another")),
            (None, Some(1), None)
        );
        advance(EVERY).await;
        // Others took its place, which was free again.
        assert_eq!((each.happened("7"), each.happened("another")), (Some(2), Some(1)));
    }
}

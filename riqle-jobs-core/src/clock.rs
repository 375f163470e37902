//! Where a store gets its time, a clock that tests move, and sums of times that can't overflow.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use tokio::sync::watch;

/// Where a store gets its time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The server's clock; for an embedded store, the machine's.
    #[default]
    Server,
    /// A clock that only the test moves.
    Manual(ManualClock),
}

impl Clock {
    /// Now, for a store without a server: whole milliseconds.
    pub fn local_now(&self) -> Timestamp {
        match self {
            Clock::Server => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Clock::Manual(clock) => clock.now(),
        }
    }

    /// The manual clock, if this is one.
    pub fn manual(&self) -> Option<&ManualClock> {
        match self {
            Clock::Server => None,
            Clock::Manual(clock) => Some(clock),
        }
    }
}

impl From<&ManualClock> for Clock {
    fn from(clock: &ManualClock) -> Self {
        Clock::Manual(clock.clone())
    }
}

/// A clock that stands still until it is moved. Clones share the time; moving it wakes sleeping workers.
///
/// ```
/// use std::time::Duration;
/// use riqle_jobs_core::ManualClock;
///
/// let clock = ManualClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now().duration_since(start).as_secs(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    millis: Arc<watch::Sender<i64>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// Starts at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self::starting_at(from_millis(1_767_225_600_000))
    }

    /// Starts at `start`, cut to whole milliseconds.
    pub fn starting_at(start: Timestamp) -> Self {
        Self { millis: Arc::new(watch::Sender::new(start.as_millisecond())) }
    }

    /// The time it shows.
    pub fn now(&self) -> Timestamp {
        from_millis(*self.millis.borrow())
    }

    /// Moves it forward by whole milliseconds.
    pub fn advance(&self, by: Duration) {
        self.millis.send_modify(|millis| *millis = millis.saturating_add(millis_of(by)));
    }

    /// Sets it, also backwards.
    pub fn set(&self, to: Timestamp) {
        self.millis.send_replace(to.as_millisecond());
    }

    /// Resolves when the clock shows `time` or later.
    pub async fn reaches(&self, time: Timestamp) {
        let mut watch = self.millis.subscribe();
        // The sender lives in self, so the wait can't fail.
        let _ = watch.wait_for(|millis| *millis >= time.as_millisecond()).await;
    }
}

/// A point in time from the stored form, clamped to what a [`Timestamp`] can hold.
pub fn from_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// About 30,000 years: anything longer would overflow when a store adds it to a time.
const LONGEST_MILLIS: i64 = 1_000_000_000_000_000;

/// A duration in the stored form: whole milliseconds, rounded up so that a wait is never too short, and at most
/// about 30,000 years, so that a store can add it to a time.
pub fn millis_of(duration: Duration) -> i64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).unwrap_or(LONGEST_MILLIS).min(LONGEST_MILLIS)
}

/// `time + duration`, clamped to what a [`Timestamp`] can hold.
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    from_millis(time.as_millisecond().saturating_add(millis_of(by)))
}

/// `time - duration`, clamped to what a [`Timestamp`] can hold.
pub fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    from_millis(time.as_millisecond().saturating_sub(millis_of(by)))
}

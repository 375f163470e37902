//! Waits between tries at something that is unavailable, and how often a write is tried.

use std::time::Duration;

use crate::{
    Error, ErrorKind,
    job::{Jitter, RetryPolicy, mix},
    store::Repeated,
};

/// So often a write is tried that fails in a way that is neither the store's state nor plainly the write's content.
const TRIES: u32 = 5;

/// Waits between tries at something that is unavailable: 50 ms growing to 5 s, each spread by full jitter.
pub(crate) struct Backoff {
    policy: RetryPolicy,
    seed: u64,
    tries: u32,
    failing: Repeated,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        let policy = RetryPolicy::exponential(Duration::from_millis(50))
            .longest(Duration::from_secs(5))
            .jitter(Jitter::Full);
        Self { policy, seed: mix(seed), tries: 0, failing: Repeated::new() }
    }

    /// The next wait.
    pub(crate) fn next_delay(&mut self) -> Duration {
        self.tries = self.tries.saturating_add(1);
        self.policy.delay_after(self.tries, self.seed).max(Duration::from_millis(10))
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }

    /// Whether to wait and try a write again: for as long as the store is unavailable or not as it must be; and, since an error that
    /// nobody knows may pass, a few times after any other but a refusal of what is written.
    pub(crate) fn outlasts(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Misconfigured => true,
            ErrorKind::Rejected => false,
            _ => self.tries < TRIES,
        }
    }

    /// Logs that a try has failed, unless that was said within the last minute. `queue` is that of all of it, if it has one.
    pub(crate) fn log(&self, what: &str, queue: Option<&str>, error: &Error) {
        let Some(times) = self.failing.happened() else { return };
        if error.kind() == ErrorKind::Unavailable {
            tracing::warn!(queue, %error, times, "can't {what}; will retry");
        } else {
            tracing::error!(queue, %error, times, "can't {what}; will retry");
        }
    }

    /// It has succeeded, which is logged if its failure was.
    pub(crate) fn succeeded(&mut self, what: &str, queue: Option<&str>) {
        self.reset();
        if let Some(after) = self.failing.ended() {
            tracing::info!(queue, ?after, "can {what} again");
        }
    }

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A pause ±20%, so that what was started together does not look together.
pub(crate) fn jittered(pause: Duration, seed: u64) -> Duration {
    let percent = 80 + u32::try_from(mix(seed) % 41).unwrap_or(20);
    pause * percent / 100
}

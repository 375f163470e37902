//! Waits between tries at something that is unavailable, and how often a write is tried.

use std::time::Duration;

use crate::{
    Error, ErrorKind,
    job::{Jitter, RetryPolicy, mix},
};

/// So often a write is tried that fails in a way that is neither the store's state nor plainly the write's content.
const TRIES: u32 = 5;

/// Waits between tries at something that is unavailable: 50 ms growing to 5 s, each spread by full jitter.
pub(crate) struct Backoff {
    policy: RetryPolicy,
    seed: u64,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        let policy = RetryPolicy::exponential(Duration::from_millis(50))
            .longest(Duration::from_secs(5))
            .jitter(Jitter::Full);
        Self { policy, seed: mix(seed), tries: 0 }
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

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A pause ±20%, so that what was started together does not look together.
pub(crate) fn jittered(pause: Duration, seed: u64) -> Duration {
    let percent = 80 + u32::try_from(mix(seed) % 41).unwrap_or(20);
    pause * percent / 100
}

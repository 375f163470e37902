//! Pauses for a provider that accepts nothing, for SMTP and Resend.

use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// A provider that accepts nothing is left alone: after each refusal for twice as long, from a second to five
/// minutes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    until: Instant,
    length: Duration,
}

impl Pause {
    /// After a refusal, at least as long as was asked for; `before` is the previous pause, if nothing was
    /// accepted since.
    pub(crate) fn after(before: Option<Pause>, now: Instant, asked: Duration) -> Self {
        match before {
            None => Self::lasting(SHORTEST, now, asked),
            // Others were refused at the same time.
            Some(pause) if now < pause.until => Self { until: pause.until.max(now + asked), ..pause },
            Some(pause) => Self::lasting((2 * pause.length).min(LONGEST), now, asked),
        }
    }

    fn lasting(length: Duration, now: Instant, asked: Duration) -> Self {
        Self { until: now + length.max(asked), length }
    }

    /// As is, or up to a quarter longer: `share` is from 0 to 1.
    #[must_use]
    #[cfg(feature = "smtp")]
    pub(crate) fn longer_by(self, share: f64) -> Self {
        Self { until: self.until + (self.length / 4).mul_f64(share), ..self }
    }

    /// What is left of it; zero: it is over.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }
}

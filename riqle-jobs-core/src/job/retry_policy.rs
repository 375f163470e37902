//! When, and how often, a failed attempt is retried.

use std::{borrow::Cow, fmt, time::Duration};

/// When, and how often, a failed attempt is retried.
///
/// ```
/// use std::time::Duration;
/// use riqle_jobs_core::RetryPolicy;
///
/// let policy = RetryPolicy::exponential(Duration::from_secs(1)).max_retries(3);
/// let delays: Vec<u64> = (1..=3).map(|attempt| policy.delay_after(attempt, 0).as_secs()).collect();
/// assert_eq!(delays, [1, 2, 4]);
/// assert!(policy.allows_retry_after(3) && !policy.allows_retry_after(4));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    schedule: Schedule,
    longest: Duration,
    max_retries: u32,
    jitter: Jitter,
    /// Policies of error kinds, in the order in which they were added.
    by_kind: Vec<(Cow<'static, str>, RetryPolicy)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Schedule {
    Exponential { base: Duration, factor: f64 },
    Fixed(Duration),
    Table(Vec<Duration>),
}

/// Spreads retries, so that runs that failed together don't come back together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// No jitter.
    #[default]
    None,
    /// Anywhere from zero to the delay ("full jitter" of the AWS Architecture Blog, "Exponential Backoff And
    /// Jitter", 2015).
    Full,
    /// From half the delay to the delay ("equal jitter" of the same article).
    Equal,
    /// The delay, plus or minus up to this many percent; above 100 counts as 100.
    Proportional(u8),
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for RetryPolicy {
    /// 5 retries, after 1, 2, 4, 8, 16 s.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1))
    }
}

impl RetryPolicy {
    /// Waits `base`, then twice as long each time, at most a day; 5 retries.
    pub fn exponential(base: Duration) -> Self {
        Self {
            schedule: Schedule::Exponential { base, factor: 2.0 },
            longest: DAY,
            max_retries: 5,
            jitter: Jitter::None,
            by_kind: Vec::new(),
        }
    }

    /// Waits `delay` each time; 5 retries.
    pub fn fixed(delay: Duration) -> Self {
        Self { schedule: Schedule::Fixed(delay), ..Self::exponential(delay) }.longest(Duration::MAX)
    }

    /// Waits as the table says, one entry per retry; retries past its end wait for its last entry.
    pub fn table(delays: impl Into<Vec<Duration>>) -> Self {
        let delays = delays.into();
        let max_retries = u32::try_from(delays.len()).unwrap_or(u32::MAX);
        Self { schedule: Schedule::Table(delays), max_retries, ..Self::default() }.longest(Duration::MAX)
    }

    /// Never retries: the first failure makes a dead letter.
    pub fn none() -> Self {
        Self::fixed(Duration::ZERO).max_retries(0)
    }

    /// The number of retries: 3 allow 4 attempts.
    #[must_use]
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = max_retries;
        self
    }

    /// The factor by which an exponential delay grows. Less than 1, or not a number, counts as 1.
    #[must_use]
    pub fn factor(mut self, by: f64) -> Self {
        if let Schedule::Exponential { factor, .. } = &mut self.schedule {
            *factor = if by >= 1.0 { by } else { 1.0 };
        }
        self
    }

    /// The longest delay.
    #[must_use]
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Spreads the delays.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Retries errors of this [kind](crate::JobError::kind) by a policy of their own. Its `max_retries` and the
    /// exponent of its delays count all failures of the run, whatever their kind. The last policy set for a
    /// kind wins.
    ///
    /// ```
    /// use std::time::Duration;
    /// use riqle_jobs_core::RetryPolicy;
    ///
    /// let patient = RetryPolicy::fixed(Duration::from_secs(60)).max_retries(20);
    /// let policy = RetryPolicy::default().on("rate-limited", patient);
    /// assert_eq!(policy.for_kind(Some("rate-limited")).delay_after(3, 0), Duration::from_secs(60));
    /// assert_eq!(policy.for_kind(None).delay_after(3, 0), Duration::from_secs(4));
    /// assert_eq!(
    ///     policy.to_string(),
    ///     "5 retries, exponential from 1s; on rate-limited: 20 retries, each after 60s"
    /// );
    /// ```
    #[must_use]
    pub fn on(mut self, kind: impl Into<Cow<'static, str>>, policy: RetryPolicy) -> Self {
        let kind = kind.into();
        self.by_kind.retain(|(known, _)| *known != kind);
        self.by_kind.push((kind, RetryPolicy { by_kind: Vec::new(), ..policy }));
        self
    }

    /// The policy for an error of this kind; this one if the kind has none of its own.
    pub fn for_kind(&self, kind: Option<&str>) -> &RetryPolicy {
        let own = self.by_kind.iter().find(|(known, _)| Some(known.as_ref()) == kind);
        own.map_or(self, |(_, policy)| policy)
    }

    /// Whether a run is retried after this many failed attempts.
    pub fn allows_retry_after(&self, failures: u32) -> bool {
        failures <= self.max_retries
    }

    /// How long to wait before the next attempt, counted from the end of the failed one.
    ///
    /// `attempt` is the attempt that just failed; the first is 1. Without jitter an exponential delay is
    /// `base * factor^(attempt - 1)` and never exceeds `longest`. Jitter is drawn from `seed` and `attempt`
    /// alone, so equal arguments give equal delays.
    pub fn delay_after(&self, attempt: u32, seed: u64) -> Duration {
        let step = attempt.max(1) - 1;
        let delay = match &self.schedule {
            Schedule::Exponential { base, factor } => {
                let grown = base.as_secs_f64() * factor.powi(i32::try_from(step).unwrap_or(i32::MAX));
                Duration::try_from_secs_f64(grown).unwrap_or(if base.is_zero() {
                    Duration::ZERO
                } else {
                    Duration::MAX
                })
            }
            Schedule::Fixed(delay) => *delay,
            Schedule::Table(delays) => {
                let index = usize::try_from(step).unwrap_or(usize::MAX);
                delays.get(index).or(delays.last()).copied().unwrap_or_default()
            }
        }
        .min(self.longest);
        let share = mix(seed ^ u64::from(attempt).rotate_left(32));
        match self.jitter {
            Jitter::None => delay,
            Jitter::Full => part_of(delay, share),
            Jitter::Equal => delay - part_of(delay / 2, share),
            Jitter::Proportional(percent) => {
                let spread = delay / 100 * u32::from(percent.min(100));
                let least = delay - spread;
                least.saturating_add(part_of(spread.saturating_mul(2), share)).min(self.longest)
            }
        }
    }
}

impl fmt::Display for RetryPolicy {
    /// One line for display, such as `3 retries, exponential from 1s`; the policies of error kinds follow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_one(f)?;
        for (kind, policy) in &self.by_kind {
            write!(f, "; on {kind}: ")?;
            policy.fmt_one(f)?;
        }
        Ok(())
    }
}

impl RetryPolicy {
    fn fmt_one(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.max_retries, if self.max_retries == 1 { "retry" } else { "retries" })?;
        if self.max_retries == 0 {
            return Ok(());
        }
        match &self.schedule {
            Schedule::Exponential { base, factor } => {
                write!(f, ", exponential from {base:?}")?;
                if *factor != 2.0 {
                    write!(f, " by {factor}")?;
                }
            }
            Schedule::Fixed(delay) => write!(f, ", each after {delay:?}")?,
            Schedule::Table(delays) => write!(f, ", after {delays:?}")?,
        }
        match self.jitter {
            Jitter::None => Ok(()),
            Jitter::Full => f.write_str(", full jitter"),
            Jitter::Equal => f.write_str(", equal jitter"),
            Jitter::Proportional(percent) => write!(f, ", ±{percent}%"),
        }
    }
}

/// `share / 2^64` of a duration.
fn part_of(duration: Duration, share: u64) -> Duration {
    let nanos = duration.as_nanos();
    let share = u128::from(share >> 32);
    // nanos has at most 94 bits, so a 32-bit share can't overflow 128.
    let part = (nanos * share) >> 32;
    let second = 1_000_000_000;
    Duration::new(u64::try_from(part / second).unwrap_or(u64::MAX), u32::try_from(part % second).unwrap_or(0))
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): spreads a seed over all 64 bits.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

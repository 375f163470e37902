//! What defers an email through no fault of its own, for how long, and when the next look is due.

use std::time::Duration;

use super::EmailDetail;

const SECOND: Duration = Duration::from_secs(1);
const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
/// Greylisting servers accept a repeat after about five minutes (RFC 6647); one within seconds is useless.
const GREYLISTED: Duration = Duration::from_secs(6 * 60);
const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);
const SIX_HOURS: Duration = Duration::from_secs(6 * 60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What defers an email through no fault of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// The provider accepts no more for now: too many connections, or too many emails at once.
    Load,
    /// The recipient's server refuses every first try (RFC 6647).
    Greylisting,
    /// The account's quota for the day or month is used up.
    Quota,
}

impl Deferral {
    /// Its name in the email log.
    pub const fn detail(self) -> EmailDetail {
        match self {
            Deferral::Load => EmailDetail::Throttled,
            Deferral::Greylisting => EmailDetail::Greylisted,
            Deferral::Quota => EmailDetail::QuotaUsedUp,
        }
    }

    /// For display, before "again at …".
    pub(super) const fn told(self) -> &'static str {
        match self {
            Deferral::Load => "deferred by the provider",
            Deferral::Greylisting => "greylisted",
            Deferral::Quota => "quota used up",
        }
    }

    /// How long a run waits in all.
    pub(super) const fn patience(self, for_load: Duration) -> Duration {
        match self {
            Deferral::Load => for_load,
            Deferral::Greylisting => DAY,
            Deferral::Quota => Duration::from_secs(3 * 24 * 60 * 60),
        }
    }

    /// When to try again, if it has lasted this long and the provider asks for `asked`. Emails deferred
    /// together for load don't return together: `seed` is different for each.
    pub(super) fn pause(self, lasted: Duration, asked: Option<Duration>, seed: u64) -> Duration {
        match self {
            Deferral::Load => asked.unwrap_or_else(|| {
                let pause = lasted.clamp(SECOND, FIVE_MINUTES);
                pause + pause.mul_f64((seed % 256) as f64 / 1024.0)
            }),
            Deferral::Greylisting => asked.unwrap_or(GREYLISTED),
            Deferral::Quota => asked.unwrap_or(lasted).clamp(QUARTER_HOUR, SIX_HOURS),
        }
    }
}

/// When to check again for a configuration fix: after 15 min at first, then as long as it has lasted, at most 6
/// h; `None` after a day.
pub(super) fn next_look(lasted: Duration) -> Option<Duration> {
    (lasted < DAY).then(|| lasted.clamp(QUARTER_HOUR, SIX_HOURS))
}

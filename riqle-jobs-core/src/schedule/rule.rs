//! The rule that makes a schedule's ticks.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{cron::CronTimes, describe::describe};
use crate::{Error, ErrorKind, clock, millis_of};

/// The shortest interval between two ticks.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// When a schedule's runs are due: a cron expression in a time zone, or an interval.
///
/// It is stored as it is written, so that a new time zone database counts from the next start of a worker on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The times of a cron expression on a zone's wall clock. One that names its times (`0 8 * * 1-5`, `30 2,14 * * *`) comes
    /// once a day for each: a time that the zone's clock skips at the first instant after the gap (several that one gap skips
    /// come as one), one that it shows twice the first time. One with `*` or `/` among its seconds, minutes or hours follows real time.
    Cron {
        /// Minute, hour, day of the month, month, day of the week; with six fields, the first is the second; a seventh is the
        /// year. Where both days are restricted, one of them is enough; a `+` in front of the day of the week asks for both.
        expression: String,
        /// A name of the time zone database.
        zone: String,
    },
    /// Every so often, counted from a time and not from a process's start, also through changes of a wall clock. What is below a
    /// millisecond is dropped.
    Every {
        /// A second at least.
        period: Duration,
        /// The first tick.
        from: Timestamp,
    },
}

impl Rule {
    /// Reads it, once for many ticks.
    ///
    /// # Errors
    /// `Rejected`: of an expression with the field and its column, of a zone that is not known, of an interval that is too
    /// short.
    pub(crate) fn times(&self) -> Result<Times, Error> {
        match self {
            Rule::Cron { expression, zone } => Ok(Times::Cron(Box::new(CronTimes::of(expression, zone)?))),
            Rule::Every { period, from } => {
                if *period < SHORTEST_INTERVAL {
                    let message = format!("an interval is a second at least; this one is {period:?}");
                    return Err(Error::new(ErrorKind::Rejected, "schedule", message).permanent());
                }
                // As stores keep times.
                let from = clock::from_millis(from.as_millisecond());
                Ok(Times::Every { period: SignedDuration::from_millis(millis_of(*period)), from })
            }
        }
    }

    /// The next ticks after a time, at most so many; fewer where it ends.
    ///
    /// # Errors
    /// `Rejected` where it can't be read here, such as for a zone that this machine does not know.
    pub fn next_after(&self, time: Timestamp, ticks: usize) -> Result<Vec<Timestamp>, Error> {
        let times = self.times()?;
        let first = times.next_after(time);
        Ok(std::iter::successors(first, |tick| times.next_after(*tick)).take(ticks).collect())
    }
}

/// For people: `at 08:00 on weekdays, Europe/Berlin`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Cron { expression, zone } => {
                write!(f, "{}, {zone}", describe(expression))
            }
            Rule::Every { period, from } => {
                write!(f, "every {:#}", SignedDuration::try_from(*period).unwrap_or(SignedDuration::MAX))?;
                if *from != Timestamp::UNIX_EPOCH {
                    write!(f, ", from {from}")?;
                }
                Ok(())
            }
        }
    }
}

/// A rule that was read.
#[derive(Clone, Debug)]
pub(crate) enum Times {
    Cron(Box<CronTimes>),
    Every { period: SignedDuration, from: Timestamp },
}

impl Times {
    /// The first tick after a time.
    pub(crate) fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Times::Cron(times) => times.next_after(time),
            Times::Every { period, from } => {
                if time < *from {
                    return Some(*from);
                }
                let past = time.duration_since(*from).as_millis();
                let periods = past / period.as_millis() + 1;
                let millis = periods.checked_mul(period.as_millis())?;
                let ahead = SignedDuration::from_millis(i64::try_from(millis).ok()?);
                from.checked_add(ahead).ok()
            }
        }
    }

    /// The last tick until a time, that included; `first` is one of them. Ticks are counted by halves, so that one that was
    /// missed for a year costs no more than one that was missed for a minute.
    pub(crate) fn last_until(&self, time: Timestamp, first: Timestamp) -> Timestamp {
        let (mut last, mut end) = (first, time.max(first));
        loop {
            let half = end.duration_since(last) / 2;
            let Ok(middle) = last.checked_add(half) else { return last };
            match self.next_after(middle).filter(|tick| *tick <= time) {
                Some(tick) => last = tick,
                // Nothing between the middle and the time.
                None if middle > last => end = middle,
                None => return last,
            }
        }
    }
}

//! How times and ages are read and shown.

use std::time::Duration;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use riqle_jobs::{show::length, store::earlier};

use crate::failure::Failure;

/// A time: RFC 3339, a civil time in UTC, or an age before `now`.
pub(crate) fn time(option: &str, text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let civil = || Some(text.parse::<DateTime>().ok()?.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp());
    let ago = || age_of(text).map(|age| earlier(now, age));
    let read = text.parse::<Timestamp>().ok().or_else(civil).or_else(ago);
    read.ok_or_else(|| {
        Failure::usage(format!(
            "{option} {text:?} is not a time such as 2026-11-26T08:30 (UTC), nor an age such as 3h"
        ))
    })
}

/// `forever` is none.
pub(crate) fn age(option: &str, text: &str) -> Result<Option<Duration>, Failure> {
    if text == "forever" {
        return Ok(None);
    }
    let age = age_of(text);
    age.map(Some)
        .ok_or_else(|| Failure::usage(format!("{option} {text:?} is not an age such as 12h, 7d or forever")))
}

/// How long to wait in between: a second at least.
pub(crate) fn pause(option: &str, text: &str) -> Result<Duration, Failure> {
    let pause = age_of(text).filter(|pause| *pause >= Duration::from_secs(1));
    pause.ok_or_else(|| {
        Failure::usage(format!("{option} {text:?} is not a time such as 2s or 1min, of 1s at least"))
    })
}

fn age_of(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let seconds: u64 = match &text[digits.len()..] {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

/// How long ago something was, or in how long it will be.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let past = Duration::try_from(now.duration_since(at)).unwrap_or_default();
    let to_come = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    match (past.as_secs(), to_come.as_secs()) {
        (0, 0) => "now".to_owned(),
        (past, 0) => format!("{} ago", length(Duration::from_secs(past))),
        (_, to_come) => format!("in {}", length(Duration::from_secs(to_come))),
    }
}

/// For how long something has lasted.
pub(crate) fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.max(at).duration_since(at)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ages_are_read() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        let read = |text| time("--from", text, now).map(|time| time.to_string());
        assert_eq!(read("2026-11-26T08:30").unwrap(), "2026-11-26T08:30:00Z");
        assert_eq!(read("2026-11-26").unwrap(), "2026-11-26T00:00:00Z");
        assert_eq!(read("2026-11-26T08:30:00+02:00").unwrap(), "2026-11-26T06:30:00Z");
        assert_eq!(read("3h").unwrap(), "2026-11-26T09:00:00Z");
        for wrong in ["yesterday", "3", "h", "", "99999999999999999999d", "18446744073709551615w"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(age("--ended", "7d").unwrap(), Some(Duration::from_secs(604_800)));
        assert_eq!(age("--ended", "forever").unwrap(), None);
        assert_eq!(
            (ago(earlier(now, Duration::from_secs(61)), now), ago(now, now)),
            ("1 min 01 s ago".to_owned(), "now".to_owned())
        );
    }
}

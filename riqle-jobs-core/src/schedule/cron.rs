//! The times of a cron expression in a time zone.
//!
//! The expression is read and searched by croner on the wall clock alone; what happens where the zone's clock is moved is
//! decided here. Times that the expression names (its seconds, minutes and hours hold neither `*` nor `/`) are moments of a
//! day: one in a gap comes at the first instant after the gap, one in an overlap comes once, the first time. Any other
//! expression is an interval, and follows real time: it comes at each instant at which the wall clock shows one of its times.

use std::cmp::Ordering;

use croner::{
    Cron,
    errors::CronError,
    time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday},
};
use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::{Error, ErrorKind};

/// A cron expression in a time zone.
#[derive(Clone, Debug)]
pub(crate) struct CronTimes {
    cron: Cron,
    zone: TimeZone,
    names_times: bool,
}

impl CronTimes {
    /// # Errors
    /// `Rejected`, with the field that can't be read, or the zone that is not known.
    pub(crate) fn of(expression: &str, zone: &str) -> Result<Self, Error> {
        let cron: Cron = expression.parse().map_err(|cause| unreadable(expression, &cause))?;
        let zone = TimeZone::get(zone).map_err(|cause| {
            let message = format!(
                "the time zone {zone:?} is not known here: it is a name such as \"Europe/Berlin\", and the machine needs a \
                 time zone database"
            );
            rejected(message).caused_by(cause)
        })?;
        let names_times = !fields_of_the_day(&cron).any(|field| field.contains(['*', '/']));
        Ok(Self { cron, zone, names_times })
    }

    /// The first time after this one, if there is any.
    pub(crate) fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        if self.names_times { self.next_named(time) } else { self.next_of_interval(time) }
    }

    fn next_named(&self, after: Timestamp) -> Option<Timestamp> {
        let mut civil = self.zone.to_datetime(after);
        loop {
            civil = self.next_on_the_wall(civil, false)?;
            let time = match self.zone.to_ambiguous_timestamp(civil).offset() {
                AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok()?,
                // The first of the two.
                AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok()?,
                AmbiguousOffset::Gap { before, .. } => {
                    let behind =
                        before.to_timestamp(civil).ok()?.checked_add(SignedDuration::from_secs(1)).ok()?;
                    self.zone.preceding(behind).next()?.timestamp()
                }
            };
            if time > after {
                return Some(time);
            }
        }
    }

    /// Looks for it in each stretch of time between two moves of the zone's clock.
    fn next_of_interval(&self, after: Timestamp) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (after, false);
        loop {
            let offset = self.zone.to_offset(from);
            let moves = self.zone.following(from).next().map(|change| change.timestamp());
            let found = self.next_on_the_wall(offset.to_datetime(from), inclusive);
            let time = found.and_then(|civil| offset.to_timestamp(civil).ok());
            match (time, moves) {
                (Some(time), None) => return Some(time),
                (Some(time), Some(moves)) if time < moves => return Some(time),
                // Nothing is left on this wall clock, nor on one that is a few hours away.
                (None, _) => return None,
                (Some(_), Some(moves)) => (from, inclusive) = (moves, true),
            }
        }
    }

    fn next_on_the_wall(&self, civil: DateTime, inclusive: bool) -> Option<DateTime> {
        self.cron.find_next_occurrence(&Wall(civil), inclusive).ok().map(|found| found.0)
    }
}

/// Seconds, where there are any, minutes and hours.
fn fields_of_the_day(cron: &Cron) -> impl Iterator<Item = &str> {
    let fields = cron.as_str().split_whitespace();
    let of_the_day = if fields.clone().count() == 5 { 2 } else { 3 };
    fields.take(of_the_day)
}

/// Names the field that can't be read, where one alone is at fault.
fn unreadable(expression: &str, cause: &CronError) -> Error {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let names = match fields.len() {
        5 => &FIELDS[1..6],
        6 | 7 => &FIELDS[..fields.len()],
        _ => &[],
    };
    for (index, (field, name)) in fields.iter().zip(names).enumerate() {
        let alone: Vec<_> =
            (0..fields.len()).map(|place| if place == index { *field } else { "*" }).collect();
        if let Err(cause) = alone.join(" ").parse::<Cron>() {
            let column = 1 + field.as_ptr() as usize - expression.as_ptr() as usize;
            return rejected(format!(
                "the {name} {field:?} of the cron expression {expression:?}, at column {column}, can't be read: {cause}"
            ));
        }
    }
    rejected(format!(
        "the cron expression {expression:?} can't be read: {cause}; it has 5 fields (minute, hour, day of the month, month, \
         day of the week), 6 with seconds in front, or 7 with a year behind"
    ))
}

const FIELDS: [&str; 7] =
    ["second", "minute", "hour", "day of the month", "month", "day of the week", "year"];

fn rejected(message: String) -> Error {
    Error::new(ErrorKind::Rejected, "schedule", message).permanent()
}

/// A wall clock that is never moved.
#[derive(Clone, Copy)]
struct Wall(DateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let Wall(time) = self;
        let part = |part: i8| u32::from(part.unsigned_abs());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(time.year().into(), part(time.month()), part(time.day())),
            CivilTime::from_parts_unchecked(part(time.hour()), part(time.minute()), part(time.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::from(self.0.weekday().to_sunday_zero_offset().unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let small = |number: u32| i8::try_from(number).map_err(|_| CronError::InvalidDate);
        let time = DateTime::new(
            i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
            small(civil.month())?,
            small(civil.day())?,
            small(civil.hour())?,
            small(civil.minute())?,
            small(civil.second())?,
            0,
        );
        time.map(|time| Resolution::Single(Wall(time))).map_err(|_| CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Wall)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

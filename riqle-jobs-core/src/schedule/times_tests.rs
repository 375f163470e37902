//! Ticks against a walk through time, minute by minute, and the rules where a zone's clock is moved.

use std::time::Duration;

use jiff::{Timestamp, ToSpan, civil::Weekday, tz::TimeZone};

use super::Rule;
use crate::job::mix;

const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    // By half an hour.
    "Australia/Lord_Howe",
    // At midnight.
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Beirut",
    // Around Ramadan, and backwards in it.
    "Africa/Casablanca",
    "America/St_Johns",
    "Asia/Kathmandu",
];
const FROM: &str = "2024-01-01T00:00:00Z";
const YEARS: i64 = 5;
const EXPRESSIONS: u64 = 500;
/// As many take some seconds without optimisation.
const TRIED_BY_DEFAULT: u64 = 40;

fn cron(expression: &str, zone: &str) -> Rule {
    Rule::Cron { expression: expression.to_owned(), zone: zone.to_owned() }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next ticks as the zone's wall clock shows them.
fn ticks(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let ticks = cron(expression, zone).next_after(time(after), count).unwrap();
    let zone = TimeZone::get(zone).unwrap();
    ticks
        .into_iter()
        .map(|tick| jiff::ZonedDateTime::new(tick, zone.clone()).strftime("%F %T%:z").to_string())
        .collect()
}

#[test]
fn a_named_time_in_a_gap_comes_at_the_first_instant_after_it() {
    let after = "2026-03-28T00:00:00Z";
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", after, 3),
        ["2026-03-28 02:30:00+01:00", "2026-03-29 03:00:00+02:00", "2026-03-30 02:30:00+02:00"]
    );
    // Each time of a list by itself; two in the gap, and the one behind it, are one tick.
    assert_eq!(
        ticks("30 2,14 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 4),
        [
            "2026-03-28 14:30:00+01:00",
            "2026-03-29 03:00:00+02:00",
            "2026-03-29 14:30:00+02:00",
            "2026-03-30 02:30:00+02:00"
        ]
    );
    assert_eq!(
        ticks("0,30 2,3 29 3 *", "Europe/Berlin", after, 3),
        ["2026-03-29 03:00:00+02:00", "2026-03-29 03:30:00+02:00", "2027-03-29 02:00:00+02:00"]
    );
}

#[test]
fn a_named_time_that_is_shown_twice_comes_the_first_time() {
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25 02:30:00+02:00", "2026-10-26 02:30:00+01:00"]
    );
    // Also for who asks between the two.
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", 1),
        ["2026-10-26 02:30:00+01:00"]
    );
}

#[test]
fn an_interval_follows_real_time() {
    assert_eq!(
        ticks("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
        ["2026-03-29 01:30:00+01:00", "2026-03-29 03:00:00+02:00", "2026-03-29 03:30:00+02:00"]
    );
    assert_eq!(
        ticks("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4),
        [
            "2026-10-25 02:00:00+02:00",
            "2026-10-25 02:00:00+01:00",
            "2026-10-25 03:00:00+01:00",
            "2026-10-25 04:00:00+01:00"
        ]
    );
}

#[test]
fn days_of_23_25_and_24_and_a_half_hours_have_as_many_hours() {
    let hours = |zone: &str, from: &str, to: &str| {
        let ticks = cron("0 * * * *", zone).next_after(time(from), 40).unwrap();
        ticks.into_iter().filter(|tick| *tick < time(to)).count() + 1
    };
    assert_eq!(hours("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 23);
    assert_eq!(hours("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), 25);
    // On Lord Howe Island a day ends half an hour late: a clock that goes back from 02:00 to 01:30 shows no full hour twice.
    assert_eq!(hours("Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"), 24);
    assert_eq!(
        ticks("*/30 * * * *", "Australia/Lord_Howe", "2026-04-04T14:15:00Z", 4),
        [
            "2026-04-05 01:30:00+11:00",
            "2026-04-05 01:30:00+10:30",
            "2026-04-05 02:00:00+10:30",
            "2026-04-05 02:30:00+10:30"
        ]
    );
    assert_eq!(
        ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2),
        ["2026-10-04 02:30:00+11:00", "2026-10-05 02:15:00+11:00"]
    );
}

#[test]
fn a_midnight_that_is_skipped_is_a_tick_all_the_same() {
    assert_eq!(
        ticks("0 0 * * *", "Africa/Cairo", "2026-04-22T22:30:00Z", 3),
        ["2026-04-24 01:00:00+03:00", "2026-04-25 00:00:00+03:00", "2026-04-26 00:00:00+03:00"]
    );
    // The day that Samoa left out.
    assert_eq!(
        ticks("0 8 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3),
        ["2011-12-29 08:00:00-10:00", "2011-12-31 00:00:00+14:00", "2011-12-31 08:00:00+14:00"]
    );
}

#[test]
fn leap_days_come_when_there_are_any() {
    assert_eq!(
        ticks("0 12 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2),
        ["2028-02-29 12:00:00+00:00", "2032-02-29 12:00:00+00:00"]
    );
    assert_eq!(
        ticks("0 12 L 2 *", "UTC", "2027-01-01T00:00:00Z", 2),
        ["2027-02-28 12:00:00+00:00", "2028-02-29 12:00:00+00:00"]
    );
}

#[test]
fn a_rule_may_end_and_one_that_never_comes_has_no_ticks() {
    assert_eq!(ticks("0 0 0 1 1 * 2027", "UTC", "2026-01-01T00:00:00Z", 5), ["2027-01-01 00:00:00+00:00"]);
    for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * * * * 2020", "*/5 * 30 2 *"] {
        assert_eq!(ticks(expression, "Europe/Berlin", "2026-01-01T00:00:00Z", 1), [""; 0], "{expression}");
    }
}

#[test]
fn an_interval_is_counted_from_a_time_and_not_from_a_start() {
    let rule = |seconds, from: &str| Rule::Every { period: Duration::from_secs(seconds), from: time(from) };
    let every = rule(600, "1970-01-01T00:00:00Z");
    let next = |rule: &Rule, after: &str| rule.next_after(time(after), 1).unwrap()[0].to_string();
    assert_eq!(next(&every, "2026-03-29T00:59:59.999Z"), "2026-03-29T01:00:00Z");
    assert_eq!(next(&every, "2026-03-29T01:00:00Z"), "2026-03-29T01:10:00Z");
    let late = rule(7, "2026-03-29T01:00:01Z");
    assert_eq!(next(&late, "2020-01-01T00:00:00Z"), "2026-03-29T01:00:01Z");
    assert_eq!(next(&late, "2026-03-29T01:00:01Z"), "2026-03-29T01:00:08Z");
    assert_eq!(late.to_string(), "every 7s, from 2026-03-29T01:00:01Z");
    assert_eq!(every.to_string(), "every 10m");
}

#[test]
fn what_is_wrong_with_a_rule_is_said_with_its_place() {
    let error = |rule: Rule| rule.next_after(Timestamp::UNIX_EPOCH, 1).unwrap_err().to_string();
    let wrong = error(cron("0 25 * * *", "UTC"));
    assert!(wrong.contains("the hour \"25\"") && wrong.contains("at column 3"), "{wrong}");
    let wrong = error(cron("0 0 8 * * FOO", "UTC"));
    assert!(wrong.contains("the day of the week \"FOO\"") && wrong.contains("at column 11"), "{wrong}");
    let wrong = error(cron("0 8 * *", "UTC"));
    assert!(wrong.contains("it has 5 fields"), "{wrong}");
    let wrong = error(cron("0 8 * * *", "Europe/Bärlin"));
    assert!(wrong.contains("\"Europe/Bärlin\" is not known"), "{wrong}");
    let wrong = error(Rule::Every { period: Duration::from_millis(999), from: Timestamp::UNIX_EPOCH });
    assert!(wrong.contains("a second at least"), "{wrong}");
}

#[test]
fn the_last_tick_until_a_time_is_found_without_counting() {
    let end = time("2026-06-01T12:34:56Z");
    for expression in ["* * * * * *", "*/7 * * * *", "30 2,14 * * *", "0 0 29 2 *"] {
        let times = cron(expression, "Europe/Berlin").times().unwrap();
        let first = times.next_after(time("2024-01-01T00:00:00Z")).unwrap();
        let last = times.last_until(end, first);
        assert!(last <= end && times.next_after(last).unwrap() > end, "{expression}: {last}");
    }
}

/// An expression of the kinds that people write, from a seed.
fn expression(seed: u64) -> String {
    let mut count = 0;
    let mut below = |most: u64| {
        count += 1;
        mix(seed << 8 | count) % most
    };
    let mut field = |first: u64, most: u64, any: u64| match below(any + 6) {
        0 => format!("*/{}", 1 + below(most / 2 + 1)),
        1 => {
            let from = first + below(most);
            format!("{from}-{}", from + below(first + most - from))
        }
        2 => {
            let mut list: Vec<_> = (0..=below(4)).map(|_| (first + below(most)).to_string()).collect();
            list.dedup();
            list.join(",")
        }
        3 => {
            let from = first + below(most);
            format!("{from}-{}/{}", first + most - 1, 1 + below(5))
        }
        4 | 5 => (first + below(most)).to_string(),
        _ => "*".to_owned(),
    };
    let [minute, hour] = [field(0, 60, 1), field(0, 24, 3)];
    let [day, month, weekday] = [field(1, 31, 6), field(1, 12, 8), field(0, 7, 6)];
    format!("{minute} {hour} {day} {month} {weekday}")
}

/// The numbers of a field.
fn set(field: &str, first: usize, end: usize) -> Vec<bool> {
    let mut set = vec![false; end + 1];
    for item in field.split(',') {
        let (range, step) =
            item.split_once('/').map_or((item, 1), |(range, step)| (range, step.parse().unwrap()));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, end),
            Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        (from..=to).step_by(step).for_each(|number| set[number] = true);
    }
    set
}

/// Minutes of a zone's wall clock since 1970, a minute of real time each.
fn wall_clock(zone: &str) -> Vec<i64> {
    let zone = TimeZone::get(zone).unwrap();
    let begin = time(FROM).as_second() / 60;
    let minutes = YEARS * 366 * 24 * 60;
    let mut wall = Vec::new();
    for quarter in (begin..begin + minutes).step_by(15) {
        let offset = zone.to_offset(Timestamp::from_second(quarter * 60).unwrap()).seconds();
        wall.extend((quarter..quarter + 15).map(|minute| minute + i64::from(offset) / 60));
    }
    wall
}

/// The ticks of an expression, found by asking of each minute whether it is one.
fn walk(expression: &str, wall: &[i64]) -> Vec<Timestamp> {
    let fields: Vec<&str> = expression.split(' ').collect();
    let (minutes, hours) = (set(fields[0], 0, 59), set(fields[1], 0, 23));
    let (days, months, weekdays) = (set(fields[2], 1, 31), set(fields[3], 1, 12), set(fields[4], 0, 6));
    let is_restricted = |field: &str| field != "*";
    let is_day = |number: i64| {
        let date = jiff::civil::date(1970, 1, 1) + number.days();
        let day = days[usize::try_from(date.day()).unwrap()];
        let weekday = weekdays[usize::try_from(date.weekday().to_sunday_zero_offset()).unwrap()];
        months[usize::try_from(date.month()).unwrap()]
            && if is_restricted(fields[2]) && is_restricted(fields[4]) {
                day || weekday
            } else {
                day && weekday
            }
    };
    let first_day = wall[0] / 1440 - 1;
    let last_day = wall[wall.len() - 1] / 1440 + 1;
    let is_day: Vec<bool> = (first_day..=last_day).map(is_day).collect();
    let comes = |minute: i64| {
        let of_day = usize::try_from(minute % 1440).unwrap();
        is_day[usize::try_from(minute / 1440 - first_day).unwrap()]
            && hours[of_day / 60]
            && minutes[of_day % 60]
    };
    let names_times = !fields[..2].iter().any(|field| field.contains(['*', '/']));
    let begin = time(FROM).as_second() / 60;
    let (mut ticks, mut shown) = (Vec::new(), wall[0] - 1);
    for (passed, now) in wall.iter().enumerate() {
        let is_tick = if names_times { (shown + 1..=*now).any(comes) } else { comes(*now) };
        if is_tick {
            ticks.push(Timestamp::from_second((begin + i64::try_from(passed).unwrap()) * 60).unwrap());
        }
        shown = shown.max(*now);
    }
    ticks
}

/// Some expressions, each in one of the zones; `RIQLE_TICKS=all` takes all of them in each.
#[test]
fn ticks_are_those_that_a_walk_through_five_years_finds() {
    let all = std::env::var("RIQLE_TICKS").is_ok_and(|set| set == "all");
    let tried = if all { EXPRESSIONS } else { TRIED_BY_DEFAULT };
    let before = Timestamp::from_second(time(FROM).as_second() - 1).unwrap();
    for (index, zone) in (0u64..).zip(ZONES) {
        let wall = wall_clock(zone);
        for seed in (0..tried).filter(|seed| all || seed % ZONES.len() as u64 == index) {
            let expression = expression(seed);
            let walked = walk(&expression, &wall);
            let times = cron(&expression, zone).times().unwrap();
            let mut tick = before;
            for expected in &walked {
                let next = times.next_after(tick);
                assert_eq!(next, Some(*expected), "seed {seed}: {expression:?} in {zone} after {tick}");
                tick = *expected;
            }
            let end = Timestamp::from_second((time(FROM).as_second() / 60 + wall.len() as i64) * 60).unwrap();
            assert!(
                times.next_after(tick).is_none_or(|next| next >= end),
                "seed {seed}: {expression:?} in {zone}"
            );
        }
    }
}

#[test]
fn weekdays_are_counted_from_sunday() {
    let next = cron("0 0 * * 0", "UTC").next_after(time("2026-01-01T00:00:00Z"), 1).unwrap()[0];
    assert_eq!(jiff::ZonedDateTime::new(next, TimeZone::UTC).weekday(), Weekday::Sunday);
}

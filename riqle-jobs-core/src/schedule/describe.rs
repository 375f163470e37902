//! A cron expression in words.

/// Names the usual ones, such as `at 08:00 on weekdays`; of another says only what it is.
pub(super) fn describe(expression: &str) -> String {
    in_words(expression).unwrap_or_else(|| format!("by the cron expression {expression:?}"))
}

fn in_words(expression: &str) -> Option<String> {
    let expression = match expression.trim() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let (second, [minute, hour, day, month, weekday]) = match fields[..] {
        [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday]),
        [second, minute, hour, day, month, weekday] => (second, [minute, hour, day, month, weekday]),
        _ => return None,
    };
    let days = days(day, month, weekday)?;
    if let Some(times) = named_times(second, minute, hour) {
        return Some(format!("at {times} {}", days.as_deref().unwrap_or("every day")));
    }
    let interval = interval(second, minute, hour)?;
    Some(days.map_or(interval.clone(), |days| format!("{interval} {days}")))
}

/// As many as can be read at a glance.
const MOST_NAMED: usize = 4;

fn named_times(second: &str, minute: &str, hour: &str) -> Option<String> {
    let (minutes, hours) = (numbers(minute, 59)?, numbers(hour, 23)?);
    let seconds = numbers(second, 59)?;
    let mut times = Vec::new();
    for hour in &hours {
        for minute in &minutes {
            for second in &seconds {
                times.push(match second {
                    0 => format!("{hour:02}:{minute:02}"),
                    _ => format!("{hour:02}:{minute:02}:{second:02}"),
                });
            }
        }
    }
    (times.len() <= MOST_NAMED).then(|| listed(&times))
}

fn interval(second: &str, minute: &str, hour: &str) -> Option<String> {
    let every = |count: &str, unit: &str| match (step(count)?, if unit == "hour" { 24 } else { 60 }) {
        (1, _) => Some(format!("every {unit}")),
        // Others begin anew with each hour or day.
        (count, of) if count > 1 && of % count == 0 => Some(format!("every {count} {unit}s")),
        _ => None,
    };
    match (second, minute, hour) {
        (_, "*", "*") if second != "0" => every(second, "second"),
        ("0", _, "*") if step(minute).is_some() => every(minute, "minute"),
        ("0", "0", _) => every(hour, "hour"),
        ("0", _, _) => {
            let minutes = numbers(minute, 59).filter(|minutes| minutes.len() == 1)?;
            Some(format!("{} at minute {}", every(hour, "hour")?, minutes.first()?))
        }
        _ => None,
    }
}

/// Of `*` and `*/5`.
fn step(field: &str) -> Option<u32> {
    match field.strip_prefix('*')? {
        "" => Some(1),
        step => step.strip_prefix('/')?.parse().ok(),
    }
}

/// Nothing where it is every day.
fn days(day: &str, month: &str, weekday: &str) -> Option<Option<String>> {
    let is_any = |field: &str| matches!(field, "*" | "?");
    let months = if is_any(month) { None } else { Some(listed(&named(month, &MONTHS, 1)?)) };
    let of_months = || months.as_ref().map_or("of each month".to_owned(), |months| format!("of {months}"));
    let days = match (is_any(day), is_any(weekday)) {
        (true, true) => months.as_ref().map(|months| format!("every day of {months}")),
        (false, true) if day.eq_ignore_ascii_case("l") => Some(format!("on the last day {}", of_months())),
        (false, true) => {
            let days = numbers(day, 31)?;
            let word = if days.len() == 1 { "day" } else { "days" };
            let days: Vec<_> = days.iter().map(ToString::to_string).collect();
            Some(format!("on {word} {} {}", listed(&days), of_months()))
        }
        (true, false) => {
            let days = weekdays(weekday)?;
            Some(months.map_or(days.clone(), |months| format!("{days} in {months}")))
        }
        // One of them is enough, or both are needed.
        (false, false) => return None,
    };
    Some(days)
}

fn weekdays(field: &str) -> Option<String> {
    match field.to_ascii_uppercase().as_str() {
        "1-5" | "MON-FRI" => return Some("on weekdays".to_owned()),
        "0,6" | "6,0" | "6,7" | "SAT,SUN" | "SUN,SAT" => return Some("on weekends".to_owned()),
        _ => {}
    }
    let days: Vec<_> = named(field, &WEEKDAYS, 0)?.iter().map(|day| format!("{day}s")).collect();
    Some(format!("on {}", listed(&days)))
}

const WEEKDAYS: [&str; 8] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The names of a list of numbers or of short names.
fn named(field: &str, names: &[&'static str], first: usize) -> Option<Vec<&'static str>> {
    let name = |item: &str| {
        let number = item.parse::<usize>().ok().and_then(|number| number.checked_sub(first));
        let is_short = |name: &&str| item.len() == 3 && name[..3].eq_ignore_ascii_case(item);
        number.or_else(|| names.iter().position(is_short)).and_then(|place| names.get(place).copied())
    };
    field.split(',').map(name).collect()
}

/// The numbers of a list.
fn numbers(field: &str, most: u32) -> Option<Vec<u32>> {
    let number = |item: &str| item.parse().ok().filter(|number| *number <= most);
    field.split(',').map(number).collect()
}

/// `a, b and c`.
fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match &items[..] {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_expressions_are_said_in_words() {
        let said = [
            ("0 8 * * 1-5", "at 08:00 on weekdays"),
            ("0 8 * * MON-FRI", "at 08:00 on weekdays"),
            ("30 2,14 * * *", "at 02:30 and 14:30 every day"),
            ("15 0 8 * * 0,6", "at 08:00:15 on weekends"),
            ("0 9 * * mon,3", "at 09:00 on Mondays and Wednesdays"),
            ("0 0 1 1 *", "at 00:00 on day 1 of January"),
            ("@monthly", "at 00:00 on day 1 of each month"),
            ("0 6 L * *", "at 06:00 on the last day of each month"),
            ("0 6 1,15 jan,JUL *", "at 06:00 on days 1 and 15 of January and July"),
            ("0 6 * 12 5", "at 06:00 on Fridays in December"),
            ("0 6 * 6 *", "at 06:00 every day of June"),
            ("* * * * *", "every minute"),
            ("*/10 * * * *", "every 10 minutes"),
            ("*/10 * * * 1-5", "every 10 minutes on weekdays"),
            ("@hourly", "every hour"),
            ("5 */2 * * *", "every 2 hours at minute 5"),
            ("*/15 * * * * *", "every 15 seconds"),
        ];
        for (expression, words) in said {
            assert_eq!(describe(expression), words, "{expression}");
        }
    }

    #[test]
    fn an_unusual_expression_is_quoted() {
        for expression in [
            "0 8 13 * 5",
            "0 8-10 * * *",
            "0 8 * * 5#2",
            "0 8 15W * *",
            "1,2,3,4,5 8 * * *",
            "0 8",
            "*/40 * * * *",
            "0 */5 * * *",
        ] {
            assert_eq!(describe(expression), format!("by the cron expression {expression:?}"));
        }
    }
}

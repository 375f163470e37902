//! How lengths of time and numbers are shown to people, by the dashboard and the command line.

use std::time::Duration;

/// A length of time in the unit that fits: `1.5 ms`, `120 ms`, `1.23 s`, `1 min 01 s`, `1 h 01 min`, `10 days`.
pub fn length(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    match seconds {
        0.0 => "0".to_owned(),
        _ if seconds < 0.001 => format!("{:.0} µs", (seconds * 1e6).max(1.0)),
        _ if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 60.0 => format!("{} s", short(seconds)),
        _ if seconds < 3600.0 => {
            format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
        }
        _ if seconds < 48.0 * 3600.0 => {
            format!("{:.0} h {:02.0} min", (seconds / 3600.0).floor(), (seconds % 3600.0 / 60.0).floor())
        }
        _ => format!("{:.0} days", (seconds / 86_400.0).floor()),
    }
}

/// At most two decimals, without trailing zeros.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number, grouped by thousands with narrow spaces that do not break.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count of something: `1 worker`, `2 workers`.
pub fn many(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(count), if count == 1 { "" } else { "s" })
}

/// `part` of `whole` in percent; `None` if `whole` is 0.
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// `99.9 %`; `100 %` only if nothing is missing; `–` for nothing.
pub fn percent_text(percent: Option<f64>) -> String {
    match percent {
        None => "–".to_owned(),
        Some(percent) if percent == 100.0 || percent == 0.0 => format!("{percent:.0} %"),
        Some(percent) => format!("{:.1} %", percent.clamp(0.1, 99.9)),
    }
}

/// The first line, cut at `most` characters.
pub fn first_line(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_shown_in_the_unit_that_fits() {
        let shown = [
            (0, "0"),
            (400, "1 µs"),
            (250_000, "250 µs"),
            (1_500_000, "1.5 ms"),
            (120_000_000, "120 ms"),
            (1_000_000_000, "1 s"),
            (1_230_000_000, "1.23 s"),
            (61_000_000_000, "1 min 01 s"),
            (3_660_000_000_000, "1 h 01 min"),
            (864_000_000_000_000, "10 days"),
        ];
        for (nanos, text) in shown {
            assert_eq!(length(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn numbers_are_grouped_and_percentages_never_say_more_than_is_true() {
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(percent_text(percent(999_999, 1_000_000)), "99.9 %");
        assert_eq!(percent_text(percent(1, 1_000_000)), "0.1 %");
        assert_eq!(percent_text(percent(7, 7)), "100 %");
        assert_eq!(percent_text(percent(0, 7)), "0 %");
        assert_eq!(percent_text(percent(0, 0)), "–");
        assert_eq!(first_line("äöü\nx", 2), "äö…");
        assert_eq!((many(1, "run"), many(0, "run")), ("1 run".to_owned(), "0 runs".to_owned()));
    }
}

//! How times, lengths and numbers are shown: exact as JSON, readable as HTML.

use std::{fmt, time::Duration};

use askama::filters::HtmlSafe;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

/// A time: as JSON RFC 3339, as HTML in UTC, which the page's script changes to how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub(crate) struct When(pub(crate) Timestamp);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.strftime("%Y-%m-%d %H:%M:%S");
        write!(f, r#"<time datetime="{}">{shown}</time>"#, self.0)
    }
}

impl HtmlSafe for When {}

/// How long something took: as JSON in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = f64)]
pub(crate) struct Took(pub(crate) Duration);

impl Serialize for Took {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_nanos() as f64 / 1e6)
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            0.0 => f.write_str("0"),
            _ if seconds < 0.001 => write!(f, "{:.0} µs", (seconds * 1e6).max(1.0)),
            _ if seconds < 0.01 => write!(f, "{:.1} ms", seconds * 1e3),
            _ if seconds < 1.0 => write!(f, "{:.0} ms", seconds * 1e3),
            _ if seconds < 60.0 => write!(f, "{} s", short(seconds)),
            _ if seconds < 3600.0 => {
                write!(f, "{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
            }
            _ if seconds < 48.0 * 3600.0 => {
                write!(
                    f,
                    "{:.0} h {:02.0} min",
                    (seconds / 3600.0).floor(),
                    (seconds % 3600.0 / 60.0).floor()
                )
            }
            _ => write!(f, "{:.0} days", (seconds / 86_400.0).floor()),
        }
    }
}

impl HtmlSafe for Took {}

/// At most two decimals, without trailing zeros.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number, grouped by thousands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(value_type = u64)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            // A narrow space that does not break.
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str("\u{202f}")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl HtmlSafe for Count {}

/// A count of something: `1 worker`, `2 workers`.
pub(crate) fn many(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", Count(number), if number == 1 { "" } else { "s" })
}

/// `part` of `whole` in percent; `None` if `whole` is 0.
pub(crate) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// `99.9 %`; `100 %` only if nothing is missing.
pub(crate) fn percent_text(percent: Option<f64>) -> String {
    match percent {
        None => "–".to_owned(),
        Some(percent) if percent == 100.0 || percent == 0.0 => format!("{percent:.0} %"),
        Some(percent) => format!("{:.1} %", percent.clamp(0.1, 99.9)),
    }
}

/// The first line, cut at `most` characters.
pub(crate) fn first_line(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// A part of a path or the value of a query, as written in a URL.
pub(crate) fn in_address(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A search as the query of a URL.
pub(crate) fn query_of(search: &impl Serialize) -> String {
    let fields = asked_fields(search).into_iter();
    fields.map(|(name, value)| format!("{name}={}", in_address(&value))).collect::<Vec<_>>().join("&")
}

/// The same, for display.
pub(crate) fn words_of(search: &impl Serialize) -> String {
    let fields = asked_fields(search).into_iter();
    fields.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// The fields of a search that are not empty, by name.
fn asked_fields(search: &impl Serialize) -> Vec<(String, String)> {
    let fields = serde_json::to_value(search).unwrap_or_default();
    let asked = fields.as_object().into_iter().flatten().filter_map(|(name, value)| {
        let value = match value {
            Value::String(text) if !text.trim().is_empty() => text.clone(),
            Value::Bool(true) => "true".to_owned(),
            _ => String::new(),
        };
        (!value.is_empty()).then(|| (name.clone(), value))
    });
    let mut asked: Vec<_> = asked.collect();
    asked.sort_unstable();
    asked
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
            assert_eq!(Took(Duration::from_nanos(nanos)).to_string(), text);
        }
    }

    #[test]
    fn numbers_are_grouped_and_percentages_never_say_more_than_is_true() {
        assert_eq!(Count(999).to_string(), "999");
        assert_eq!(Count(1_234_567).to_string(), "1\u{202f}234\u{202f}567");
        assert_eq!(percent_text(percent(999_999, 1_000_000)), "99.9 %");
        assert_eq!(percent_text(percent(1, 1_000_000)), "0.1 %");
        assert_eq!(percent_text(percent(7, 7)), "100 %");
        assert_eq!(percent_text(percent(0, 7)), "0 %");
        assert_eq!(percent_text(percent(0, 0)), "–");
        assert_eq!(first_line("äöü\nx", 2), "äö…");
        assert_eq!((many(1, "run"), many(0, "run")), ("1 run".to_owned(), "0 runs".to_owned()));
    }
}

//! How times, lengths and numbers are shown: exact as JSON, readable as HTML.

use std::{fmt, time::Duration};

use askama::filters::HtmlSafe;
use jiff::Timestamp;
pub(crate) use riqle_jobs_core::show::{first_line, many, percent, percent_text};
use riqle_jobs_core::show::{length, number};
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
        f.write_str(&length(self.0))
    }
}

impl HtmlSafe for Took {}

/// A number, grouped by thousands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(value_type = u64)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&number(self.0))
    }
}

impl HtmlSafe for Count {}

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

//! The `metrics` facade, or nothing in its place without the feature.

#[cfg(feature = "metrics")]
pub(super) use metrics::{Counter, Gauge, Histogram};
#[cfg(feature = "metrics")]
use metrics::{Label, Unit};

/// Names and values of labels.
type Labels<'a> = &'a [(&'static str, &'a str)];

#[cfg(feature = "metrics")]
fn owned(labels: Labels<'_>) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
}

#[cfg(feature = "metrics")]
pub(super) fn counter(name: &'static str, labels: Labels<'_>) -> Counter {
    metrics::counter!(name, owned(labels))
}

#[cfg(feature = "metrics")]
pub(super) fn gauge(name: &'static str) -> Gauge {
    metrics::gauge!(name)
}

#[cfg(feature = "metrics")]
pub(super) fn histogram(name: &'static str, labels: Labels<'_>) -> Histogram {
    metrics::histogram!(name, owned(labels))
}

/// What each is, by the ending of its name.
#[cfg(feature = "metrics")]
pub(super) fn describe(names: &[(&'static str, &'static str)]) {
    for (name, what) in names.iter().copied() {
        match name {
            _ if name.ends_with("_total") => metrics::describe_counter!(name, what),
            _ if name.ends_with("_seconds") => metrics::describe_histogram!(name, Unit::Seconds, what),
            _ => metrics::describe_gauge!(name, what),
        }
    }
}

#[cfg(not(feature = "metrics"))]
pub(super) use nothing::{Counter, Gauge, Histogram, counter, describe, gauge, histogram};

#[cfg(not(feature = "metrics"))]
mod nothing {
    use std::time::Duration;

    use super::Labels;

    pub(crate) struct Counter;
    pub(crate) struct Gauge;
    pub(crate) struct Histogram;

    impl Counter {
        pub(crate) fn increment(&self, _: u64) {}
    }

    impl Gauge {
        pub(crate) fn increment(&self, _: f64) {}
        pub(crate) fn decrement(&self, _: f64) {}
    }

    impl Histogram {
        pub(crate) fn record(&self, _: Duration) {}
    }

    pub(crate) fn counter(_: &'static str, _: Labels<'_>) -> Counter {
        Counter
    }

    pub(crate) fn gauge(_: &'static str) -> Gauge {
        Gauge
    }

    pub(crate) fn histogram(_: &'static str, _: Labels<'_>) -> Histogram {
        Histogram
    }

    pub(crate) fn describe(_: &[(&'static str, &'static str)]) {}
}

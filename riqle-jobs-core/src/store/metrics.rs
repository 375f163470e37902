//! What a job did within a time span, and how the reports of several workers are merged.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use crate::{from_millis, millis_of, state::closed_set};

closed_set! {
    /// The length of a counted time span. Workers count both lengths, so that a week is read from few rows.
    Span {
        /// A minute.
        Minute = "minute",
        /// A quarter of an hour.
        QuarterHour = "quarter-hour",
    }
}

impl Span {
    /// How long it is.
    pub const fn length(self) -> Duration {
        match self {
            Span::Minute => Duration::from_secs(60),
            Span::QuarterHour => Duration::from_secs(15 * 60),
        }
    }

    /// The start of the span that holds `time`: a multiple of its length since 1970.
    pub fn start_of(self, time: Timestamp) -> Timestamp {
        let length = millis_of(self.length());
        from_millis(time.as_millisecond().div_euclid(length).saturating_mul(length))
    }
}

/// What a job did within a time span: by one worker as reported, by all as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMetrics {
    /// The job's name.
    pub job: String,
    /// The length of the time span.
    pub span: Span,
    /// The start of that time, by the store's clock.
    pub start: Timestamp,
    /// Attempts that began.
    pub started: u64,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed, including the last ones of dead runs.
    pub failed: u64,
    /// Runs that became dead letters.
    pub dead: u64,
    /// From due to start, for attempts that started.
    pub wait: Histogram,
    /// How long bodies ran, for attempts that ended.
    pub run_time: Histogram,
}

impl JobMetrics {
    /// An empty span; `time` is anywhere in it.
    pub fn new(job: impl Into<String>, span: Span, time: Timestamp) -> Self {
        Self {
            job: job.into(),
            span,
            start: span.start_of(time),
            started: 0,
            succeeded: 0,
            failed: 0,
            dead: 0,
            wait: Histogram::default(),
            run_time: Histogram::default(),
        }
    }

    /// Adds what another worker did for the same job in the same span.
    pub fn merge(&mut self, other: &JobMetrics) {
        self.started = self.started.saturating_add(other.started);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
        self.dead = self.dead.saturating_add(other.dead);
        self.wait.merge(&other.wait);
        self.run_time.merge(&other.run_time);
    }

    /// Merges the reports of many workers into what [`Inspect::metrics`](crate::Inspect::metrics) returns: by
    /// start, then job. All must be of one span.
    pub fn merged(reports: impl IntoIterator<Item = JobMetrics>) -> Vec<JobMetrics> {
        let mut merged: BTreeMap<(Timestamp, String), JobMetrics> = BTreeMap::new();
        for report in reports {
            let one = merged
                .entry((report.start, report.job.clone()))
                .or_insert_with(|| JobMetrics::new(report.job.clone(), report.span, report.start));
            one.merge(&report);
        }
        merged.into_values().collect()
    }
}

/// Which metrics to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsFilter {
    /// Of this job; of all jobs if not given.
    pub job: Option<String>,
    /// Of spans of this length.
    pub span: Span,
    /// That start then or later.
    pub from: Timestamp,
    /// That start before.
    pub before: Timestamp,
}

impl MetricsFilter {
    /// Of all jobs, from `from` on and before `before`.
    pub fn between(span: Span, from: Timestamp, before: Timestamp) -> Self {
        Self { job: None, span, from, before }
    }
}

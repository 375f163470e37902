use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use crate::from_millis;

/// What a job did within a minute: of one worker as it is reported, of all as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinuteMetrics {
    /// The job's name.
    pub job: String,
    /// The start of the minute, by the store's clock.
    pub minute: Timestamp,
    /// Attempts that began.
    pub started: u64,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed, the last ones of dead runs included.
    pub failed: u64,
    /// Runs that became dead letters.
    pub dead: u64,
    /// From due to begun, of the attempts that began.
    pub wait: Histogram,
    /// How long bodies ran, of the attempts that ended.
    pub run_time: Histogram,
}

impl MinuteMetrics {
    /// Of a minute in which nothing has happened yet; `time` is anywhere in it.
    pub fn new(job: impl Into<String>, time: Timestamp) -> Self {
        Self {
            job: job.into(),
            minute: Self::start_of(time),
            started: 0,
            succeeded: 0,
            failed: 0,
            dead: 0,
            wait: Histogram::default(),
            run_time: Histogram::default(),
        }
    }

    /// The start of the minute that holds `time`.
    pub fn start_of(time: Timestamp) -> Timestamp {
        from_millis(time.as_millisecond().div_euclid(60_000).saturating_mul(60_000))
    }

    /// Adds what another worker did of the same job in the same minute.
    pub fn merge(&mut self, other: &MinuteMetrics) {
        self.started = self.started.saturating_add(other.started);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
        self.dead = self.dead.saturating_add(other.dead);
        self.wait.merge(&other.wait);
        self.run_time.merge(&other.run_time);
    }

    /// Merges the reports of many workers as [`Inspect::metrics`](crate::Inspect::metrics) answers them: by minute,
    /// then job.
    pub fn merged(reports: impl IntoIterator<Item = MinuteMetrics>) -> Vec<MinuteMetrics> {
        let mut minutes: BTreeMap<(Timestamp, String), MinuteMetrics> = BTreeMap::new();
        for report in reports {
            let merged = minutes
                .entry((report.minute, report.job.clone()))
                .or_insert_with(|| MinuteMetrics::new(report.job.clone(), report.minute));
            merged.merge(&report);
        }
        minutes.into_values().collect()
    }
}

/// Which minutes to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsFilter {
    /// Of this job; of all where it is not given.
    pub job: Option<String>,
    /// Minutes that start then or later.
    pub from: Timestamp,
    /// Minutes that start before.
    pub before: Timestamp,
}

impl MetricsFilter {
    /// Of all jobs, from `from` on and before `before`.
    pub fn between(from: Timestamp, before: Timestamp) -> Self {
        Self { job: None, from, before }
    }
}

//! What workers have counted.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    WorkerId, clock,
    store::{JobMetrics, MetricsFilter, Span},
};

/// What workers have counted.
#[derive(Clone, Default)]
pub(super) struct Metrics {
    spans: BTreeMap<(Span, Timestamp, String, WorkerId), JobMetrics>,
}

impl Metrics {
    pub(super) fn report(&mut self, worker: WorkerId, metrics: JobMetrics) {
        self.spans.insert((metrics.span, metrics.start, metrics.job.clone(), worker), metrics);
    }

    pub(super) fn read(&self, filter: &MetricsFilter) -> Vec<JobMetrics> {
        let first = (filter.span, filter.from, String::new(), WorkerId::from_uuid(Uuid::nil()));
        let reports = self.spans.range(first..).map(|(_, report)| report);
        JobMetrics::merged(
            reports
                .take_while(|report| report.span == filter.span && report.start < filter.before)
                .filter(|report| filter.job.as_ref().is_none_or(|job| *job == report.job))
                .cloned(),
        )
    }

    /// Deletes old spans; answers how many.
    pub(super) fn prune(&mut self, kept: Option<Duration>, now: Timestamp) -> u64 {
        let Some(kept) = kept else { return 0 };
        let before = clock::earlier(now, kept);
        let count = self.spans.len();
        self.spans.retain(|(_, start, _, _), _| *start >= before);
        (count - self.spans.len()) as u64
    }
}

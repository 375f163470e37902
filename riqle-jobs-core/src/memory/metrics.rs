use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    WorkerId, clock,
    store::{MetricsFilter, MinuteMetrics},
};

/// What workers have counted.
#[derive(Default)]
pub(super) struct Metrics {
    minutes: BTreeMap<(Timestamp, String, WorkerId), MinuteMetrics>,
}

impl Metrics {
    pub(super) fn report(&mut self, worker: WorkerId, minute: MinuteMetrics) {
        self.minutes.insert((minute.minute, minute.job.clone(), worker), minute);
    }

    pub(super) fn read(&self, filter: &MetricsFilter) -> Vec<MinuteMetrics> {
        let reports = self.minutes.values().filter(|report| {
            filter.from <= report.minute
                && report.minute < filter.before
                && filter.job.as_ref().is_none_or(|job| *job == report.job)
        });
        MinuteMetrics::merged(reports.cloned())
    }

    /// Deletes old minutes; answers how many.
    pub(super) fn prune(&mut self, kept: Option<Duration>, now: Timestamp) -> u64 {
        let Some(kept) = kept else { return 0 };
        let before = clock::earlier(now, kept);
        let count = self.minutes.len();
        self.minutes.retain(|(minute, _, _), _| *minute >= before);
        (count - self.minutes.len()) as u64
    }
}

//! What jobs did over an hour, a day or a week, bar by bar and in total.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use riqle_jobs_core::{
    Error, Store, earlier, from_millis, later, millis_of,
    store::{JobMetrics, MetricsFilter, Span},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far back charts look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Range {
    /// An hour, minute by minute.
    #[default]
    #[serde(alias = "")]
    Hour,
    /// A day, by quarters of an hour.
    Day,
    /// A week, by hours.
    Week,
}

impl Range {
    pub(crate) const ALL: [Range; 3] = [Range::Hour, Range::Day, Range::Week];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Range::Hour => "hour",
            Range::Day => "day",
            Range::Week => "week",
        }
    }

    /// The reported spans that it is read from.
    fn span(self) -> Span {
        match self {
            Range::Hour => Span::Minute,
            Range::Day | Range::Week => Span::QuarterHour,
        }
    }

    /// How long a bar of a chart is.
    pub(crate) fn bar(self) -> Duration {
        match self {
            Range::Hour | Range::Day => self.span().length(),
            Range::Week => Duration::from_secs(60 * 60),
        }
    }

    fn bars(self) -> u32 {
        match self {
            Range::Hour => 60,
            Range::Day => 96,
            Range::Week => 168,
        }
    }
}

/// What jobs did over a range, bar by bar and in total.
pub(crate) struct History {
    pub(crate) range: Range,
    /// Oldest first, none left out; the last one is not over yet.
    pub(crate) bars: Vec<JobMetrics>,
    /// Of the whole time, job by job.
    pub(crate) jobs: BTreeMap<String, JobMetrics>,
    /// Of the whole time and all jobs.
    pub(crate) all: JobMetrics,
}

impl History {
    /// Of all jobs, or of one.
    pub(crate) async fn read(store: &dyn Store, range: Range, job: Option<&str>) -> Result<Self, Error> {
        let now = store.now().await?;
        let from = earlier(start(range, now), range.bar() * (range.bars() - 1));
        let filter = MetricsFilter {
            job: job.map(str::to_owned),
            ..MetricsFilter::between(range.span(), from, later(now, range.bar()))
        };
        Ok(Self::of(range, from, store.metrics(filter).await?))
    }

    fn of(range: Range, from: Timestamp, metrics: Vec<JobMetrics>) -> Self {
        let empty = |start| JobMetrics { start, ..JobMetrics::new("", range.span(), from) };
        let mut bars: Vec<_> = (0..range.bars()).map(|bar| empty(later(from, range.bar() * bar))).collect();
        let mut jobs: BTreeMap<String, JobMetrics> = BTreeMap::new();
        let mut all = empty(from);
        for one in metrics {
            let place =
                (one.start.as_millisecond() - from.as_millisecond()).div_euclid(millis_of(range.bar()));
            let Some(bar) = usize::try_from(place).ok().and_then(|place| bars.get_mut(place)) else {
                continue;
            };
            bar.merge(&one);
            all.merge(&one);
            jobs.entry(one.job.clone()).or_insert_with(|| empty(from)).merge(&one);
        }
        Self { range, bars, jobs, all }
    }
}

/// The start of the bar that holds `now`.
fn start(range: Range, now: Timestamp) -> Timestamp {
    let length = millis_of(range.bar());
    from_millis(now.as_millisecond().div_euclid(length) * length)
}

/// The percentage of ended attempts that succeeded; `None` if none ended.
pub(crate) fn success_rate(metrics: &JobMetrics) -> Option<f64> {
    super::show::percent(metrics.succeeded, metrics.succeeded.saturating_add(metrics.failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_there_and_what_is_reported_falls_into_its_own() {
        let now = from_millis(10 * 86_400_000 + 12 * 60_000);
        for range in Range::ALL {
            let from = earlier(start(range, now), range.bar() * (range.bars() - 1));
            let one = |at, succeeded| JobMetrics { succeeded, ..JobMetrics::new("greet", range.span(), at) };
            let history =
                History::of(range, from, vec![one(from, 1), one(now, 2), one(later(now, range.bar()), 7)]);
            let counts: Vec<_> = history.bars.iter().map(|bar| bar.succeeded).collect();
            assert_eq!((counts.len(), counts[0], counts[counts.len() - 1]), (range.bars() as usize, 1, 2));
            assert_eq!((history.all.succeeded, history.jobs["greet"].succeeded), (3, 3));
            assert!(history.bars.windows(2).all(|two| later(two[0].start, range.bar()) == two[1].start));
        }
    }
}

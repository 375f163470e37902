//! What workers have counted.

use riqle_jobs_core::{
    Retention, Store, WorkerId,
    store::{Histogram, JobMetrics, MetricsFilter, Pruned, Span},
};

use crate::{Harness, given::*};

fn minute(job: &str, number: i64, started: u64) -> JobMetrics {
    counted(job, Span::Minute, number * 60_000, started)
}

fn counted(job: &str, span: Span, millis: i64, started: u64) -> JobMetrics {
    JobMetrics {
        started,
        succeeded: started,
        failed: 1,
        dead: 1,
        wait: Histogram::of((0..started).map(ms)),
        run_time: Histogram::of((0..started).map(secs)),
        ..JobMetrics::new(job, span, at(millis))
    }
}

async fn all(store: &dyn Store) -> Vec<JobMetrics> {
    store.metrics(MetricsFilter::between(Span::Minute, at(-600_000), at(600_000))).await.unwrap()
}

pub async fn what_a_worker_reports_again_replaces_what_it_reported(harness: &dyn Harness) {
    let store = harness.store();
    let worker = WorkerId::new();

    store.report_metrics(worker, vec![minute(GREET, 0, 3)]).await.unwrap();
    store.report_metrics(worker, vec![minute(GREET, 0, 7)]).await.unwrap();
    store.report_metrics(worker, vec![]).await.unwrap();

    assert_eq!(all(&*harness.second_handle().await).await, [minute(GREET, 0, 7)]);
}

pub async fn what_many_workers_report_is_added_up(harness: &dyn Harness) {
    let store = harness.store();
    for started in 1..=3 {
        let reports = vec![minute(GREET, 0, started), minute("bill", 1, started)];
        store.report_metrics(WorkerId::new(), reports).await.unwrap();
    }

    let mut expected = [minute(GREET, 0, 1), minute("bill", 1, 1)];
    for started in 2..=3 {
        expected[0].merge(&minute(GREET, 0, started));
        expected[1].merge(&minute("bill", 1, started));
    }
    assert_eq!((expected[0].started, expected[0].failed, expected[0].wait.count()), (6, 3, 6));
    assert_eq!(all(&*store).await, expected);
}

pub async fn metrics_are_read_by_minute_and_job(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(all(&*store).await, []);
    let reports = vec![minute("b", 1, 1), minute("a", 1, 2), minute("a", 0, 3), minute("a", 2, 4)];
    store.report_metrics(WorkerId::new(), reports).await.unwrap();

    let expected = [minute("a", 0, 3), minute("a", 1, 2), minute("b", 1, 1), minute("a", 2, 4)];
    assert_eq!(all(&*store).await, expected);
    let filter = MetricsFilter::between(Span::Minute, at(60_000), at(120_000));
    assert_eq!(store.metrics(filter.clone()).await.unwrap(), expected[1..3]);
    let of_b = MetricsFilter { job: Some("b".to_owned()), ..filter };
    assert_eq!(store.metrics(of_b).await.unwrap(), expected[2..3]);
    let of_none = MetricsFilter {
        job: Some("B".to_owned()),
        ..MetricsFilter::between(Span::Minute, at(0), at(600_000))
    };
    assert_eq!(store.metrics(of_none).await.unwrap(), []);
}

pub async fn metrics_go_once_they_are_older(harness: &dyn Harness) {
    let store = harness.store();
    let week = secs(7 * 24 * 3600);
    store.report_metrics(WorkerId::new(), vec![minute(GREET, 0, 1), minute(GREET, 1, 2)]).await.unwrap();

    harness.clock().advance(week);
    assert_eq!(store.prune(Retention::default()).await.unwrap(), Pruned::default());
    harness.clock().advance(ms(1));
    let pruned = store.prune(Retention::default()).await.unwrap();

    assert_eq!(pruned, Pruned { metrics: 1, ..Pruned::default() });
    assert_eq!(all(&*store).await, [minute(GREET, 1, 2)]);
}

pub async fn spans_of_each_length_are_kept_and_read_apart(harness: &dyn Harness) {
    let store = harness.store();
    let quarter = |millis, started| counted(GREET, Span::QuarterHour, millis, started);
    let hour = MetricsFilter::between(Span::QuarterHour, at(0), at(3_600_000));
    // A minute and a quarter of an hour that start together are two.
    store.report_metrics(WorkerId::new(), vec![minute(GREET, 0, 1), quarter(0, 5)]).await.unwrap();
    store.report_metrics(WorkerId::new(), vec![quarter(899_999, 6), quarter(900_000, 7)]).await.unwrap();
    let mut first = quarter(0, 5);
    first.merge(&quarter(0, 6));

    let other = harness.second_handle().await;
    assert_eq!(other.metrics(hour.clone()).await.unwrap(), [first.clone(), quarter(900_000, 7)]);
    assert_eq!(all(&*store).await, [minute(GREET, 0, 1)]);
    let early = MetricsFilter { before: at(900_000), ..hour.clone() };
    assert_eq!(store.metrics(early).await.unwrap(), [first]);
    let late = MetricsFilter { from: at(1), ..hour.clone() };
    assert_eq!(store.metrics(late).await.unwrap(), [quarter(900_000, 7)]);

    harness.clock().advance(secs(7 * 24 * 3600) + ms(1));
    let pruned = store.prune(Retention::default()).await.unwrap();
    assert_eq!(
        pruned,
        Pruned { metrics: 3, ..Pruned::default() },
        "a minute, and a quarter of an hour of two workers"
    );
    assert_eq!(store.metrics(hour).await.unwrap(), [quarter(900_000, 7)]);
}

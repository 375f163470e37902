//! What workers have counted, by job and span of time.

use riqle_jobs_core::{
    Error, ErrorKind, WorkerId,
    store::{Histogram, JobMetrics, MetricsFilter},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    error::{Failure, Result},
    rows::{Query, count, for_each, get, get_count, millis, millis_up, time, word},
};

/// Replaces what a worker has reported of these jobs and spans.
pub(crate) async fn report_metrics(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    metrics: &[JobMetrics],
) -> Result<()> {
    let metrics = metrics
        .iter()
        .map(|one| Ok((one, text(&one.wait)?, text(&one.run_time)?)))
        .collect::<Result<Vec<_>>>()?;
    let row = |query: Query<'static>, _, (one, wait, run_time): &(&JobMetrics, String, String)| {
        query
            .bind(one.span.as_str())
            .bind(millis(one.start))
            .bind(one.job.clone())
            .bind(count(one.started))
            .bind(count(one.succeeded))
            .bind(count(one.failed))
            .bind(count(one.dead))
            .bind(wait.clone())
            .bind(run_time.clone())
    };
    let template = include_str!("../queries/report_metrics.sql");
    for_each(connection, template, |query| query.bind(worker.as_uuid()), &metrics, row).await.map(drop)
}

/// What the jobs did in each span of time.
pub(crate) async fn read_metrics(
    connection: &mut SqliteConnection,
    filter: &MetricsFilter,
) -> Result<Vec<JobMetrics>> {
    let rows = sqlx::query(include_str!("../queries/metrics.sql"))
        .bind(filter.span.as_str())
        .bind(millis_up(filter.from))
        .bind(millis_up(filter.before))
        .bind(&filter.job)
        .fetch_all(connection)
        .await?;
    rows.iter().map(of_workers).collect()
}

pub(crate) fn of_workers(row: &SqliteRow) -> Result<JobMetrics> {
    Ok(JobMetrics {
        job: get(row, "job")?,
        span: word(row, "span")?,
        start: time(row, "start")?,
        started: get_count(row, "started")?,
        succeeded: get_count(row, "succeeded")?,
        failed: get_count(row, "failed")?,
        dead: get_count(row, "dead")?,
        wait: merged(get(row, "wait")?)?,
        run_time: merged(get(row, "run_time")?)?,
    })
}

/// Of histograms, a line each.
fn merged(lines: &str) -> Result<Histogram> {
    let mut merged = Histogram::default();
    for line in lines.lines() {
        merged.merge(&line.parse()?);
    }
    Ok(merged)
}

fn text(histogram: &Histogram) -> Result<String> {
    serde_json::to_string(histogram).map_err(|cause| {
        let error = Error::new(ErrorKind::Rejected, "report_metrics", "a histogram can't be written");
        Failure::from(error.caused_by(cause))
    })
}

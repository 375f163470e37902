//! What workers have counted, by job and span of time.

use riqle_jobs_core::{
    Error, ErrorKind, WorkerId,
    store::{Histogram, JobMetrics, MetricsFilter, Span},
};
use sqlx::postgres::PgRow;

use crate::{
    error::{Failure, Result},
    rows::{count, get, get_count, json, millis, millis_up, time},
    work::Work,
};

/// Replaces what a worker has reported of these jobs and spans.
pub(crate) async fn report_metrics(
    work: &mut Work<'_>,
    worker: WorkerId,
    metrics: &[JobMetrics],
) -> Result<()> {
    fn column<T>(metrics: &[JobMetrics], value: impl Fn(&JobMetrics) -> T) -> Vec<T> {
        metrics.iter().map(value).collect()
    }
    let texts = |of: fn(&JobMetrics) -> &Histogram| {
        metrics.iter().map(|one| text(of(one))).collect::<Result<Vec<_>>>()
    };
    Ok(work
        .query(include_str!("../queries/report_metrics.sql"))
        .bind(worker.as_uuid())
        .bind(column(metrics, |one| one.span.as_str()))
        .bind(column(metrics, |one| millis(one.start)))
        .bind(column(metrics, |one| one.job.clone()))
        .bind(column(metrics, |one| count(one.started)))
        .bind(column(metrics, |one| count(one.succeeded)))
        .bind(column(metrics, |one| count(one.failed)))
        .bind(column(metrics, |one| count(one.dead)))
        .bind(texts(|one| &one.wait)?)
        .bind(texts(|one| &one.run_time)?)
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}

/// What the jobs did, span by span.
pub(crate) async fn read_metrics(work: &mut Work<'_>, filter: &MetricsFilter) -> Result<Vec<JobMetrics>> {
    let rows = work
        .query(include_str!("../queries/metrics.sql"))
        .bind(filter.span.as_str())
        .bind(millis_up(filter.from))
        .bind(millis_up(filter.before))
        .bind(filter.job.clone())
        .fetch_all(&mut *work.connection)
        .await?;
    let metrics = rows.iter().map(|row| job_metrics(row, filter.span)).collect::<Result<Vec<_>>>()?;
    Ok(JobMetrics::merged(metrics))
}

fn job_metrics(row: &PgRow, span: Span) -> Result<JobMetrics> {
    Ok(JobMetrics {
        job: get(row, "job")?,
        span,
        start: time(row, "start")?,
        started: get_count(row, "started")?,
        succeeded: get_count(row, "succeeded")?,
        failed: get_count(row, "failed")?,
        dead: get_count(row, "dead")?,
        wait: json(row, "wait")?,
        run_time: json(row, "run_time")?,
    })
}

fn text(histogram: &Histogram) -> Result<String> {
    serde_json::to_string(histogram).map_err(|cause| {
        let error = Error::new(ErrorKind::Rejected, "report_metrics", "a histogram can't be written");
        Failure::from(error.caused_by(cause))
    })
}

use riqle_jobs_core::{
    Error, ErrorKind, WorkerId,
    store::{Histogram, MetricsFilter, MinuteMetrics},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    error::{Result, into_driver},
    rows::{Query, count, for_each, get, get_count, json, millis, millis_up, time},
};

/// Replaces what a worker has reported of these jobs and minutes.
pub(crate) async fn report_metrics(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    minutes: &[MinuteMetrics],
) -> Result<()> {
    let minutes = minutes
        .iter()
        .map(|minute| Ok((minute, text(&minute.wait)?, text(&minute.run_time)?)))
        .collect::<Result<Vec<_>>>()?;
    let row = |query: Query<'static>, _, (minute, wait, run_time): &(&MinuteMetrics, String, String)| {
        query
            .bind(millis(minute.minute))
            .bind(minute.job.clone())
            .bind(count(minute.started))
            .bind(count(minute.succeeded))
            .bind(count(minute.failed))
            .bind(count(minute.dead))
            .bind(wait.clone())
            .bind(run_time.clone())
    };
    let template = include_str!("../queries/report_metrics.sql");
    for_each(connection, template, |query| query.bind(worker.as_uuid()), &minutes, row).await.map(drop)
}

/// What the jobs did, minute by minute.
pub(crate) async fn read_metrics(
    connection: &mut SqliteConnection,
    filter: &MetricsFilter,
) -> Result<Vec<MinuteMetrics>> {
    let rows = sqlx::query(include_str!("../queries/metrics.sql"))
        .bind(millis_up(filter.from))
        .bind(millis_up(filter.before))
        .bind(&filter.job)
        .fetch_all(connection)
        .await?;
    Ok(MinuteMetrics::merged(rows.iter().map(minute).collect::<Result<Vec<_>>>()?))
}

fn minute(row: &SqliteRow) -> Result<MinuteMetrics> {
    Ok(MinuteMetrics {
        job: get(row, "job")?,
        minute: time(row, "minute")?,
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
        into_driver(error.caused_by(cause))
    })
}

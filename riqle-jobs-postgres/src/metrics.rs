use riqle_jobs_core::{
    Error, ErrorKind, WorkerId,
    store::{Histogram, MetricsFilter, MinuteMetrics},
};
use sqlx::postgres::PgRow;

use crate::{
    error::{Result, into_driver},
    rows::{count, get, get_count, json, millis, millis_up, time},
    work::Work,
};

/// Replaces what a worker has reported of these jobs and minutes.
pub(crate) async fn report_metrics(
    work: &mut Work<'_>,
    worker: WorkerId,
    minutes: &[MinuteMetrics],
) -> Result<()> {
    fn column<T>(minutes: &[MinuteMetrics], value: impl Fn(&MinuteMetrics) -> T) -> Vec<T> {
        minutes.iter().map(value).collect()
    }
    let texts = |of: fn(&MinuteMetrics) -> &Histogram| {
        minutes.iter().map(|minute| text(of(minute))).collect::<Result<Vec<_>>>()
    };
    work.query(include_str!("../queries/report_metrics.sql"))
        .bind(worker.as_uuid())
        .bind(column(minutes, |minute| millis(minute.minute)))
        .bind(column(minutes, |minute| minute.job.clone()))
        .bind(column(minutes, |minute| count(minute.started)))
        .bind(column(minutes, |minute| count(minute.succeeded)))
        .bind(column(minutes, |minute| count(minute.failed)))
        .bind(column(minutes, |minute| count(minute.dead)))
        .bind(texts(|minute| &minute.wait)?)
        .bind(texts(|minute| &minute.run_time)?)
        .execute(&mut *work.connection)
        .await
        .map(drop)
}

/// What the jobs did, minute by minute.
pub(crate) async fn read_metrics(work: &mut Work<'_>, filter: &MetricsFilter) -> Result<Vec<MinuteMetrics>> {
    let rows = work
        .query(include_str!("../queries/metrics.sql"))
        .bind(millis_up(filter.from))
        .bind(millis_up(filter.before))
        .bind(filter.job.clone())
        .fetch_all(&mut *work.connection)
        .await?;
    Ok(MinuteMetrics::merged(rows.iter().map(minute).collect::<Result<Vec<_>>>()?))
}

fn minute(row: &PgRow) -> Result<MinuteMetrics> {
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

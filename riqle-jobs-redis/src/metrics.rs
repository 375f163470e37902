//! What workers have counted, by job and span of time.

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::cmd;
use riqle_jobs_core::{
    Error, Queue, WorkerId, from_millis,
    store::{Histogram, JobMetrics, MetricsFilter, Span},
};

use crate::{
    Redis,
    frame::{Frame, Reader, corrupt, text},
    rows::{millis_up, wait_millis},
    values::{bytes, list, maybe_bytes},
};

/// How many spans of a job and a worker are read or deleted by one command.
const PORTION: usize = 1_000;
/// What comes before the start in a field: the span's seconds.
const BEFORE_START: usize = 4;
/// What comes before the job: these, start and worker.
const BEFORE_JOB: usize = BEFORE_START + 8 + 16;

impl Redis {
    /// Replaces what a worker has reported of these jobs and spans.
    pub(crate) async fn write_metrics(&self, worker: WorkerId, metrics: &[JobMetrics]) -> Result<(), Error> {
        if metrics.is_empty() {
            return Ok(());
        }
        let mut commands = Vec::new();
        let mut set = cmd("HSET");
        set.arg(self.shared.keys.of_registry("metrics"));
        for span in Span::ALL {
            let mut index = cmd("ZADD");
            index.arg(self.index(*span));
            let mut is_empty = true;
            for metrics in metrics.iter().filter(|metrics| metrics.span == *span) {
                let field = field(worker, metrics);
                index.arg(metrics.start.as_millisecond()).arg(&field);
                set.arg(field).arg(write(metrics));
                is_empty = false;
            }
            if !is_empty {
                commands.push(index);
            }
        }
        // The index first: a report that breaks off in between is pruned like any other.
        commands.push(set);
        self.of_registry("report_metrics", &commands).await.map(drop)
    }

    /// What the jobs did in each span of time.
    pub(crate) async fn read_metrics(&self, filter: &MetricsFilter) -> Result<Vec<JobMetrics>, Error> {
        let fields = cmd("ZRANGEBYSCORE")
            .arg(self.index(filter.span))
            .arg(millis_up(filter.from))
            .arg(format!("({}", millis_up(filter.before)))
            .take();
        let fields = list(self.of_registry("metrics", &[fields]).await?.remove(0))?;
        let mut fields = fields.into_iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
        let is_of_job = |field: &Vec<u8>| {
            let job = field.get(BEFORE_JOB..);
            filter.job.as_ref().is_none_or(|asked| job.is_some_and(|job| job == asked.as_bytes()))
        };
        fields.retain(is_of_job);
        // One portion comes in while another is read.
        let reports =
            try_join_all(fields.chunks(PORTION).map(|portion| self.reports(filter.span, portion))).await?;
        Ok(JobMetrics::merged(reports.into_iter().flatten()))
    }

    /// What workers have reported, as far as it is there.
    async fn reports(&self, span: Span, fields: &[Vec<u8>]) -> Result<Vec<JobMetrics>, Error> {
        let get = cmd("HMGET").arg(self.shared.keys.of_registry("metrics")).arg(fields).take();
        let stored = list(self.of_registry("metrics", &[get]).await?.remove(0))?;
        let mut reports = Vec::with_capacity(fields.len());
        for (field, stored) in fields.iter().zip(stored) {
            if let Some(stored) = maybe_bytes(stored)? {
                reports.push(read(span, field, &stored)?);
            }
        }
        Ok(reports)
    }

    /// Deletes spans that began long enough ago; answers how many.
    pub(crate) async fn prune_metrics(&self, kept: Option<Duration>) -> Result<u64, Error> {
        let Some(kept) = kept else { return Ok(0) };
        let before = self.now().await?.as_millisecond().saturating_sub(wait_millis(kept));
        let mut pruned = 0;
        for span in Span::ALL {
            pruned += self.prune_spans(*span, before).await?;
        }
        Ok(pruned)
    }

    async fn prune_spans(&self, span: Span, before: i64) -> Result<u64, Error> {
        let (index, hash) = (self.index(span), self.shared.keys.of_registry("metrics"));
        let mut pruned = 0;
        loop {
            let old =
                cmd("ZRANGEBYSCORE").arg(&index).arg("-inf").arg(format!("({before}")).arg("LIMIT").take();
            let old =
                list(self.of_registry("prune", &[old.clone().arg(0).arg(PORTION).take()]).await?.remove(0))?;
            let fields = old.into_iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
            if fields.is_empty() {
                return Ok(pruned);
            }
            // The index last: what breaks off in between is found again.
            let delete = cmd("HDEL").arg(&hash).arg(&fields).take();
            let forget = cmd("ZREM").arg(&index).arg(&fields).take();
            self.of_registry("prune", &[delete, forget]).await?;
            pruned += fields.len() as u64;
        }
    }

    /// The key of the fields of this length, in the order of their time.
    fn index(&self, span: Span) -> String {
        self.shared.keys.of_registry(&format!("metrics:of:{span}"))
    }
}

pub(crate) fn field(worker: WorkerId, metrics: &JobMetrics) -> Vec<u8> {
    let seconds = u32::try_from(metrics.span.length().as_secs()).unwrap_or(u32::MAX).to_be_bytes();
    let start = metrics.start.as_millisecond().to_be_bytes();
    [&seconds, start.as_slice(), worker.as_uuid().as_bytes(), metrics.job.as_bytes()].concat()
}

/// What was counted, with what its field does not say.
pub(crate) fn write(metrics: &JobMetrics) -> Vec<u8> {
    let mut frame = Frame::default();
    for count in [metrics.started, metrics.succeeded, metrics.failed, metrics.dead] {
        frame.count(count);
    }
    for histogram in [&metrics.wait, &metrics.run_time] {
        frame.count(histogram.counts().len() as u64);
        for (bucket, count) in histogram.counts() {
            frame.count(bucket.into()).count(count);
        }
    }
    frame.0
}

pub(crate) fn read(span: Span, field: &[u8], stored: &[u8]) -> Result<JobMetrics, Error> {
    let (mut field, mut stored) = (Reader(field), Reader(stored));
    field.raw(BEFORE_START)?;
    let start = from_millis(i64::from_be_bytes(field.array()?));
    field.uuid()?;
    Ok(JobMetrics {
        job: text(field.rest())?,
        span,
        start,
        started: stored.count()?,
        succeeded: stored.count()?,
        failed: stored.count()?,
        dead: stored.count()?,
        wait: histogram(&mut stored)?,
        run_time: histogram(&mut stored)?,
    })
}

fn histogram(stored: &mut Reader<'_>) -> Result<Histogram, Error> {
    let buckets = stored.count()?;
    let bucket = |bucket| u16::try_from(bucket).map_err(|_| corrupt("a histogram has no such bucket"));
    (0..buckets).map(|_| Ok((bucket(stored.count()?)?, stored.count()?))).collect()
}

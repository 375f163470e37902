use std::time::Duration;

use redis::cmd;
use riqle_jobs_core::{
    Error, Queue, WorkerId,
    store::{MetricsFilter, MinuteMetrics},
};

use crate::{
    Redis,
    registry::{read_stamped, stamped},
    rows::{millis_up, wait_millis},
    values::{bytes, list, maybe_bytes},
};

/// How many minutes of a job and a worker are deleted at once.
const PORTION: usize = 1_000;

impl Redis {
    /// Replaces what a worker has reported of these jobs and minutes.
    pub(crate) async fn write_metrics(
        &self,
        worker: WorkerId,
        minutes: &[MinuteMetrics],
    ) -> Result<(), Error> {
        if minutes.is_empty() {
            return Ok(());
        }
        let (mut index, mut set) = (cmd("ZADD"), cmd("HSET"));
        index.arg(self.shared.keys.of_registry("metrics:minutes"));
        set.arg(self.shared.keys.of_registry("metrics"));
        for minute in minutes {
            let millis = minute.minute.as_millisecond();
            let field =
                [&millis.to_be_bytes(), worker.as_uuid().as_bytes().as_slice(), minute.job.as_bytes()]
                    .concat();
            index.arg(millis).arg(&field);
            set.arg(field).arg(stamped(&[], minute)?);
        }
        // The index first: a report that breaks off in between is pruned like any other.
        self.of_registry("report_metrics", &[index, set]).await.map(drop)
    }

    /// What the jobs did, minute by minute.
    pub(crate) async fn read_metrics(&self, filter: &MetricsFilter) -> Result<Vec<MinuteMetrics>, Error> {
        let fields = cmd("ZRANGEBYSCORE")
            .arg(self.shared.keys.of_registry("metrics:minutes"))
            .arg(millis_up(filter.from))
            .arg(format!("({}", millis_up(filter.before)))
            .take();
        let fields = list(self.of_registry("metrics", &[fields]).await?.remove(0))?;
        let mut fields = fields.into_iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
        let is_of_job = |field: &Vec<u8>| {
            filter.job.as_ref().is_none_or(|job| field.get(24..).is_some_and(|name| name == job.as_bytes()))
        };
        fields.retain(is_of_job);
        let mut reports = Vec::new();
        for portion in fields.chunks(PORTION) {
            let get = cmd("HMGET").arg(self.shared.keys.of_registry("metrics")).arg(portion).take();
            for report in list(self.of_registry("metrics", &[get]).await?.remove(0))? {
                if let Some(report) = maybe_bytes(report)? {
                    reports.push(read_stamped::<0, _>(&report)?.1);
                }
            }
        }
        Ok(MinuteMetrics::merged(reports))
    }

    /// Deletes minutes that began long enough ago; answers how many.
    pub(crate) async fn prune_metrics(&self, kept: Option<Duration>) -> Result<u64, Error> {
        let Some(kept) = kept else { return Ok(0) };
        let before = Queue::now(self).await?.as_millisecond().saturating_sub(wait_millis(kept));
        let (index, hash) =
            (self.shared.keys.of_registry("metrics:minutes"), self.shared.keys.of_registry("metrics"));
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
}

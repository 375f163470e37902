use std::collections::BTreeMap;

use riqle_jobs_core::{Error, Queue, Registry, from_millis, store::Health};

use crate::{Redis, settings::Settings};

impl Redis {
    /// How the store and its work are doing.
    pub(crate) async fn look_after_health(&self) -> Result<Health, Error> {
        let workers = self.workers().await?;
        let queues = self.standing("health").await?;
        let settings = Settings::of("health", &self.shared.server).await?;
        let mut due: BTreeMap<String, i64> = BTreeMap::new();
        for job in queues.iter().filter(|queue| queue.pause.is_none()).flat_map(|queue| &queue.jobs) {
            if let Some(first_due) = job.first_due {
                let first = due.entry(job.name.clone()).or_insert(first_due);
                *first = first_due.min(*first);
            }
        }
        let now = match queues.iter().map(|queue| queue.now).max() {
            Some(now) => from_millis(now),
            None => self.now().await?,
        };
        let due = due.into_iter().map(|(job, due_at)| (job, from_millis(due_at))).collect();
        let mut health = Health::of_due(due, &workers, now);
        health.problems.extend(settings.iter().flat_map(Settings::problems));
        Ok(Health {
            expired_leases: queues.iter().flat_map(|queue| &queue.jobs).map(|job| job.expired).sum(),
            write_error: self.shared.writes.error(),
            ..health
        })
    }
}

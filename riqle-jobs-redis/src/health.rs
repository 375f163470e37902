//! How the store and its work are doing, and the problems that an operator should know of.

use riqle_jobs_core::{
    Error, Queue, Registry, from_millis,
    store::{FirstDue, Health},
};

use crate::{Redis, settings::Settings};

impl Redis {
    /// How the store and its work are doing.
    pub(crate) async fn look_after_health(&self) -> Result<Health, Error> {
        let workers = self.workers().await?;
        let queues = self.standing("health").await?;
        let settings = Settings::of("health", &self.shared.server).await?;
        let mut due = Vec::new();
        for queue in queues.iter().filter(|queue| queue.pause.is_none()) {
            due.extend(queue.jobs.iter().filter_map(|job| {
                let (queue, due_at) = (queue.name.clone(), from_millis(job.first_due?));
                Some(FirstDue { queue, job: job.name.clone(), due_at })
            }));
        }
        let now = match queues.iter().map(|queue| queue.now).max() {
            Some(now) => from_millis(now),
            None => self.now().await?,
        };
        let mut health = Health::of_due(due, &workers, now);
        health.problems.extend(settings.iter().flat_map(Settings::problems));
        let health = Health {
            expired_leases: queues.iter().flat_map(|queue| &queue.jobs).map(|job| job.expired).sum(),
            write_error: self.shared.writes.error(),
            ..health
        };
        health.with_what_waits(self).await
    }
}

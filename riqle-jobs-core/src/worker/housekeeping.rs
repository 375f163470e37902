use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{Settings, held_leases::HeldLeases, meter::Meter};
use crate::{
    Operate, Registry, Store, WorkerId,
    backoff::Backoff,
    events,
    store::{JobDeclaration, WorkerReport},
};

const REPORT_EVERY: Duration = Duration::from_secs(10);
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Announces the jobs, reports the worker and its metrics, adopts waiting events, prunes; none of it is on the way of a run, and a
/// failure of any is tried again.
pub(super) async fn keep(
    store: Arc<dyn Store>,
    jobs: Vec<JobDeclaration>,
    settings: Settings,
    held: Arc<HeldLeases>,
    meter: Arc<Meter>,
) {
    let mut backoff = Backoff::new(settings.id.as_uuid().as_u64_pair().1);
    let mut is_registered = false;
    let mut tidy_at = Instant::now() + TIDY_EVERY;
    loop {
        // A store that is full must not be kept from being pruned.
        if !is_registered {
            match events::register(&*store, jobs.clone()).await {
                Ok(()) => is_registered = true,
                Err(error) => tracing::warn!(%error, "can't register jobs, trying on"),
            }
        }
        let report = report(&jobs, &settings, &held);
        if let Err(error) = Registry::report_worker(&*store, report).await {
            tracing::debug!(%error, "can't report the worker");
        }
        if let Err(error) = meter.report(&store, settings.id).await {
            tracing::debug!(%error, "can't report metrics");
        }
        if Instant::now() >= tidy_at {
            tidy_at = Instant::now() + TIDY_EVERY;
            // Again, since an event's transaction may commit after its job was registered.
            if let Err(error) = events::register(&*store, jobs.clone()).await {
                tracing::warn!(%error, "can't register jobs");
            }
            if let Err(error) = Operate::prune(&*store, settings.retention).await {
                tracing::warn!(%error, "can't prune");
            }
        }
        if is_registered {
            sleep(REPORT_EVERY).await;
        } else {
            backoff.wait().await;
        }
    }
}

/// Takes the worker off the list; when the store is away it drops off by age.
pub(super) async fn sign_off(store: &dyn Store, worker: WorkerId) {
    let _ = timeout(Duration::from_secs(1), Registry::remove_worker(store, worker)).await;
}

fn report(jobs: &[JobDeclaration], settings: &Settings, held: &HeldLeases) -> WorkerReport {
    WorkerReport {
        id: settings.id,
        label: settings.label.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        jobs: jobs.iter().map(|job| job.name.clone()).collect(),
        concurrency: u32::try_from(settings.concurrency).unwrap_or(u32::MAX),
        running: u32::try_from(held.len()).unwrap_or(u32::MAX),
    }
}

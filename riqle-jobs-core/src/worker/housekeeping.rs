//! What a worker does beside its runs: announces jobs, reports, heeds orders, adopts events.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{Settings, erased_job::Declared, housekeeping_failures::HousekeepingFailures, running::Shared};
use crate::{
    Error, Store, WorkerId,
    backoff::Backoff,
    clock,
    events::{self, REGISTRATION_TRIGGERS},
    jobs::declared_schedules,
    store::{JobDeclaration, WorkerReport},
};

pub(super) const REPORT_EVERY: Duration = Duration::from_secs(10);
const REGISTER: &str = "register jobs";
const DECLARE: &str = "declare schedules";
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Announces the jobs, reports the worker and its metrics, heeds what it is ordered, adopts waiting events, prunes; none of it is
/// on the way of a run. A failure of any is tried again and keeps no other from it; what keeps failing is reported.
pub(super) async fn keep(shared: Arc<Shared>, jobs: Vec<Declared>, settings: Settings) {
    let store = &shared.store;
    let mut backoff = Backoff::new(settings.id.as_uuid().as_u64_pair().1);
    let mut is_registered = false;
    let mut failures = HousekeepingFailures::default();
    let mut tidy_at = Instant::now() + TIDY_EVERY;
    loop {
        // One that was emptied, or restored from a dump, knows them no longer: no event would start them.
        is_registered = is_registered && knows(&**store, &jobs).await.unwrap_or(true);
        // A store that is full must not be kept from being pruned.
        if !is_registered {
            let registered = register(&**store, &jobs).await;
            is_registered = failures.note(REGISTER, registered);
        }
        let report = report(&jobs, &settings, &shared, &failures);
        match store.report_worker(report).await {
            Ok(order) => shared.buffer.heed(order),
            Err(error) => tracing::debug!(%error, "can't report the worker"),
        }
        failures.note("report metrics", shared.meter.report(store, settings.id).await);
        if Instant::now() >= tidy_at {
            tidy_at = Instant::now() + TIDY_EVERY;
            // Again, since an event may be stored after its job was registered by a sender that did not know it yet.
            failures.note(REGISTER, events::register(&**store, declarations(&jobs)).await);
            failures.note(DECLARE, declare(&**store, &jobs).await);
            failures.note("forget schedules", forget_schedules(&**store).await);
            failures.note("prune", store.prune(settings.retention).await.map(drop));
        }
        if is_registered {
            sleep(settings.report_every).await;
        } else {
            backoff.wait().await;
        }
    }
}

async fn knows(store: &dyn Store, jobs: &[Declared]) -> Result<bool, Error> {
    let known = store.jobs().await?;
    Ok(jobs.iter().all(|Declared { job, .. }| known.iter().any(|known| known.declaration.name == job.name)))
}

/// Announces jobs, then their schedules.
pub(super) async fn register(store: &dyn Store, jobs: &[Declared]) -> Result<(), Error> {
    events::register(store, declarations(jobs)).await?;
    declare(store, jobs).await
}

fn declarations(jobs: &[Declared]) -> Vec<JobDeclaration> {
    jobs.iter().map(|Declared { job, .. }| job.clone()).collect()
}

/// A job whose schedules can't be declared keeps no other.
async fn declare(store: &dyn Store, jobs: &[Declared]) -> Result<(), Error> {
    let mut all = Ok(());
    for Declared { job, schedules } in jobs {
        all = all.and(declared_schedules::declare(store, job, schedules).await);
    }
    all
}

/// Those that the code of a job declared which nobody announces any more.
async fn forget_schedules(store: &dyn Store) -> Result<(), Error> {
    let now = store.now().await?;
    for job in store.jobs().await? {
        if clock::later(job.seen_at, REGISTRATION_TRIGGERS) < now {
            declared_schedules::forget_declared(store, &job.declaration.name).await?;
        }
    }
    Ok(())
}

/// Takes the worker off the list; when the store is unavailable it drops off by age.
pub(super) async fn sign_off(store: &dyn Store, worker: WorkerId) {
    let _ = timeout(Duration::from_secs(1), store.remove_worker(worker)).await;
}

fn report(
    jobs: &[Declared],
    settings: &Settings,
    shared: &Shared,
    failures: &HousekeepingFailures,
) -> WorkerReport {
    WorkerReport {
        id: settings.id,
        label: settings.label.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        jobs: jobs.iter().map(|Declared { job, .. }| (job.name.clone(), job.queue.clone())).collect(),
        concurrency: u32::try_from(settings.concurrency).unwrap_or(u32::MAX),
        running: u32::try_from(settings.concurrency.saturating_sub(shared.buffer.idle_slots()))
            .unwrap_or(u32::MAX),
        claimed_ahead: shared.buffer.waiting_by_queue(),
        troubles: [failures.longest(), shared.claim_failures.trouble(), shared.tick_failures.trouble()]
            .into_iter()
            .flatten()
            .chain(shared.mailers.troubles())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Notify, Semaphore, mpsc};

    use super::*;
    use crate::{
        Inspect, Job, JobError, JobInput, Jobs, Memory, Registry, RunContext, RunState, Shutdown, Worker,
        store::WorkerOrder,
    };

    /// Tells that it has begun, and ends once it may.
    struct Gated {
        begun: mpsc::UnboundedSender<u64>,
        may_end: Arc<Semaphore>,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct GatedInput(u64);

    impl JobInput for GatedInput {
        const JOB: &'static str = "gated";
    }

    impl Job for Gated {
        type Input = GatedInput;
        type Output = u64;

        async fn run(&self, _: &RunContext, GatedInput(input): GatedInput) -> Result<u64, JobError> {
            self.begun.send(input)?;
            self.may_end.acquire().await?.forget();
            Ok(input)
        }
    }

    async fn within_limit<T>(event: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(10), event).await.expect("it happens in time")
    }

    /// Until the worker has heeded its order: the first report may be an old one, the third begins after the second is heeded.
    async fn heeds(reported: &Notify) {
        for _ in 0..3 {
            within_limit(reported.notified()).await;
        }
    }

    #[tokio::test]
    async fn a_worker_that_drains_takes_no_run_ends_what_it_has_and_goes_on_at_once_when_told() {
        let store = Memory::new();
        let jobs = Jobs::new(&store);
        let (begun, mut begins) = mpsc::unbounded_channel();
        let may_end = Arc::new(Semaphore::new(0));
        let mut worker = Worker::new(&store)
            .poll_interval(Duration::from_secs(3_600))
            .register(Gated { begun, may_end: Arc::clone(&may_end) });
        worker.settings.report_every = Duration::from_millis(5);
        let (id, shutdown) = (worker.id(), Shutdown::new());
        let running = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { worker.run_with(&shutdown).await }
        });
        let first = jobs.enqueue(GatedInput(1)).await.unwrap().id();
        assert_eq!(within_limit(begins.recv()).await, Some(1));

        jobs.store().order_worker(id, WorkerOrder::Drain).await.unwrap();
        let reported = Arc::new(Notify::new());
        let watching = tokio::spawn(watch_reports(store.clone(), Arc::clone(&reported)));
        heeds(&reported).await;
        let second = jobs.enqueue(GatedInput(2)).await.unwrap().id();
        may_end.add_permits(1);
        let state = async |id| store.run(id).await.unwrap().unwrap().state;
        within_limit(async {
            while state(first).await != RunState::Succeeded {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        heeds(&reported).await;
        assert_eq!(state(second).await, RunState::Pending);

        jobs.store().order_worker(id, WorkerOrder::Work).await.unwrap();
        assert_eq!(within_limit(begins.recv()).await, Some(2));
        may_end.add_permits(1);
        shutdown.stop();
        within_limit(running).await.unwrap().unwrap();
        watching.abort();
        assert_eq!(state(second).await, RunState::Succeeded);
    }

    /// Tells of each change of the time at which the worker was seen.
    async fn watch_reports(store: Memory, reported: Arc<Notify>) {
        let mut seen = None;
        loop {
            let workers = store.workers().await.unwrap();
            let now = workers.first().map(|worker| worker.seen_at);
            if now != seen {
                seen = now;
                reported.notify_one();
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

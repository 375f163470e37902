//! `GET /metrics`: what the store knows of its queues, dead letters and workers, for Prometheus.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{FromRef, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use riqle_jobs_core::{
    Error, ErrorKind, Jobs,
    store::{QueueStatus, WorkerOrder},
};
use tokio::sync::Mutex;

use crate::{
    answer::{failed, method_not_allowed, within},
    security::{Access, Viewer},
};

/// Prometheus gives up after ten seconds, unless told otherwise.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// However many scrape, the store is asked once in this time.
const TOLD_FOR: Duration = Duration::from_secs(5);
/// The dead letters of so many errors are added up.
const DEAD_GROUPS: usize = 1_000;

/// The route `GET /metrics`, for users that `access` admits as viewers: Prometheus sends a bearer token by its
/// `authorization`.
///
/// All are gauges of the store, in the text format of OpenMetrics 1.0, read at most once in five seconds. Each process that
/// serves them tells the same, so take the `max` over processes, not the sum. Of a job and state no more runs are counted than
/// [`COUNTED_TO`](riqle_jobs_core::store::COUNTED_TO). 503 if the store does not answer.
///
/// | metric | labels | |
/// |---|---|---|
/// | `riqle_jobs_queue_runs` | `queue`, `state`: `due`, `scheduled`, `running`, `waiting` | runs that have not ended; of each job and state, counted up to 10,000 |
/// | `riqle_jobs_queue_oldest_due_seconds` | `queue` | for how long the first due run has been due; 0: nothing is |
/// | `riqle_jobs_queue_paused` | `queue` | 1: it is paused |
/// | `riqle_jobs_dead_letters` | `job_name` | dead letters, of the 1,000 errors that were seen last |
/// | `riqle_jobs_workers` | `order`: `work`, `drain` | workers that were seen within a minute |
/// | `riqle_jobs_worker_slots`, `riqle_jobs_worker_slots_used` | | attempts that these run at once at most, and run |
/// | `riqle_jobs_expired_leases` | | running runs whose lease has run out, and that nobody has taken over |
/// | `riqle_jobs_jobs_without_worker` | | jobs with due runs that no worker takes |
/// | `riqle_jobs_problems` | | what the health page names |
/// | `riqle_jobs_store_writable` | | 0: this process's newest writes have failed |
pub fn router(jobs: &Jobs<impl Sized>, access: Access) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Web { jobs: jobs.erase(), access, told: Arc::default() })
}

/// What the route serves, read anew.
///
/// # Errors
/// `Unavailable`; `Corrupt` where what is stored can't be read.
pub async fn text(jobs: &Jobs) -> Result<String, Error> {
    let text = read(jobs).await?.text();
    text.map_err(|_| Error::new(ErrorKind::Corrupt, "metrics", "the metrics can't be written"))
}

/// What the handlers share.
#[derive(Clone)]
struct Web {
    jobs: Jobs,
    access: Access,
    told: Arc<Mutex<Option<Told>>>,
}

struct Told {
    at: Instant,
    text: String,
}

impl FromRef<Web> for Access {
    fn from_ref(web: &Web) -> Self {
        web.access.clone()
    }
}

async fn metrics(_: Viewer, State(web): State<Web>) -> Response {
    within(ANSWERS_WITHIN, async {
        let mut told = web.told.lock().await;
        let text = match told.as_ref().filter(|told| told.at.elapsed() < TOLD_FOR) {
            Some(told) => told.text.clone(),
            None => match self::text(&web.jobs).await {
                Ok(text) => told.insert(Told { at: Instant::now(), text }).text.clone(),
                Err(error) => return failed(&error),
            },
        };
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], text).into_response()
    })
    .await
}

async fn read(jobs: &Jobs) -> Result<Gauges, Error> {
    let (store, gauges) = (jobs.store(), Gauges::default());
    let (mut queues, jobs, now) = (store.queues().await?, store.jobs().await?, store.now().await?);
    // What is not there yet is told of as none, so that its first one is seen as a change.
    for job in &jobs {
        if !queues.iter().any(|queue| queue.name == job.declaration.queue) {
            queues.push(QueueStatus::empty(&job.declaration.queue));
        }
    }
    for queue in queues {
        let states = [
            ("due", queue.due),
            ("scheduled", queue.scheduled),
            ("running", queue.running),
            ("waiting", queue.waiting),
        ];
        for (state, runs) in states {
            set(&gauges.queue_runs, [("queue", &*queue.name), ("state", state)], runs);
        }
        let oldest = queue.oldest_due.map_or(0.0, |due_at| now.duration_since(due_at).as_secs_f64().max(0.0));
        gauges.oldest_due.get_or_create(&labels([("queue", &*queue.name)])).set(oldest);
        set(&gauges.paused, [("queue", &*queue.name)], u64::from(queue.pause.is_some()));
    }
    let mut dead: BTreeMap<String, u64> = jobs.into_iter().map(|job| (job.declaration.name, 0)).collect();
    for group in store.dead_groups(DEAD_GROUPS).await? {
        *dead.entry(group.job).or_default() += group.runs;
    }
    for (job, runs) in &dead {
        set(&gauges.dead_letters, [("job_name", job.as_str())], *runs);
    }
    let mut alive = store.workers().await?;
    alive.retain(|worker| worker.is_alive(now));
    for order in [WorkerOrder::Work, WorkerOrder::Drain] {
        let workers = alive.iter().filter(|worker| worker.order == order).count();
        set(&gauges.workers, [("order", order.as_str())], workers as u64);
    }
    let slots = alive.iter().map(|worker| u64::from(worker.report.concurrency)).sum();
    let used = alive.iter().map(|worker| u64::from(worker.report.running)).sum();
    let health = store.health().await?;
    let single = [
        (&gauges.slots, slots),
        (&gauges.slots_used, used),
        (&gauges.expired_leases, health.expired_leases),
        (&gauges.without_worker, health.jobs_without_worker.len() as u64),
        (&gauges.problems, health.problems.len() as u64),
        (&gauges.writable, u64::from(health.write_error.is_none())),
    ];
    for (gauge, value) in single {
        set(gauge, [], value);
    }
    Ok(gauges)
}

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Gauge<u64, AtomicU64>>;

/// Made anew for each answer: what is gone is told no more.
#[derive(Default)]
struct Gauges {
    queue_runs: Counts,
    oldest_due: Family<Labels, Gauge<f64, AtomicU64>>,
    paused: Counts,
    dead_letters: Counts,
    workers: Counts,
    slots: Counts,
    slots_used: Counts,
    expired_leases: Counts,
    without_worker: Counts,
    problems: Counts,
    writable: Counts,
}

impl Gauges {
    fn text(self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("riqle_jobs");
        registry.register_with_unit(
            "queue_oldest_due",
            "For how long the first due run has been due; 0 where nothing is",
            Unit::Seconds,
            self.oldest_due,
        );
        let counts = [
            (
                "queue_runs",
                "Runs that have not ended, of each job and state counted up to 10,000",
                self.queue_runs,
            ),
            ("queue_paused", "1 where the queue is paused", self.paused),
            ("dead_letters", "Dead letters, of the 1,000 errors that were seen last", self.dead_letters),
            ("workers", "Workers that were seen within a minute", self.workers),
            ("worker_slots", "Attempts that these workers run at once at most", self.slots),
            ("worker_slots_used", "Attempts that these workers run", self.slots_used),
            (
                "expired_leases",
                "Running runs whose lease has run out and that nobody has taken over",
                self.expired_leases,
            ),
            ("jobs_without_worker", "Jobs with due runs that no worker takes", self.without_worker),
            ("problems", "What the health page names", self.problems),
            ("store_writable", "0 where this process's newest writes have failed", self.writable),
        ];
        for (name, help, family) in counts {
            registry.register(name, help, family);
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(in_order(&text))
    }
}

/// With the series of each metric in the order of their labels; the registry has them in none.
fn in_order(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for of_metric in lines.split_mut(|line| line.starts_with('#')) {
        of_metric.sort_unstable();
    }
    lines.join("\n") + "\n"
}

fn labels<const N: usize>(labels: [(&'static str, &str); N]) -> Labels {
    labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

fn set<const N: usize>(family: &Counts, of: [(&'static str, &str); N], value: u64) {
    family.get_or_create(&labels(of)).set(value);
}

//! The page of queues and workers.

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::store::{COUNTED_TO, Pause, QueueStatus, RegisteredWorker, WorkerOrder};
use serde::Serialize;
use utoipa::ToSchema;

use super::claimed::Claimed;
use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{Count, When},
    visit::Visit,
};

/// The queues, and the workers that take their runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueuesPage {
    queues: Vec<QueueRow>,
    /// By label.
    workers: Vec<WorkerRow>,
}

/// A queue. Numbers from 10,000 on may be less than there is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueRow {
    name: String,
    due: Count,
    scheduled: Count,
    /// Runs whose attempt has a slot of a worker.
    running: Count,
    /// Runs that workers have claimed for their next free slots, as reported within 10 s.
    claimed_ahead: Count,
    waiting: Count,
    /// Since when the oldest due run has been waiting.
    oldest_due: Option<When>,
    pause: Option<PauseView>,
}

/// Who paused a queue or a schedule.
#[derive(Serialize, ToSchema)]
pub(crate) struct PauseView {
    pub(crate) by: String,
    pub(crate) why: String,
    pub(crate) at: When,
}

/// A worker.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerRow {
    id: String,
    label: String,
    version: String,
    jobs: Vec<String>,
    concurrency: u32,
    /// Attempts that have a slot.
    running: u32,
    /// Runs that it has claimed for its next free slots.
    claimed_ahead: u64,
    started_at: When,
    seen_at: When,
    is_alive: bool,
    /// `work`, or `drain`: it takes no more runs.
    #[schema(value_type = String)]
    order: WorkerOrder,
}

/// Queues and workers.
#[utoipa::path(get, path = "/queues", tag = "queues", responses((status = 200, body = QueuesPage)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>) -> Response {
    let viewer = visit.clone();
    visit.show(move || QueuesPage::load(web.clone(), viewer.clone())).await
}

impl QueuesPage {
    async fn load(web: Web, visit: Visit) -> Result<Self, Failure> {
        let store = &**web.jobs.store();
        let (mut queues, jobs, workers, now) =
            tokio::try_join!(store.queues(), store.jobs(), store.workers(), store.now(),)?;
        // A queue with nothing in it can be paused, too.
        for job in jobs {
            if !queues.iter().any(|queue| queue.name == job.declaration.queue) {
                queues.push(QueueStatus::empty(job.declaration.queue));
            }
        }
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        let row = |queue: QueueStatus| {
            let claimed = Claimed::of(queue.running, Some(&queue.name), &workers, now);
            QueueRow::of(queue, claimed, &visit)
        };
        Ok(Self {
            queues: queues.into_iter().map(row).collect(),
            workers: by_label(workers).into_iter().map(|worker| WorkerRow::of(worker, now)).collect(),
        })
    }
}

/// So that no row moves when a worker is seen again.
fn by_label(mut workers: Vec<RegisteredWorker>) -> Vec<RegisteredWorker> {
    workers.sort_by(|a, b| (&a.report.label, a.report.id).cmp(&(&b.report.label, b.report.id)));
    workers
}

impl PauseView {
    pub(crate) fn of(Pause { by, why, at }: Pause, visit: &Visit) -> Self {
        Self { by, why: visit.text(&why), at: When(at) }
    }
}

impl QueueRow {
    fn of(queue: QueueStatus, claimed: Claimed, visit: &Visit) -> Self {
        Self {
            name: queue.name,
            due: Count(queue.due),
            scheduled: Count(queue.scheduled),
            running: claimed.running,
            claimed_ahead: claimed.ahead,
            waiting: Count(queue.waiting),
            oldest_due: queue.oldest_due.map(When),
            pause: queue.pause.map(|pause| PauseView::of(pause, visit)),
        }
    }

    /// A number as it is shown, with a plus where there may be more.
    fn shown(count: &Count) -> String {
        let plus = if count.0 >= COUNTED_TO { "+" } else { "" };
        format!("{count}{plus}")
    }
}

impl WorkerRow {
    fn of(worker: RegisteredWorker, now: jiff::Timestamp) -> Self {
        let is_alive = worker.is_alive(now);
        let RegisteredWorker { report, started_at, seen_at, order } = worker;
        Self {
            id: report.id.to_string(),
            label: report.label,
            version: report.version,
            jobs: report.jobs.into_keys().collect(),
            concurrency: report.concurrency,
            claimed_ahead: report.claimed_ahead.values().map(|runs| u64::from(*runs)).sum(),
            running: report.running,
            started_at: When(started_at),
            seen_at: When(seen_at),
            is_alive,
            order,
        }
    }

    fn is_draining(&self) -> bool {
        self.order == WorkerOrder::Drain
    }
}

#[derive(Template)]
#[template(path = "queues.html")]
struct Html<'a> {
    page: &'a QueuesPage,
    visit: &'a Visit,
}

impl Page for QueuesPage {
    const PLACE: Place = Place::Queues;

    fn title(&self) -> String {
        "Queues and workers".to_owned()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

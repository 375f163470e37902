//! The page of all registered jobs.

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::store::{JobMetrics, RegisteredJob, RegisteredWorker, Span};
use serde::Serialize;
use utoipa::ToSchema;

use super::overview::{Asked, Percentiles, Summary};
use crate::dashboard::{
    Web,
    failure::Failure,
    history::{History, Range},
    page::{Page, Place},
    show::When,
    visit::{Query, Visit},
};

/// What workers and producers have registered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobsPage {
    range: Range,
    jobs: Vec<JobRow>,
}

/// A registered job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobRow {
    pub(crate) name: String,
    pub(crate) queue: String,
    pub(crate) priority: u8,
    /// The event that starts it.
    pub(crate) trigger: Option<String>,
    /// Its retry policy in words.
    pub(crate) policy: Option<String>,
    pub(crate) seen_at: When,
    /// Workers that are alive and run it.
    pub(crate) workers: usize,
    /// It has due runs, and no live worker takes them.
    pub(crate) is_orphaned: bool,
    /// Over the range.
    pub(crate) summary: Summary,
}

/// The jobs, by name.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(Asked), responses((status = 200, body = JobsPage)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>, Query(asked): Query<Asked>) -> Response {
    visit.show(move || JobsPage::load(web.clone(), asked.range)).await
}

impl JobsPage {
    async fn load(web: Web, range: Range) -> Result<Self, Failure> {
        let store = &**web.jobs.store();
        let (jobs, workers, health, history, now) = tokio::try_join!(
            store.jobs(),
            store.workers(),
            store.health(),
            History::read(store, range, None),
            store.now(),
        )?;
        let alive: Vec<_> = workers.into_iter().filter(|worker| worker.is_alive(now)).collect();
        let jobs = jobs.into_iter().map(|job| {
            let none = JobMetrics::new("", Span::Minute, now);
            let metrics = history.jobs.get(&job.declaration.name).unwrap_or(&none);
            let is_orphaned = health.jobs_without_worker.contains(&job.declaration.name);
            JobRow::of(job, &alive, is_orphaned, metrics)
        });
        Ok(Self { range, jobs: jobs.collect() })
    }
}

impl JobRow {
    pub(crate) fn of(
        job: RegisteredJob,
        alive: &[RegisteredWorker],
        is_orphaned: bool,
        metrics: &JobMetrics,
    ) -> Self {
        let job_name = &job.declaration.name;
        Self {
            workers: alive.iter().filter(|worker| worker.report.jobs.contains_key(job_name)).count(),
            summary: Summary::of(job_name, metrics),
            is_orphaned,
            seen_at: When(job.seen_at),
            priority: job.declaration.priority.number(),
            name: job.declaration.name,
            queue: job.declaration.queue,
            trigger: job.declaration.trigger,
            policy: job.declaration.policy,
        }
    }
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct Html<'a> {
    page: &'a JobsPage,
    visit: &'a Visit,
}

impl Page for JobsPage {
    const PLACE: Place = Place::Jobs;

    fn title(&self) -> String {
        "Jobs".to_owned()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

//! The page of one job: what it did lately, and a form to run it.

use askama::Template;
use axum::{extract::State, response::Response};
use futures_util::future::try_join_all;
use riqle_jobs_core::{RunFilter, RunState, store::COUNTED_TO};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    jobs::JobRow,
    overview::{Asked, Percentiles},
    payload::PayloadView,
    run_row::RunRow,
    runs::Tab,
};
use crate::dashboard::{
    Web,
    chart::{Chart, charts},
    failure::Failure,
    history::{History, Range},
    page::{Page, Place},
    visit::{Path, Query, Visit},
};

const NEWEST: usize = 10;

/// A job, what it did lately, and a form to run it with test data.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobPage {
    #[serde(flatten)]
    job: JobRow,
    range: Range,
    /// How many runs are in each state; counted to 10,000.
    tabs: Vec<Tab>,
    newest: Vec<RunRow>,
    /// The input of the newest run.
    last_input: Option<PayloadView>,
    #[serde(skip)]
    charts: Vec<Chart>,
}

/// One job.
#[utoipa::path(get, path = "/jobs/{name}", tag = "jobs", params(("name" = String, Path), Asked), responses(
    (status = 200, body = JobPage), (status = 404, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(
    visit: Visit,
    State(web): State<Web>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let viewer = visit.clone();
    visit.show(move || JobPage::load(web.clone(), viewer.clone(), name.clone(), asked.range)).await
}

impl JobPage {
    async fn load(web: Web, visit: Visit, name: String, range: Range) -> Result<Self, Failure> {
        let store = &**web.jobs.store();
        let of_job = RunFilter::all().job(name.clone()).limit(NEWEST);
        let tabs = RunState::ALL.iter().map(|state| {
            let filter = of_job.clone().states([*state]);
            async move { Ok(Tab::of(*state, store.count_runs(filter, COUNTED_TO).await?)) }
        });
        let (jobs, workers, health, history, now, newest, tabs) = tokio::try_join!(
            store.jobs(),
            store.workers(),
            store.health(),
            History::read(store, range, Some(&name)),
            store.now(),
            store.runs(of_job.clone()),
            try_join_all(tabs),
        )?;
        let job = jobs.into_iter().find(|job| job.declaration.name == name);
        let job = job.ok_or_else(|| Failure::not_found("job"))?;
        let alive: Vec<_> = workers.into_iter().filter(|worker| worker.is_alive(now)).collect();
        let is_orphaned = health.jobs_without_worker.contains(&name);
        Ok(Self {
            job: JobRow::of(job, &alive, is_orphaned, &history.all),
            range,
            tabs,
            last_input: newest.first().map(|run| PayloadView::of(&run.input, &visit)),
            newest: newest.iter().map(|run| RunRow::of(run, &visit)).collect(),
            charts: charts(&history),
        })
    }

    /// What the form starts with.
    fn test_data(&self) -> String {
        self.last_input
            .as_ref()
            .filter(|input| input.is_json())
            .map_or_else(|| "{}".to_owned(), ToString::to_string)
    }
}

#[derive(Template)]
#[template(path = "job.html")]
struct Html<'a> {
    page: &'a JobPage,
    visit: &'a Visit,
}

impl Page for JobPage {
    const PLACE: Place = Place::Jobs;

    fn title(&self) -> String {
        self.job.name.clone()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

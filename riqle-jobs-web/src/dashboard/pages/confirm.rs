//! The page that asks before an action on all runs of a search.

use std::time::Duration;

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{later, operator::RunAction, store::COUNTED_TO};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::run_filter::Search;
use crate::dashboard::{
    Web,
    act::runs::filter_of,
    failure::Failure,
    openapi::run_actions,
    page::{Page, Place},
    show::Count,
    visit::{Query, Visit},
};

/// What an action on all runs that match a search would act on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfirmPage {
    #[schema(schema_with = run_actions)]
    act: RunAction,
    /// The search, limited to runs enqueued before now: none that comes later is acted on.
    search: Search,
    #[serde(skip)]
    asked: Search,
    runs: Count,
    /// There may be more.
    is_at_least: bool,
}

#[derive(Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    #[param(schema_with = run_actions)]
    act: RunAction,
}

/// How many runs an action would act on.
#[utoipa::path(get, path = "/runs/confirm", tag = "runs", params(Asked, Search), responses(
    (status = 200, body = ConfirmPage), (status = 400, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(
    visit: Visit,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
    Query(search): Query<Search>,
) -> Response {
    visit.show(move || ConfirmPage::load(web.clone(), asked.act, search.clone())).await
}

impl ConfirmPage {
    async fn load(web: Web, act: RunAction, asked: Search) -> Result<Self, Failure> {
        let store = &**web.jobs.store();
        let now = later(store.now().await?, Duration::from_millis(1));
        let is_of_now = filter_of(act, &asked)?.enqueued_before.is_none_or(|to| to > now);
        let to = if is_of_now { now.to_string() } else { asked.to.clone() };
        let search = Search { to, ..asked.clone() };
        let runs = store.count_runs(filter_of(act, &search)?, COUNTED_TO).await?;
        Ok(Self { act, search, asked, runs: Count(runs), is_at_least: runs >= COUNTED_TO })
    }
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct Html<'a> {
    page: &'a ConfirmPage,
    visit: &'a Visit,
}

impl Page for ConfirmPage {
    const PLACE: Place = Place::Runs;

    fn title(&self) -> String {
        format!("{} all matches", self.act.name())
    }

    /// The count must not change.
    fn is_followed(&self) -> bool {
        false
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

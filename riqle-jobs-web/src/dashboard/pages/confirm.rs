use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{Inspect, store::COUNTED_TO};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::run_filter::Search;
use crate::dashboard::{
    Web,
    act::runs::Act,
    failure::Failure,
    page::{Page, Place},
    show::Count,
    visit::{Query, Visit},
};

/// What an action on all runs that match a search would act on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfirmPage {
    act: Act,
    search: Search,
    runs: Count,
    /// There are at least so many.
    is_at_least: bool,
}

#[derive(Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    act: Act,
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
    async fn load(web: Web, act: Act, search: Search) -> Result<Self, Failure> {
        let filter = act.filter(&search)?;
        let runs = Inspect::count_runs(&**web.jobs.store(), filter, COUNTED_TO).await?;
        Ok(Self { act, search, runs: Count(runs), is_at_least: runs >= COUNTED_TO })
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
        format!("{} all that match", self.act.name())
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

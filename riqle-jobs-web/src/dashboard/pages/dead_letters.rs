//! The page of dead letters, grouped by job and error.

use askama::Template;
use axum::{extract::State, response::Response};
use futures_util::{StreamExt, TryStreamExt, stream};
use riqle_jobs_core::{
    RunId,
    store::{COUNTED_TO, DeadGroup},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::run_filter::Search;
use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{Count, When, first_line},
    visit::Visit,
};

const GROUPS: usize = 100;
const READ_AT_ONCE: usize = 4;

/// Dead letters, grouped by job and error.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLettersPage {
    /// The group with the newest death first; at most 100.
    groups: Vec<Group>,
    /// There are more groups.
    is_more: bool,
}

/// Dead letters of one job whose errors are alike.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    job: String,
    error_fingerprint: Option<String>,
    /// The newest error of the one that died last, or why it died.
    error: Option<String>,
    runs: Count,
    /// There may be more.
    is_at_least: bool,
    first_at: When,
    last_at: When,
    #[schema(value_type = uuid::Uuid)]
    newest: RunId,
}

/// Dead letters, grouped.
#[utoipa::path(get, path = "/dead-letters", tag = "runs", responses((status = 200, body = DeadLettersPage)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>) -> Response {
    let viewer = visit.clone();
    visit.show(move || DeadLettersPage::load(web.clone(), viewer.clone())).await
}

impl DeadLettersPage {
    async fn load(web: Web, visit: Visit) -> Result<Self, Failure> {
        let store = &**web.jobs.store();
        let mut groups = store.dead_groups(GROUPS + 1).await?;
        let is_more = groups.len() > GROUPS;
        groups.truncate(GROUPS);
        let newest: Vec<_> = groups.iter().map(|group| group.newest).collect();
        let newest = stream::iter(newest).map(|run| store.run(run)).buffered(READ_AT_ONCE);
        let newest: Vec<_> = newest.try_collect().await?;
        let groups = groups.into_iter().zip(newest).map(|(group, newest)| {
            let error = newest.and_then(|run| {
                let error = run.error().map(|error| first_line(&visit.text(error), 240));
                error.or_else(|| run.reason.map(|reason| reason.to_string()))
            });
            Group::of(group, error)
        });
        Ok(Self { groups: groups.collect(), is_more })
    }
}

impl Group {
    fn of(group: DeadGroup, error: Option<String>) -> Self {
        Self {
            job: group.job,
            error_fingerprint: group.error_fingerprint,
            error,
            runs: Count(group.runs),
            is_at_least: group.runs >= COUNTED_TO,
            first_at: When(group.first_at),
            last_at: When(group.last_at),
            newest: group.newest,
        }
    }

    /// The search that finds them.
    fn query(&self) -> String {
        let search = Search {
            state: "dead".to_owned(),
            job: self.job.clone(),
            error: self.error_fingerprint.clone().unwrap_or_default(),
            without_error: self.error_fingerprint.is_none(),
            ..Search::default()
        };
        search.query()
    }
}

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct Html<'a> {
    page: &'a DeadLettersPage,
    visit: &'a Visit,
}

impl Page for DeadLettersPage {
    const PLACE: Place = Place::DeadLetters;

    fn title(&self) -> String {
        "Dead letters".to_owned()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

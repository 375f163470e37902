//! The page that lists runs: by a search, by text in errors, by the start of an id.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use riqle_jobs_core::{Run, RunFilter, RunId, RunState, operator::RunAction, store::COUNTED_TO};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{id_prefix::IdPrefix, run_filter::Search, run_row::RunRow};
use crate::dashboard::{
    HEADERS, Web,
    failure::Failure,
    page::{Page, Place},
    show::Count,
    visit::{Query, Visit},
};

const PAGE: usize = 50;
/// How many dead letters a text search covers, newest first.
const SEARCHED: usize = 10_000;
/// An error may be 8 KiB, and a run has 25 attempts.
const SEARCHED_AT_ONCE: usize = 500;
const READ_AT_ONCE: usize = 4;

/// A list of runs, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunsPage {
    search: Search,
    /// What all listed ids begin with, if that was asked for.
    id: Option<String>,
    tabs: Vec<Tab>,
    runs: Vec<RunRow>,
    /// The query of the next page, if there is one.
    next: Option<String>,
}

/// How many runs of a state the rest of the search finds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tab {
    #[schema(value_type = String)]
    pub(crate) state: RunState,
    pub(crate) runs: Count,
    /// There may be more.
    pub(crate) is_at_least: bool,
}

impl Tab {
    pub(crate) fn of(state: RunState, runs: u64) -> Self {
        Self { state, runs: Count(runs), is_at_least: runs >= COUNTED_TO }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Jump {
    /// A run's id, or the start of it, instead of a search: leads to the run, or lists at most 50 whose ids
    /// begin with it.
    #[serde(default)]
    id: String,
}

/// Runs, newest first.
#[utoipa::path(get, path = "/runs", tag = "runs", params(Search, Jump), responses(
    (status = 200, body = RunsPage), (status = 303, description = "Exactly one run's id is, or begins with, this."),
    (status = 400, body = crate::dashboard::openapi::Problem),
    (status = 404, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(
    visit: Visit,
    State(web): State<Web>,
    Query(jump): Query<Jump>,
    Query(search): Query<Search>,
) -> Response {
    let viewer = visit.clone();
    if !jump.id.trim().is_empty() {
        return match jump.only_one(&web).await {
            Ok(Some(id)) => (HEADERS, Redirect::to(&visit.to(&format!("runs/{id}")))).into_response(),
            Ok(None) => visit.show(move || RunsPage::of_ids(web.clone(), viewer.clone(), jump.clone())).await,
            Err(failure) => visit.fail(&failure),
        };
    }
    visit.show(move || RunsPage::load(web.clone(), viewer.clone(), search.clone())).await
}

impl Jump {
    /// The run that is meant, if it is the only one.
    async fn only_one(&self, web: &Web) -> Result<Option<RunId>, Failure> {
        let prefix = IdPrefix::read(self.id.trim())?;
        if let Some(id) = prefix.whole() {
            return Ok(Some(id));
        }
        match begin_so(web, prefix, 2).await?.as_slice() {
            [] => Err(Failure {
                status: StatusCode::NOT_FOUND,
                text: "no run's id begins with this".to_owned(),
            }),
            [one] => Ok(Some(one.id)),
            _ => Ok(None),
        }
    }
}

/// The newest runs whose ids begin with this, at most `most`.
async fn begin_so(web: &Web, prefix: IdPrefix, most: usize) -> Result<Vec<Run>, Failure> {
    let filter = RunFilter { before: prefix.after(), limit: most, ..RunFilter::default() };
    let mut runs = web.jobs.store().runs(filter).await?;
    runs.retain(|run| prefix.begins(run.id));
    Ok(runs)
}

impl RunsPage {
    async fn of_ids(web: Web, visit: Visit, jump: Jump) -> Result<Self, Failure> {
        let id = jump.id.trim().to_owned();
        let runs = begin_so(&web, IdPrefix::read(&id)?, PAGE).await?;
        let runs = runs.iter().map(|run| RunRow::of(run, &visit)).collect();
        Ok(Self { search: Search::default(), id: Some(id), tabs: Vec::new(), runs, next: None })
    }

    async fn load(web: Web, visit: Visit, search: Search) -> Result<Self, Failure> {
        let store = &**web.jobs.store();
        let filter = search.filter()?;
        let text = search.text.trim().to_lowercase();
        if !text.is_empty() && !matches!(search.state.as_str(), "" | "dead") {
            return Err(Failure::bad("text search is for dead letters only"));
        }
        // How many say so is not known without a look at each.
        let counted = if text.is_empty() { RunState::ALL } else { &[] };
        let tabs = counted.iter().map(|state| {
            let filter = RunFilter { states: vec![*state], before: None, ..filter.clone() };
            async move { Ok::<_, Failure>(Tab::of(*state, store.count_runs(filter, COUNTED_TO).await?)) }
        });
        let listed = async {
            if !text.is_empty() {
                return dead_letters_that_say(&web, filter.clone(), &visit, &text).await;
            }
            let mut runs = store.runs(filter.clone().limit(PAGE + 1)).await?;
            let is_more = runs.len() > PAGE;
            runs.truncate(PAGE);
            let last = runs.last().map(|last| last.id).filter(|_| is_more);
            Ok((runs, last))
        };
        let (tabs, (runs, last)) = tokio::try_join!(try_join_all(tabs), listed)?;
        let next = last.map(|last| Search { before: last.to_string(), ..search.clone() }.query());
        let runs = runs.iter().map(|run| RunRow::of(run, &visit)).collect();
        Ok(Self { search, id: None, tabs, runs, next })
    }
}

/// A page of the dead letters that the filter lists and whose newest error says `text`; and below which id to
/// look for more, if there may be some.
async fn dead_letters_that_say(
    web: &Web,
    filter: RunFilter,
    visit: &Visit,
    text: &str,
) -> Result<(Vec<Run>, Option<RunId>), Failure> {
    let store = &**web.jobs.store();
    // As it is shown.
    let says = |error: &str| visit.text(error).to_lowercase().contains(text);
    let mut page = filter.limit(SEARCHED_AT_ONCE);
    let (mut found, mut searched_to) = (Vec::new(), None);
    for _ in 0..SEARCHED / SEARCHED_AT_ONCE {
        let errors = store.dead_errors(page.clone()).await?;
        page.before = errors.last().map(|error| error.run);
        searched_to = if errors.len() < SEARCHED_AT_ONCE { None } else { page.before };
        found.extend(
            errors.iter().filter(|error| error.error.as_deref().is_some_and(says)).map(|error| error.run),
        );
        if found.len() > PAGE {
            found.truncate(PAGE);
            searched_to = found.last().copied();
            break;
        }
        if searched_to.is_none() {
            break;
        }
    }
    let runs = stream::iter(found).map(|run| store.run(run)).buffered(READ_AT_ONCE);
    // One may be gone since.
    let runs = runs.try_filter_map(async |run| Ok(run)).try_collect().await?;
    Ok((runs, searched_to))
}

#[derive(Template)]
#[template(path = "runs.html")]
struct Html<'a> {
    page: &'a RunsPage,
    visit: &'a Visit,
    acts: &'static [RunAction],
}

impl Page for RunsPage {
    const PLACE: Place = Place::Runs;

    fn title(&self) -> String {
        if self.search.state.is_empty() { "Runs".to_owned() } else { format!("Runs, {}", self.search.state) }
    }

    /// A text search reads many runs.
    fn is_followed(&self) -> bool {
        self.search.text.is_empty()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        let acts: &[_] = match self.search.state.parse() {
            Ok(RunState::Dead) if visit.is_operator() => &[RunAction::Replay, RunAction::Discard],
            Ok(RunState::Pending | RunState::Waiting) if visit.is_operator() => {
                &[RunAction::RunNow, RunAction::Cancel]
            }
            Ok(RunState::Running) if visit.is_operator() => &[RunAction::Cancel],
            _ => &[],
        };
        Html { page: self, visit, acts }.render()
    }
}

//! The page of schedules.

use askama::Template;
use axum::{extract::State, response::Response};
use futures_util::future::try_join_all;
use riqle_jobs_core::{
    RunId, RunState, ScheduleStatus,
    schedule::SkipReason,
    store::{ScheduleFilter, Store},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{Count, When, in_address, query_of},
    visit::{Query, Visit},
};

/// Each last run is read for its state.
const PAGE: usize = 25;
/// How many are read at once, and how often for a page, should nearly all be hidden from a viewer.
const READ: usize = 100;
const READS: usize = 100;

/// Schedules, by job and name; for viewers without those whose name holds an address.
#[derive(Serialize, ToSchema)]
pub(crate) struct SchedulesPage {
    search: ScheduleSearch,
    schedules: Vec<ScheduleRow>,
    /// The query of the next page, where there is one.
    next: Option<String>,
}

/// A schedule in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScheduleRow {
    pub(crate) job: String,
    pub(crate) name: String,
    pub(crate) queue: String,
    /// Its times, in words.
    pub(crate) rule: String,
    /// Whether its job's code declares it; otherwise it was made at run time.
    pub(crate) is_declared: bool,
    /// Removed by an operator, though its job's code declares it.
    pub(crate) is_removed: bool,
    pub(crate) is_paused: bool,
    /// Its next tick; none while it is paused or removed, and where its rule has ended.
    pub(crate) next: Option<When>,
    /// A tick that waits until an earlier run has ended.
    pub(crate) owed: Option<When>,
    /// Its runs that have not ended; at most 100 are counted.
    pub(crate) live: u64,
    /// The newest tick that started a run.
    pub(crate) last: Option<LastTick>,
    /// How many ticks have started no run.
    pub(crate) skipped: Count,
    pub(crate) last_skipped: Option<SkippedView>,
    /// Its page, from the dashboard's root.
    #[serde(skip)]
    pub(crate) path: String,
}

/// A tick that started a run.
#[derive(Serialize, ToSchema)]
pub(crate) struct LastTick {
    pub(crate) at: When,
    #[schema(value_type = uuid::Uuid)]
    pub(crate) run: RunId,
    /// Of its run, if that is still kept.
    #[schema(value_type = Option<String>)]
    pub(crate) state: Option<RunState>,
}

/// A tick that started no run.
#[derive(Serialize, ToSchema)]
pub(crate) struct SkippedView {
    /// Of several, the last.
    pub(crate) at: When,
    /// `missed`, `overlap`, `unique` (another run held the key) or `refused` (by the store).
    #[schema(value_type = String)]
    pub(crate) reason: SkipReason,
}

/// Which schedules are asked for, as the address says it. What is empty filters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScheduleSearch {
    /// Of this job.
    job: String,
    /// Whose name begins so.
    prefix: String,
    /// Behind this one, by job and name: the last one of the page before.
    after_job: String,
    after_name: String,
}

/// Schedules.
#[utoipa::path(get, path = "/schedules", tag = "schedules", params(ScheduleSearch), responses(
    (status = 200, body = SchedulesPage), (status = 400, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(
    visit: Visit,
    State(web): State<Web>,
    Query(search): Query<ScheduleSearch>,
) -> Response {
    let viewer = visit.clone();
    visit.show(move || SchedulesPage::load(web.clone(), viewer.clone(), search.clone())).await
}

impl SchedulesPage {
    async fn load(web: Web, visit: Visit, search: ScheduleSearch) -> Result<Self, Failure> {
        let (mut found, mut filter) = (Vec::new(), search.filter());
        for _ in 0..READS {
            if found.len() > PAGE {
                break;
            }
            let read = web.jobs.schedules(filter.clone()).await?;
            let Some(last) = read.last() else { break };
            filter.after = Some((last.job.clone(), last.name.clone()));
            // Viewers could find out an address by looking for what begins so, or comes behind.
            found.extend(read.into_iter().filter(|found| visit.text(&found.name) == found.name));
        }
        let is_more = found.len() > PAGE;
        found.truncate(PAGE);
        let next = found.last().filter(|_| is_more).map(|last| {
            let (after_job, after_name) = (last.job.clone(), last.name.clone());
            query_of(&ScheduleSearch { after_job, after_name, ..search.clone() })
        });
        let store = &**web.jobs.store();
        let schedules = try_join_all(found.iter().map(|found| ScheduleRow::load(store, found)));
        Ok(Self { schedules: schedules.await?, search, next })
    }
}

impl ScheduleSearch {
    fn filter(&self) -> ScheduleFilter {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let after = some(&self.after_job).map(|job| (job, self.after_name.clone()));
        let (job, prefix) = (some(self.job.trim()), self.prefix.trim().to_owned());
        ScheduleFilter { job, prefix, after, limit: READ }
    }

    fn is_narrowed(&self) -> bool {
        !self.job.is_empty() || !self.prefix.is_empty() || !self.after_job.is_empty()
    }
}

impl ScheduleRow {
    pub(crate) async fn load(store: &dyn Store, found: &ScheduleStatus) -> Result<Self, Failure> {
        let ScheduleStatus { job, queue, name, live, state, .. } = found;
        let last = match state.last {
            Some(last) => {
                let state = store.run(last.run).await?.map(|run| run.state);
                Some(LastTick { at: When(last.tick), run: last.run, state })
            }
            None => None,
        };
        Ok(Self {
            path: path_of(job, name),
            job: job.clone(),
            name: name.clone(),
            queue: queue.clone(),
            rule: state.rule.to_string(),
            is_declared: state.is_declared,
            is_removed: state.is_removed,
            is_paused: state.pause.is_some(),
            next: state.next.filter(|_| !state.is_at_rest()).map(When),
            owed: state.owed.map(When),
            live: live.len() as u64,
            last,
            skipped: Count(state.skipped.values().sum()),
            last_skipped: state
                .last_skipped
                .map(|skipped| SkippedView { at: When(skipped.tick), reason: skipped.reason }),
        })
    }

    /// Whether its rule has no more ticks.
    pub(crate) fn is_over(&self) -> bool {
        self.next.is_none() && !self.is_paused && !self.is_removed
    }
}

/// The page of a schedule, from the dashboard's root.
pub(crate) fn path_of(job: &str, name: &str) -> String {
    format!("schedules/{}/{}", in_address(job), in_address(name))
}

#[derive(Template)]
#[template(path = "schedules.html")]
struct Html<'a> {
    page: &'a SchedulesPage,
    visit: &'a Visit,
}

impl Page for SchedulesPage {
    const PLACE: Place = Place::Schedules;

    fn title(&self) -> String {
        "Schedules".to_owned()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

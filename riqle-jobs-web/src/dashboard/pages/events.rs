//! The page of the events that came, and the runs that they started.

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    RunId,
    store::{EventEffect, EventFilter, EventRun, ListedEvent},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{When, query_of},
    visit::{Query, Visit},
};

const PAGE: usize = 50;

/// The events that came, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventsPage {
    search: EventSearch,
    events: Vec<EventRow>,
    /// The query of the next page, where there is one.
    next: Option<String>,
}

/// An event, and what became of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventRow {
    id: String,
    name: String,
    received_at: When,
    /// One of each job that it triggers; empty while it waits for a job with its trigger.
    runs: Vec<EventRunRow>,
}

/// The run that stands for an event.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventRunRow {
    job: String,
    #[schema(value_type = uuid::Uuid)]
    run: RunId,
    /// `started`, or `joined` where the run held the job's unique key when the event came.
    #[schema(value_type = String)]
    effect: EventEffect,
    /// Paths that the event's data lacks, each with the key that is missing for it, such as `user (unique key)`.
    lacking: Vec<String>,
}

/// Which events are asked for, as the address says it. What is empty filters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventSearch {
    /// Of this name, among the newest 10,000.
    name: String,
    /// With this id.
    id: String,
    /// Older than this event: the last one of the page before.
    before: String,
}

/// The events that came.
#[utoipa::path(get, path = "/events", tag = "events", params(EventSearch), responses(
    (status = 200, body = EventsPage), (status = 400, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(
    visit: Visit,
    State(web): State<Web>,
    Query(search): Query<EventSearch>,
) -> Response {
    let viewer = visit.clone();
    visit.show(move || EventsPage::load(web.clone(), viewer.clone(), search.clone())).await
}

impl EventsPage {
    async fn load(web: Web, visit: Visit, search: EventSearch) -> Result<Self, Failure> {
        let mut events = web.jobs.events(search.filter()).await?;
        let is_more = events.len() > PAGE;
        events.truncate(PAGE);
        // An id that is shown in part is no address of a next page.
        let last = events.iter().rev().map(|event| &event.id).find(|id| visit.text(id) == **id);
        let next = last
            .filter(|_| is_more)
            .map(|last| query_of(&EventSearch { before: last.clone(), ..search.clone() }));
        let events = events.into_iter().map(|event| EventRow::of(event, &visit)).collect();
        Ok(Self { search, events, next })
    }
}

impl EventSearch {
    fn filter(&self) -> EventFilter {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let (id, name, before) = (some(&self.id), some(&self.name), some(&self.before));
        EventFilter { id, name, before, limit: PAGE + 1 }
    }

    fn is_narrowed(&self) -> bool {
        Self { before: String::new(), ..self.clone() } != Self::default()
    }
}

impl EventRow {
    fn of(event: ListedEvent, visit: &Visit) -> Self {
        Self {
            id: visit.text(&event.id),
            name: visit.text(&event.name),
            received_at: When(event.received_at),
            runs: event.runs.into_iter().map(EventRunRow::of).collect(),
        }
    }
}

impl EventRunRow {
    fn of(run: EventRun) -> Self {
        let lacking = run.lacking.iter().map(|lacking| format!("{} ({})", lacking.path, lacking.rule));
        Self { job: run.job, run: run.run, effect: run.effect, lacking: lacking.collect() }
    }

    /// The look of its effect.
    fn class(&self) -> &'static str {
        match self.effect {
            EventEffect::Started => "good",
            EventEffect::Joined => "waiting",
        }
    }
}

#[derive(Template)]
#[template(path = "events.html")]
struct Html<'a> {
    page: &'a EventsPage,
    visit: &'a Visit,
}

impl Page for EventsPage {
    const PLACE: Place = Place::Events;

    fn title(&self) -> String {
        "Events".to_owned()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

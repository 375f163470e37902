//! The page of what operators did, and its search.

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    ActionId,
    store::{ActionFilter, ActionKind, ActionState, RecordedAction},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::run_filter::time;
use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{When, query_of},
    visit::{Query, Visit},
};

const PAGE: usize = 100;

/// What operators did, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    search: AuditSearch,
    actions: Vec<ActionRow>,
    /// The query of the next page, if there is one.
    next: Option<String>,
}

/// What an operator did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActionRow {
    #[schema(value_type = uuid::Uuid)]
    pub(crate) id: ActionId,
    pub(crate) by: String,
    /// `start`, `replay`, `cancel`, `run-now`, `discard`, `pause`, `resume`, `trigger`, `backfill`, `edit`, `remove`,
    /// `order-worker`, `resolve-email`, `suppress` or `unsuppress`.
    #[schema(value_type = String)]
    pub(crate) kind: ActionKind,
    /// The target.
    pub(crate) subject: String,
    pub(crate) detail: String,
    /// `underway`, `done` or `failed`.
    #[schema(value_type = String)]
    pub(crate) state: ActionState,
    /// The outcome.
    pub(crate) outcome: String,
    pub(crate) at: When,
    pub(crate) changed_at: When,
}

/// Which actions to list, as in the URL. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditSearch {
    /// Who did it.
    by: String,
    /// `start`, `replay`, `cancel`, `run-now`, `discard`, `pause`, `resume`, `trigger`, `backfill`, `edit`, `remove`,
    /// `order-worker`, `resolve-email`, `suppress` or `unsuppress`.
    kind: String,
    /// Text in the target as shown, such as a run's id.
    subject: String,
    /// Started then or later: RFC 3339, or `2026-11-26T08:30` in UTC.
    from: String,
    /// Started before.
    to: String,
    /// Older than this action: the last one of the previous page.
    before: String,
}

/// What operators did.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditSearch), responses(
    (status = 200, body = AuditPage), (status = 400, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(
    visit: Visit,
    State(web): State<Web>,
    Query(search): Query<AuditSearch>,
) -> Response {
    let viewer = visit.clone();
    visit.show(move || AuditPage::load(web.clone(), viewer.clone(), search.clone())).await
}

impl AuditPage {
    async fn load(web: Web, visit: Visit, search: AuditSearch) -> Result<Self, Failure> {
        let filter = ActionFilter { limit: PAGE + 1, ..search.filter()? };
        let mut actions = actions(&web, &visit, filter).await?;
        let is_more = actions.len() > PAGE;
        actions.truncate(PAGE);
        let last = actions.last().filter(|_| is_more).map(|last| last.action.id);
        let next = last.map(|last| query_of(&AuditSearch { before: last.to_string(), ..search.clone() }));
        let actions = actions.into_iter().map(|action| ActionRow::of(action, &visit)).collect();
        Ok(Self { search, actions, next })
    }
}

/// A user who sees an address in part must not learn the rest of it by a search.
async fn actions(web: &Web, visit: &Visit, filter: ActionFilter) -> Result<Vec<RecordedAction>, Failure> {
    let store = &**web.jobs.store();
    if visit.is_operator() || filter.subject.is_none() {
        return Ok(store.actions(filter).await?);
    }
    let others = ActionFilter { subject: None, ..filter.clone() };
    let as_shown = |recorded: &RecordedAction| {
        let mut shown = recorded.clone();
        for text in [&mut shown.action.subject, &mut shown.action.detail] {
            *text = visit.text(text);
        }
        filter.lists(&shown)
    };
    let page = |limit, before| store.actions(ActionFilter { limit, before, ..others.clone() });
    Ok(filter.select(as_shown, page).await?)
}

impl AuditSearch {
    /// # Errors
    /// 400 if a kind, a time or an id is malformed.
    fn filter(&self) -> Result<ActionFilter, Failure> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let kind = some(&self.kind).map(|kind| kind.parse::<ActionKind>()).transpose();
        let before = some(&self.before).map(|id| id.parse::<ActionId>()).transpose();
        Ok(ActionFilter {
            by: some(&self.by),
            kind: kind.map_err(|_| Failure::bad("unknown action"))?,
            subject: some(&self.subject),
            from: time("from", &self.from)?,
            to: time("to", &self.to)?,
            before: before.map_err(|_| Failure::bad("`before` is not an action's id"))?,
            limit: 0,
        })
    }

    fn is_narrowed(&self) -> bool {
        Self { before: String::new(), ..self.clone() } != Self::default()
    }

    /// Every kind, and whether it is asked for.
    fn kinds(&self) -> impl Iterator<Item = (ActionKind, bool)> {
        let asked = self.kind.trim().parse().ok();
        ActionKind::ALL.iter().map(move |kind| (*kind, asked == Some(*kind)))
    }
}

impl ActionRow {
    pub(crate) fn of(recorded: RecordedAction, visit: &Visit) -> Self {
        let RecordedAction { action, at, changed_at } = recorded;
        Self {
            id: action.id,
            by: action.by,
            kind: action.kind,
            subject: visit.text(&action.subject),
            detail: visit.text(&action.detail),
            state: action.state,
            outcome: visit.text(&action.outcome),
            at: When(at),
            changed_at: When(changed_at),
        }
    }

    /// How good its state is.
    pub(crate) fn class(&self) -> &'static str {
        match self.state {
            ActionState::Done => "good",
            ActionState::Failed => "bad",
            ActionState::Underway => "running",
        }
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Html<'a> {
    page: &'a AuditPage,
    visit: &'a Visit,
}

impl Page for AuditPage {
    const PLACE: Place = Place::Audit;

    fn title(&self) -> String {
        "Audit".to_owned()
    }

    /// A search that finds little reads all there is.
    fn is_followed(&self) -> bool {
        !self.search.is_narrowed()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    ActionId, Audit,
    store::{ActionState, RecordedAction},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::When,
    visit::{Query, Visit},
};

const PAGE: usize = 100;

/// What operators did, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    actions: Vec<ActionRow>,
    /// The query of the next page, where there is one.
    next: Option<String>,
}

/// What an operator did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActionRow {
    #[schema(value_type = uuid::Uuid)]
    pub(crate) id: ActionId,
    pub(crate) by: String,
    /// `start`, `replay`, `cancel`, `run-now`, `discard`, `pause`, `resume`, `order-worker`, `resolve-email`, `suppress` or
    /// `unsuppress`.
    pub(crate) kind: &'static str,
    /// To what.
    pub(crate) subject: String,
    pub(crate) detail: String,
    /// `underway`, `done` or `failed`.
    pub(crate) state: &'static str,
    /// What came of it.
    pub(crate) outcome: String,
    pub(crate) at: When,
    pub(crate) changed_at: When,
}

#[derive(Clone, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Older than this action: the last one of the page before.
    before: String,
}

/// What operators did.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Asked), responses((status = 200, body = AuditPage)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>, Query(asked): Query<Asked>) -> Response {
    let viewer = visit.clone();
    visit.show(move || AuditPage::load(web.clone(), viewer.clone(), asked.before.clone())).await
}

impl AuditPage {
    async fn load(web: Web, visit: Visit, before: String) -> Result<Self, Failure> {
        let before = match before.trim() {
            "" => None,
            id => Some(id.parse::<ActionId>().map_err(|_| Failure::bad("`before` is no action's id"))?),
        };
        let mut actions = Audit::actions(&**web.jobs.store(), PAGE + 1, before).await?;
        let is_more = actions.len() > PAGE;
        actions.truncate(PAGE);
        let next = actions.last().filter(|_| is_more).map(|last| format!("before={}", last.action.id));
        Ok(Self { actions: actions.into_iter().map(|action| ActionRow::of(action, &visit)).collect(), next })
    }
}

impl ActionRow {
    pub(crate) fn of(recorded: RecordedAction, visit: &Visit) -> Self {
        let RecordedAction { action, at, changed_at } = recorded;
        Self {
            id: action.id,
            by: action.by,
            kind: action.kind.as_str(),
            subject: visit.text(&action.subject),
            detail: visit.text(&action.detail),
            state: action.state.as_str(),
            outcome: visit.text(&action.outcome),
            at: When(at),
            changed_at: When(changed_at),
        }
    }

    /// How good it is that it stands so.
    pub(crate) fn class(&self) -> &'static str {
        match self.state.parse() {
            Ok(ActionState::Done) => "good",
            Ok(ActionState::Failed) => "bad",
            _ => "running",
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

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

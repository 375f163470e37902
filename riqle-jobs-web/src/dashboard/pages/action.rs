//! The page of one action of an operator.

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{ActionId, store::ActionState};
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::ActionRow;
use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    visit::{Path, Visit},
};

/// An action of an operator; one on many runs shows how far it got.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActionPage {
    #[serde(flatten)]
    row: ActionRow,
}

/// One action.
#[utoipa::path(get, path = "/audit/{id}", tag = "audit", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, body = ActionPage), (status = 404, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Response {
    let viewer = visit.clone();
    visit.show(move || ActionPage::load(web.clone(), viewer.clone(), id.clone())).await
}

impl ActionPage {
    async fn load(web: Web, visit: Visit, id: String) -> Result<Self, Failure> {
        let id: ActionId = id.parse().map_err(|_| Failure::not_found("action"))?;
        let recorded = web.jobs.store().action(id).await?;
        let row = recorded
            .map(|recorded| ActionRow::of(recorded, &visit))
            .ok_or_else(|| Failure::not_found("action"))?;
        Ok(Self { row })
    }
}

#[derive(Template)]
#[template(path = "action.html")]
struct Html<'a> {
    page: &'a ActionPage,
    visit: &'a Visit,
}

impl Page for ActionPage {
    const PLACE: Place = Place::Audit;

    fn title(&self) -> String {
        format!("{} by {}", self.row.kind, self.row.by)
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

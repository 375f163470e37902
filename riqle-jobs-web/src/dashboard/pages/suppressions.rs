//! The page of addresses to which nothing is sent.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{When, in_address},
    visit::{Query, Visit},
};

const PAGE: usize = 100;

/// Addresses to which nothing is sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct SuppressionsPage {
    /// By address.
    suppressions: Vec<SuppressionRow>,
    /// The query of the next page, if there is one.
    next: Option<String>,
}

/// An address to which nothing is sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct SuppressionRow {
    address: String,
    reason: String,
    at: When,
}

#[derive(Clone, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Addresses that come after this one.
    after: String,
}

/// The suppression list, for operators.
#[utoipa::path(get, path = "/suppressions", tag = "emails", params(Asked), responses(
    (status = 200, body = SuppressionsPage), (status = 403, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>, Query(asked): Query<Asked>) -> Response {
    if let Err(failure) = visit.must_be_operator() {
        return visit.fail(&failure);
    }
    visit.show(move || SuppressionsPage::load(web.clone(), asked.after.clone())).await
}

impl SuppressionsPage {
    async fn load(web: Web, after: String) -> Result<Self, Failure> {
        let after = Some(after).filter(|after| !after.is_empty());
        let mut list = web.jobs.store().suppressions(PAGE + 1, after).await?;
        let is_more = list.len() > PAGE;
        list.truncate(PAGE);
        let next = list.last().filter(|_| is_more).map(|last| format!("after={}", in_address(&last.address)));
        let rows = list.into_iter().map(|one| SuppressionRow {
            address: one.address,
            reason: one.reason,
            at: When(one.at),
        });
        Ok(Self { suppressions: rows.collect(), next })
    }
}

#[derive(Template)]
#[template(path = "suppressions.html")]
struct Html<'a> {
    page: &'a SuppressionsPage,
    visit: &'a Visit,
}

impl Page for SuppressionsPage {
    const PLACE: Place = Place::Emails;

    fn title(&self) -> String {
        "Suppression list".to_owned()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

//! Actions on many runs: on the selected ones, or on all that match a search.

use axum::{extract::State, http::StatusCode, response::Response};
use riqle_jobs_core::{
    Pace, RunFilter, RunId,
    operator::{self, RunAction},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{Done, Submitted};
use crate::dashboard::{
    Web, failure::Failure, openapi::run_actions, pages::run_filter::Search, visit::Visit,
};

/// What to do to which runs.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BulkRequest {
    #[schema(schema_with = run_actions)]
    act: RunAction,
    /// These runs, at most 500.
    #[serde(default, alias = "id")]
    #[schema(value_type = Vec<uuid::Uuid>)]
    ids: Vec<RunId>,
    /// Or all runs that match; its `text` and `before` must be empty.
    #[serde(default, deserialize_with = "known_fields_only")]
    search: Option<Search>,
    /// Must be true with an empty search, which means all runs.
    #[serde(default)]
    all: bool,
    /// The same as the query of a URL, as forms send it.
    #[schema(ignore)]
    query: Option<String>,
    /// For a search: at most this many per second; default 100.
    pace: Option<u32>,
    #[serde(default, rename = "formToken")]
    #[schema(ignore)]
    _form_token: String,
}

/// Acts on many runs. An action on a search runs in the background: the answer comes at once, and the action's
/// record shows when it has ended.
#[utoipa::path(post, path = "/runs/act", tag = "runs", request_body = BulkRequest, responses(
    (status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn act(
    State(web): State<Web>,
    Submitted { visit, asked }: Submitted<BulkRequest>,
) -> Response {
    let search = match (&asked.search, &asked.query) {
        (Some(search), _) => Some(search.clone()),
        (None, Some(query)) => match serde_html_form::from_str(query) {
            Ok(search) => Some(search),
            Err(_) => return visit.fail(&Failure::bad("the search is malformed")),
        },
        (None, None) => None,
    };
    if search.is_some() && !asked.ids.is_empty() {
        return visit.fail(&Failure::bad("select runs one by one or by a search, not both"));
    }
    let Some(search) = search else {
        let back = format!("runs?state={}", asked.act.states()[0]);
        let operator = visit.operator();
        let acted = operator.on_runs(asked.act, asked.ids, &web.shutdown);
        return visit.acted(&back, acted.await.map(|(done, _)| done));
    };
    match begin_on_all(&web, &visit, &asked, &search).await {
        Ok(begun) => visit.done(&format!("audit/{}", begun.action), begun),
        Err(failure) => visit.fail(&failure),
    }
}

/// Acts on all that match, in the background.
async fn begin_on_all(
    web: &Web,
    visit: &Visit,
    asked: &BulkRequest,
    search: &Search,
) -> Result<operator::Done, Failure> {
    filter_of(asked.act, search)?;
    if search.words().is_empty() && !asked.all {
        return Err(Failure::bad("the search is empty; to act on all runs, set `all`"));
    }
    let pace = Pace::per_second(asked.pace.unwrap_or(100).clamp(1, 10_000));
    let (operator, act, shutdown) = (visit.operator(), asked.act, web.shutdown.clone());
    let filter = search.filter()?;
    let (told_of, told_by) = oneshot::channel();
    // The record and the action go together, whether or not anybody waits for the answer.
    tokio::spawn(async move {
        match operator.begin_on_all(act, filter, pace).await {
            Err(error) => drop(told_of.send(Err(error))),
            Ok(begun) => {
                let _ = told_of.send(Ok(begun.id()));
                // Its record and the log say how it ended.
                let _ = begun.carry_out(&shutdown, |_| {}).await;
            }
        }
    });
    match told_by.await {
        Ok(Ok(action)) => Ok(operator::Done { action, outcome: "started".to_owned() }),
        Ok(Err(error)) => Err(Failure::of_action(error)),
        Err(_) => {
            Err(Failure { status: StatusCode::INTERNAL_SERVER_ERROR, text: "the action failed".to_owned() })
        }
    }
}

/// A misspelt field must not mean all runs.
fn known_fields_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Search>, D::Error> {
    let given = Value::deserialize(deserializer)?;
    let known = serde_json::to_value(Search::default()).map_err(de::Error::custom)?;
    let fields = given.as_object().into_iter().flatten();
    if let Some((field, _)) = fields.into_iter().find(|(field, _)| known.get(field.as_str()).is_none()) {
        return Err(de::Error::custom(format!("a search has no field {field:?}")));
    }
    serde_json::from_value(given).map_err(de::Error::custom)
}

/// The runs that a search finds and that an action applies to.
pub(crate) fn filter_of(action: RunAction, search: &Search) -> Result<RunFilter, Failure> {
    if !search.before.is_empty() {
        return Err(Failure::bad("`before` is for pages; this acts on all matches"));
    }
    if !search.text.trim().is_empty() {
        return Err(Failure::bad(
            "can't act on all matches of a text search: select runs, or search by fingerprint",
        ));
    }
    action.narrow(search.filter()?).map_err(Failure::from)
}

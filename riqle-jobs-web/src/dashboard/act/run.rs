//! What is done to one run.

use axum::response::Response;
use riqle_jobs_core::{Payload, Replay, ReplayFrom, RunId, StepPath, operator::RunAction};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Done, Submitted};
use crate::dashboard::{
    Web,
    failure::Failure,
    json_text::{Layout, rewrite},
    visit::{Path, Visit},
};

/// How to replay a run.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[derive(Default)]
pub(crate) struct ReplayRequest {
    /// `failed-step` (the default), `start`, or `step:NAME`.
    from: String,
    /// The new run's input, if not the old one's; kept verbatim.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(deserialize_with = "null_too")]
    input: Option<Box<RawValue>>,
    /// The same as text, as forms send it.
    #[schema(ignore)]
    input_text: Option<String>,
    #[serde(rename = "formToken")]
    #[schema(ignore)]
    _form_token: String,
}

/// `null` is an input like any other.
pub(super) fn null_too<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// An empty object: the JSON that no form of another site can send.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Nothing {}

/// Starts a dead or cancelled run again; the outcome is the new run's id.
#[utoipa::path(post, path = "/runs/{id}/replay", tag = "runs", params(("id" = uuid::Uuid, Path)),
    request_body = ReplayRequest, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn replay(
    Path(id): Path<String>,
    Submitted { visit, asked }: Submitted<ReplayRequest>,
) -> Response {
    let replayed = async {
        let id = run_id(&id)?;
        let from = match asked.from.as_str() {
            "" | "failed-step" => ReplayFrom::FailedStep,
            "start" => ReplayFrom::Start,
            other => match other.strip_prefix("step:") {
                Some(step) => ReplayFrom::Step(StepPath::from_stored(step)),
                None => return Err(Failure::bad("`from` must be failed-step, start or step:NAME")),
            },
        };
        let input = edited_input(&visit.web, id, &asked).await?;
        visit.operator().replay(id, Replay { from, input }).await.map_err(Failure::of_action)
    };
    match replayed.await {
        Ok(replayed) => visit.done(&format!("runs/{}", replayed.outcome), replayed),
        Err(failure) => visit.fail(&failure),
    }
}

/// The input to replay with, if it differs.
async fn edited_input(web: &Web, id: RunId, asked: &ReplayRequest) -> Result<Option<Payload>, Failure> {
    let text = asked.input_text.as_deref().filter(|text| !text.trim().is_empty());
    if asked.input.is_none() && text.is_none() {
        return Ok(None);
    }
    let run = web.jobs.store().run(id).await?.ok_or_else(|| Failure::not_found("run"))?;
    other_input(&run.input, asked.input.as_deref(), text)
}

/// The input that is asked for, as JSON or as a form's text, where it is another one. A text that is only laid out otherwise is not.
pub(super) fn other_input(
    old: &Payload,
    input: Option<&RawValue>,
    text: Option<&str>,
) -> Result<Option<Payload>, Failure> {
    if let Some(input) = input {
        return Ok(Some(Payload::from_json_text(input.get())));
    }
    let Some(text) = text else { return Ok(None) };
    let compact = |text: &str| rewrite(text, Layout::Compact, None);
    let edited = compact(text).ok_or_else(|| Failure::bad("the input is not JSON"))?;
    let old = std::str::from_utf8(&old.bytes).ok().and_then(compact);
    Ok((old.as_deref() != Some(edited.as_str())).then(|| Payload::from_json_text(edited)))
}

/// Cancels a run that has not ended.
#[utoipa::path(post, path = "/runs/{id}/cancel", tag = "runs", params(("id" = uuid::Uuid, Path)),
    request_body = Nothing, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn cancel(Path(id): Path<String>, Submitted { visit, .. }: Submitted<Nothing>) -> Response {
    on_run(&visit, &id, RunAction::Cancel, &format!("runs/{id}")).await
}

/// Makes a run due now.
#[utoipa::path(post, path = "/runs/{id}/run-now", tag = "runs", params(("id" = uuid::Uuid, Path)),
    request_body = Nothing, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn run_now(Path(id): Path<String>, Submitted { visit, .. }: Submitted<Nothing>) -> Response {
    on_run(&visit, &id, RunAction::RunNow, &format!("runs/{id}")).await
}

/// Deletes a dead letter.
#[utoipa::path(post, path = "/runs/{id}/discard", tag = "runs", params(("id" = uuid::Uuid, Path)),
    request_body = Nothing, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn discard(Path(id): Path<String>, Submitted { visit, .. }: Submitted<Nothing>) -> Response {
    on_run(&visit, &id, RunAction::Discard, "dead-letters").await
}

async fn on_run(visit: &Visit, id: &str, action: RunAction, page: &str) -> Response {
    match run_id(id) {
        Ok(id) => visit.acted(page, visit.operator().on_run(action, id).await),
        Err(failure) => visit.fail(&failure),
    }
}

fn run_id(id: &str) -> Result<RunId, Failure> {
    id.parse().map_err(|_| Failure::not_found("run"))
}

//! What is done to one run.

use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    Error, ErrorKind, Jobs, Payload, Replay, ReplayFrom, RunId, StepPath, store::ActionKind,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Done, Submitted, action, recorded};
use crate::dashboard::{
    Web,
    failure::Failure,
    json_text::{Layout, rewrite},
    visit::Path,
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
    State(web): State<Web>,
    Path(id): Path<String>,
    Submitted { visit, asked }: Submitted<ReplayRequest>,
) -> Response {
    let new_run = RunId::new();
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
        if let ReplayFrom::Step(path) = &from {
            web.jobs.store().run(id).await?.ok_or_else(|| Failure::not_found("run"))?;
            let steps = web.jobs.store().steps(id).await?;
            if !steps.iter().any(|step| step.path == *path) {
                return Err(Failure::bad("the run has no saved step with this name"));
            }
        }
        let input = edited_input(&web, id, &asked).await?;
        let detail = match (&from, &input) {
            (ReplayFrom::FailedStep, None) => "from the failed step".to_owned(),
            (from, input) => {
                let edited = if input.is_some() { ", with edited input" } else { "" };
                let from = match from {
                    ReplayFrom::FailedStep => "the failed step".to_owned(),
                    ReplayFrom::Start => "the start".to_owned(),
                    ReplayFrom::Step(step) => format!("step {step}"),
                };
                format!("from {from}{edited}")
            }
        };
        let action = action(&visit.user, ActionKind::Replay, &format!("run {id}"), &detail);
        let replay = Replay { from, input };
        recorded(&web.jobs, action, move |jobs| async move {
            jobs.store().replay(id, new_run, replay).await.map(|()| new_run.to_string())
        })
        .await
    };
    visit.ended(&format!("runs/{new_run}"), replayed.await)
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
pub(crate) async fn cancel(
    State(web): State<Web>,
    Path(id): Path<String>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    let cancelled = async {
        let id = run_id(&id)?;
        let action = action(&visit.user, ActionKind::Cancel, &format!("run {id}"), "");
        recorded(&web.jobs, action, move |jobs| async move { jobs.cancel(id).await.map(|()| String::new()) })
            .await
    };
    visit.ended(&format!("runs/{id}"), cancelled.await)
}

/// Makes a run due now.
#[utoipa::path(post, path = "/runs/{id}/run-now", tag = "runs", params(("id" = uuid::Uuid, Path)),
    request_body = Nothing, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn run_now(
    State(web): State<Web>,
    Path(id): Path<String>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    let made_due = async {
        let id = run_id(&id)?;
        let action = action(&visit.user, ActionKind::RunNow, &format!("run {id}"), "");
        recorded(&web.jobs, action, move |jobs| async move { jobs.run_now(id).await.map(|()| String::new()) })
            .await
    };
    visit.ended(&format!("runs/{id}"), made_due.await)
}

/// Deletes a dead letter.
#[utoipa::path(post, path = "/runs/{id}/discard", tag = "runs", params(("id" = uuid::Uuid, Path)),
    request_body = Nothing, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn discard(
    State(web): State<Web>,
    Path(id): Path<String>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    let discarded = async {
        let id = run_id(&id)?;
        let action = action(&visit.user, ActionKind::Discard, &format!("run {id}"), "");
        recorded(&web.jobs, action, move |jobs| async move {
            discard_one(&jobs, id).await.map(|()| String::new())
        })
        .await
    };
    visit.ended("dead-letters", discarded.await)
}

/// A missing one is not found.
pub(super) async fn discard_one(jobs: &Jobs, id: RunId) -> Result<(), Error> {
    if jobs.store().run(id).await?.is_none() {
        return Err(Error::new(ErrorKind::NotFound, "discard", format!("no run {id}")));
    }
    jobs.store().discard(id).await
}

fn run_id(id: &str) -> Result<RunId, Failure> {
    id.parse().map_err(|_| Failure::not_found("run"))
}

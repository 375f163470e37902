//! Starts a run of a job.

use axum::response::Response;
use riqle_jobs_core::{Payload, RunId};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Done, Submitted, run::null_too};
use crate::dashboard::{
    failure::Failure,
    json_text::{Layout, rewrite},
    visit::Path,
};

/// What to start a run with.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StartRequest {
    /// The run's id, optional, a UUID of version 7: repeating the call starts no second run.
    #[schema(value_type = Option<uuid::Uuid>)]
    id: Option<RunId>,
    /// Kept verbatim.
    #[schema(value_type = serde_json::Value)]
    #[serde(default, deserialize_with = "null_too")]
    input: Option<Box<RawValue>>,
    /// The same as text, as forms send it.
    #[schema(ignore)]
    input_text: Option<String>,
    #[serde(default, rename = "formToken")]
    #[schema(ignore)]
    _form_token: String,
}

/// Starts a run of a job; the outcome is its id.
#[utoipa::path(post, path = "/jobs/{name}/runs", tag = "jobs", params(("name" = String, Path)),
    request_body = StartRequest, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn start(
    Path(name): Path<String>,
    Submitted { visit, asked }: Submitted<StartRequest>,
) -> Response {
    let input = match (&asked.input, &asked.input_text) {
        (Some(input), _) => Ok(input.get().to_owned()),
        (None, Some(text)) => rewrite(text, Layout::Compact, None).ok_or("the input is not JSON"),
        (None, None) => Err("the input is missing"),
    };
    let input = match input {
        Ok(input) => Payload::from_json_text(input),
        Err(why) => return visit.fail(&Failure::bad(why)),
    };
    match visit.operator().start(&name, input, asked.id).await {
        Ok(started) => visit.done(&format!("runs/{}", started.outcome), started),
        Err(error) => visit.fail(&Failure::of_action(error)),
    }
}

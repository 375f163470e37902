//! Starts a run of a job, for the dashboard and the API.

use axum::{extract::State, http::StatusCode, response::Response};
use riqle_jobs_core::{Error, ErrorKind, Jobs, NewRun, Payload, RunId, limits, store::ActionKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Done, Submitted, action, recorded, run::null_too};
use crate::{
    dashboard::{
        Web,
        failure::Failure,
        json_text::{Layout, rewrite},
        visit::Path,
    },
    security::User,
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
    State(web): State<Web>,
    Path(name): Path<String>,
    Submitted { visit, asked }: Submitted<StartRequest>,
) -> Response {
    let started = async {
        let input = match (&asked.input, &asked.input_text) {
            (Some(input), _) => Some(input.get().to_owned()),
            (None, Some(text)) => rewrite(text, Layout::Compact, None),
            (None, None) => return Err(Failure::bad("the input is missing")),
        };
        let input = input.ok_or_else(|| Failure::bad("the input is not JSON"))?;
        start_run(&web.jobs, &visit.user, &name, &input, asked.id).await
    };
    match started.await {
        Ok((action, id)) => visit.done(&format!("runs/{id}"), action, id),
        Err(failure) => visit.fail(&failure),
    }
}

/// Enqueues a run of a registered job for a user, and records it; returns the run's id. A run that exists under
/// the given id, with the same input, is left as is.
pub(crate) async fn start_run(
    jobs: &Jobs,
    user: &User,
    name: &str,
    input: &str,
    id: Option<RunId>,
) -> Result<(riqle_jobs_core::ActionId, String), Failure> {
    let known = jobs.store().jobs().await?;
    let Some(job) = known.into_iter().map(|job| job.declaration).find(|job| job.name == name) else {
        let error = Error::new(ErrorKind::NotFound, "start", "no worker has registered a job with this name");
        return Err(error.into());
    };
    let input = Payload::from_json_text(input);
    limits::check_json("input", &input)?;
    let mut run = NewRun::of_declared(&job, input)?;
    if let Some(id) = id {
        if id.as_uuid().get_version_num() != 7 {
            return Err(Failure::bad("the id is not a UUID of version 7"));
        }
        if let Some(known) = jobs.store().run(id).await?
            && (known.job != run.job || known.input != run.input)
        {
            let text = "the id belongs to another run".to_owned();
            return Err(Failure { status: StatusCode::CONFLICT, text });
        }
        run.id = id;
    }
    let id = run.id.to_string();
    let action = action(user, ActionKind::Start, &format!("job {name}"), "");
    // Where the job's unique key is held, the holder is what stands for it.
    recorded(jobs, action, move |jobs| async move {
        let answers = jobs.store().enqueue(vec![run]).await;
        answers.map(|answers| answers.first().map_or(id, |answer| answer.id().to_string()))
    })
    .await
}

use axum::{
    extract::{Path, State},
    response::Response,
};
use riqle_jobs_core::{Error, ErrorKind, Jobs, NewRun, Payload, Queue, Registry, store::ActionKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Done, Submitted, action, recorded, run::null_too};
use crate::{
    dashboard::{
        Web,
        failure::Failure,
        json_text::{Layout, rewrite},
    },
    security::User,
};

/// What to start a run with.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartRequest {
    /// Kept to the letter.
    #[schema(value_type = serde_json::Value)]
    #[serde(default, deserialize_with = "null_too")]
    input: Option<Box<RawValue>>,
    /// The same as text, as forms send it.
    #[schema(ignore)]
    input_text: Option<String>,
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
            (None, Some(text)) => rewrite(text, Layout::Compact, |_| false),
            (None, None) => None,
        };
        let input = input.ok_or_else(|| Failure::bad("the input is no JSON"))?;
        start_run(&web.jobs, &visit.user, &name, &input).await
    };
    match started.await {
        Ok((action, id)) => visit.done(&format!("runs/{id}"), action, id),
        Err(failure) => visit.fail(&failure),
    }
}

/// Enqueues a run of a registered job on somebody's word, and records it; answers with the run's id.
pub(crate) async fn start_run(
    jobs: &Jobs,
    user: &User,
    name: &str,
    input: &str,
) -> Result<(riqle_jobs_core::ActionId, String), Failure> {
    let known = Registry::jobs(&**jobs.store()).await?;
    let Some(job) = known.into_iter().map(|job| job.declaration).find(|job| job.name == name) else {
        let error = Error::new(ErrorKind::NotFound, "start", "no worker has registered a job of this name");
        return Err(error.into());
    };
    let run = NewRun::with_payload(&job.name, &job.queue, job.priority, Payload::from_json_text(input));
    let id = run.id.to_string();
    let action = action(user, ActionKind::Start, &format!("job {name}"), "");
    recorded(
        jobs,
        action,
        move |jobs| async move { Queue::enqueue(&**jobs.store(), vec![run]).await.map(|_| id) },
    )
    .await
}

use axum::{
    extract::{Path, State},
    response::Response,
};
use riqle_jobs_core::{Inspect, Jobs, Registry, store::ActionKind};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Done, Submitted, action, recorded, run::Nothing};
use crate::dashboard::{Web, failure::Failure};

/// Why a queue is paused.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct PauseRequest {
    /// For people.
    why: String,
}

/// Pauses a queue.
#[utoipa::path(post, path = "/queues/{name}/pause", tag = "queues", params(("name" = String, Path)),
    request_body = PauseRequest, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn pause(
    State(web): State<Web>,
    Path(name): Path<String>,
    Submitted { visit, asked }: Submitted<PauseRequest>,
) -> Response {
    if let Err(failure) = must_be_known(&web, &name).await {
        return visit.fail(&failure);
    }
    let action = action(&visit.user, ActionKind::Pause, &format!("queue {name}"), &asked.why);
    let by = visit.user.name.clone();
    let pause = move |jobs: Jobs| async move {
        jobs.pause_queue(&name, &by, &asked.why).await.map(|()| String::new())
    };
    visit.ended("queues", recorded(&web.jobs, action, pause).await)
}

/// A queue of a job that was registered, or with runs.
async fn must_be_known(web: &Web, name: &str) -> Result<(), Failure> {
    let store = &**web.jobs.store();
    let (jobs, queues) = tokio::try_join!(Registry::jobs(store), Inspect::queues(store))?;
    let is_known =
        jobs.iter().any(|job| job.declaration.queue == name) || queues.iter().any(|queue| queue.name == name);
    if is_known { Ok(()) } else { Err(Failure::not_found("queue")) }
}

/// Resumes a queue.
#[utoipa::path(post, path = "/queues/{name}/resume", tag = "queues", params(("name" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn resume(
    State(web): State<Web>,
    Path(name): Path<String>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    let action = action(&visit.user, ActionKind::Resume, &format!("queue {name}"), "");
    let resume = move |jobs: Jobs| async move { jobs.resume_queue(&name).await.map(|()| String::new()) };
    visit.ended("queues", recorded(&web.jobs, action, resume).await)
}

//! Pauses and resumes a queue.

use axum::{extract::State, response::Response};
use riqle_jobs_core::{Error, Jobs, store::ActionKind};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Done, Submitted, action, recorded, run::Nothing};
use crate::dashboard::{Web, failure::Failure, visit::Path};

/// Why a queue or a schedule is paused.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PauseRequest {
    /// For display, at most 500 bytes.
    why: String,
    #[serde(rename = "formToken")]
    #[schema(ignore)]
    _form_token: String,
}

const WHY_BYTES: usize = 500;

impl PauseRequest {
    pub(super) fn checked(self) -> Result<String, Failure> {
        if self.why.len() > WHY_BYTES {
            return Err(Failure::bad(format!("`why` is longer than {WHY_BYTES} bytes")));
        }
        Ok(self.why)
    }
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
    let paused = async {
        must_be_known(&web, &name).await?;
        let why = asked.checked()?;
        let action = action(&visit.user, ActionKind::Pause, &format!("queue {name}"), &why);
        let by = visit.user.name.clone();
        recorded(&web.jobs, action, move |jobs: Jobs| async move {
            let before = paused_by(&jobs, &name).await?;
            jobs.pause_queue(&name, &by, &why).await?;
            let outcome =
                before.map_or_else(String::new, |by| format!("already paused by {by}; nothing changed"));
            Ok::<_, Error>(outcome)
        })
        .await
    };
    visit.ended("queues", paused.await)
}

async fn paused_by(jobs: &Jobs, name: &str) -> Result<Option<String>, Error> {
    let queues = jobs.store().queues().await?;
    Ok(queues.into_iter().find(|queue| queue.name == name).and_then(|queue| Some(queue.pause?.by)))
}

/// A queue of a job that was registered, or with runs.
async fn must_be_known(web: &Web, name: &str) -> Result<(), Failure> {
    let store = &**web.jobs.store();
    let (jobs, queues) = tokio::try_join!(store.jobs(), store.queues())?;
    let is_known =
        jobs.iter().any(|job| job.declaration.queue == name) || queues.iter().any(|queue| queue.name == name);
    if is_known { Ok(()) } else { Err(Failure::not_found("queue")) }
}

/// Resumes a queue.
#[utoipa::path(post, path = "/queues/{name}/resume", tag = "queues", params(("name" = String, Path)),
    request_body = Nothing, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn resume(
    State(web): State<Web>,
    Path(name): Path<String>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    let resumed = async {
        must_be_known(&web, &name).await?;
        let action = action(&visit.user, ActionKind::Resume, &format!("queue {name}"), "");
        recorded(&web.jobs, action, move |jobs: Jobs| async move {
            jobs.resume_queue(&name).await.map(|()| String::new())
        })
        .await
    };
    visit.ended("queues", resumed.await)
}

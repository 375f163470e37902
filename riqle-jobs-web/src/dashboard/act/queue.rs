//! Pauses and resumes a queue.

use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Done, Submitted, run::Nothing};
use crate::dashboard::visit::Path;

/// Why a queue or a schedule is paused.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PauseRequest {
    /// For display, at most 500 bytes.
    pub(super) why: String,
    #[serde(rename = "formToken")]
    #[schema(ignore)]
    _form_token: String,
}

/// Pauses a queue.
#[utoipa::path(post, path = "/queues/{name}/pause", tag = "queues", params(("name" = String, Path)),
    request_body = PauseRequest, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn pause(
    Path(name): Path<String>,
    Submitted { visit, asked }: Submitted<PauseRequest>,
) -> Response {
    visit.acted("queues", visit.operator().pause_queue(&name, &asked.why).await)
}

/// Resumes a queue.
#[utoipa::path(post, path = "/queues/{name}/resume", tag = "queues", params(("name" = String, Path)),
    request_body = Nothing, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn resume(
    Path(name): Path<String>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    visit.acted("queues", visit.operator().resume_queue(&name).await)
}

use axum::{Json, response::IntoResponse};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::{HEADERS, act, pages};

/// Why something is not to be had.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    error: String,
    status: u16,
}

/// What the dashboard answers as JSON, relative to where it is nested.
#[derive(OpenApi)]
#[openapi(
    info(title = "riqle-jobs dashboard", description = "The pages of the dashboard as JSON, for requests that accept it, and the actions of operators."),
    paths(
        pages::overview::show,
        pages::runs::show,
        pages::confirm::show,
        pages::run::show,
        pages::dead_letters::show,
        pages::jobs::show,
        pages::job::show,
        pages::queues::show,
        pages::emails::show,
        pages::email::show,
        pages::suppressions::show,
        pages::audit::show,
        pages::action::show,
        act::run::replay,
        act::run::cancel,
        act::run::run_now,
        act::run::discard,
        act::runs::act,
        act::job::start,
        act::queue::pause,
        act::queue::resume,
        act::worker::order,
        act::email::resolve,
        act::email::suppress,
        act::email::unsuppress,
    ),
    servers((url = ".", description = "where the dashboard is nested"))
)]
struct Document;

/// Open to all: it describes, and tells nothing of what is stored.
pub(super) async fn document() -> impl IntoResponse {
    (HEADERS, Json(Document::openapi()))
}

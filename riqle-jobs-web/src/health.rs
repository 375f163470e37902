//! `GET /health`: whether the store answers and a worker is alive. Open to all: monitors hold no keys.

use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};
use jiff::Timestamp;
use riqle_jobs_core::{Error, Jobs, store::Repeated};
use serde::Serialize;

use crate::answer::{answer, method_not_allowed, refuse, told};

/// Monitors give up after this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The route `GET /health`: 200 and `{"status": 200, "message": "OK", "oldestDue": null, "workers": 1}`, where
/// `oldestDue` is the time (RFC 3339) since when the oldest due run has been waiting. 503, with an `error`, if
/// the store does not answer or can't be written to, or no worker is alive.
pub fn router(jobs: &Jobs<impl Sized>) -> Router {
    Router::new()
        .route("/health", get(health))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(jobs.erase())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    oldest_due: Option<Timestamp>,
    workers: usize,
}

async fn health(State(jobs): State<Jobs>) -> Response {
    match tokio::time::timeout(ANSWERS_WITHIN, look(&jobs)).await {
        Ok(Ok(found)) => {
            answer(StatusCode::from_u16(found.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), found)
        }
        Ok(Err(error)) => {
            told(&error);
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the store is unavailable")
        }
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer"),
    }
}

async fn look(jobs: &Jobs) -> Result<Answer, Error> {
    let store = jobs.store();
    let health = store.health().await?;
    let now = store.now().await?;
    let workers = store.workers().await?;
    let alive = workers.iter().filter(|worker| worker.is_alive(now)).count();
    let error = match (&health.write_error, alive) {
        (Some(error), _) => {
            static UNWRITABLE: Repeated = Repeated::new();
            if let Some(times) = UNWRITABLE.happened() {
                tracing::warn!(%error, times, "the store can't be written to");
            }
            Some("the store can't be written to")
        }
        (None, 0) => Some("no worker is alive"),
        (None, _) => None,
    };
    let is_well = error.is_none();
    Ok(Answer {
        status: if is_well { 200 } else { 503 },
        message: is_well.then_some("OK"),
        error,
        oldest_due: health.oldest_due,
        workers: alive,
    })
}

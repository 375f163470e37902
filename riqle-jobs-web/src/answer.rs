//! How every route here answers: in JSON, in time, and with one line for a refusal.

use std::{error::Error as _, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use riqle_jobs_core::{Error, ErrorKind, store::RepeatedEach};
use serde::Serialize;
use serde_json::json;

/// The reader must neither sniff nor store it.
const HEADERS: [(HeaderName, &str); 2] =
    [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::CACHE_CONTROL, "no-store")];

/// A status and a line that says why.
pub(crate) type Refused = (StatusCode, String);

pub(crate) fn answer(status: StatusCode, body: impl Serialize) -> Response {
    (status, HEADERS, Json(body)).into_response()
}

pub(crate) fn refuse(status: StatusCode, error: &str) -> Response {
    answer(status, json!({"error": error, "status": status.as_u16()}))
}

/// The status for a store's error: the caller's fault, worth retrying, or ours.
pub(crate) fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Rejected => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a caller is told about an error: its own fault in full, ours only with what to do. The rest is logged.
pub(crate) fn told(error: &Error) -> String {
    match status_of(error) {
        StatusCode::SERVICE_UNAVAILABLE => {
            static AWAY: RepeatedEach = RepeatedEach::new();
            if let Some(times) = AWAY.happened(error.operation()) {
                tracing::warn!(%error, times, "the store is unavailable");
            }
            "the store is unavailable; try again".to_owned()
        }
        StatusCode::INTERNAL_SERVER_ERROR => {
            static FAILED: RepeatedEach = RepeatedEach::new();
            if let Some(times) = FAILED.happened(error.operation()) {
                tracing::error!(%error, times, "the store failed");
            }
            "the store failed; see the log".to_owned()
        }
        _ => error.message().to_owned(),
    }
}

/// The same of an action of an operator, whose message is for display; the log has the cause.
pub(crate) fn told_of_action(error: &Error) -> String {
    match status_of(error) {
        StatusCode::SERVICE_UNAVAILABLE => tracing::warn!(%error, cause = error.source(), "an action failed"),
        StatusCode::INTERNAL_SERVER_ERROR => {
            tracing::error!(%error, cause = error.source(), "an action failed")
        }
        _ => {}
    }
    error.message().to_owned()
}

pub(crate) fn failed(error: &Error) -> Response {
    refuse(status_of(error), &told(error))
}

/// For a known path with a wrong method.
pub(crate) async fn method_not_allowed() -> Response {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}

/// Reads a body of at most `most` bytes; the route must carry `DefaultBodyLimit::max(most)`.
pub(crate) async fn read(request: Request, most: usize) -> Result<Bytes, Refused> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most} bytes"))
        }
        status => (status, "the body can't be read".to_owned()),
    })
}

/// Gives up after `limit`, so that a slow sender or store holds nothing forever.
pub(crate) async fn within(limit: Duration, answer: impl Future<Output = Response>) -> Response {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| refuse(StatusCode::SERVICE_UNAVAILABLE, "no answer in time; try again"))
}

/// Whether a body says that it is JSON, which no form of another site can.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

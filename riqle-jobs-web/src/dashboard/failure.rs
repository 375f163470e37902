//! Why a page or an action is not available, with its status.

use axum::http::StatusCode;
use riqle_jobs_core::Error;

use crate::answer::{status_of, told, told_of_action};

/// Why a page or an action is not available.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    /// For display.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn not_found(what: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, text: format!("no such {what}") }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    /// PostgreSQL stores no text with such a character, so no store is asked for one.
    pub(crate) fn nul(place: &str) -> Self {
        Self::bad(format!("the {place} contains a NUL character, which stored text never does"))
    }

    /// Of an action of an operator, whose error says in its message what a person may read.
    pub(crate) fn of_action(error: Error) -> Self {
        Self { status: status_of(&error), text: told_of_action(&error) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: status_of(&error), text: told(&error) }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "can't render a page");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, text: "the page can't be rendered".to_owned() }
    }
}

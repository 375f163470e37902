//! What operators do over HTTP: a request is read, and core's `Operator` does it.

pub(crate) mod email;
pub(crate) mod job;
pub(crate) mod queue;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedule;
mod submitted;
pub(crate) mod worker;

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use riqle_jobs_core::{ActionId, Error, operator};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::submitted::Submitted;
use super::{
    HEADERS,
    failure::Failure,
    visit::{Visit, Wants},
};

/// That an action was done, as JSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {
    /// The id of its record.
    #[schema(value_type = uuid::Uuid)]
    action: ActionId,
    /// The outcome: a new run's id, how many, or nothing.
    outcome: String,
    status: u16,
}

impl Visit {
    /// Who acts.
    fn operator(&self) -> operator::Operator {
        self.web.jobs.operator(&self.user.name)
    }

    /// Answers that an action was done: browsers are redirected to a page, tools get JSON.
    fn done(&self, path: &str, done: operator::Done) -> Response {
        if self.wants == Wants::Json {
            let done = Done { action: done.action, outcome: done.outcome, status: 200 };
            return (HEADERS, Json(done)).into_response();
        }
        (StatusCode::SEE_OTHER, HEADERS, [(header::LOCATION, self.to(path))]).into_response()
    }

    /// The same, or why not.
    fn ended(&self, path: &str, ended: Result<operator::Done, Failure>) -> Response {
        match ended {
            Ok(done) => self.done(path, done),
            Err(failure) => self.fail(&failure),
        }
    }

    /// The same, where nothing but the action can fail.
    fn acted(&self, path: &str, acted: Result<operator::Done, Error>) -> Response {
        self.ended(path, acted.map_err(Failure::of_action))
    }
}

//! What operators do; each action is recorded before it is done, and again with its outcome.

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
use riqle_jobs_core::{
    ActionId, Jobs,
    store::{ActionKind, ActionState, NewAction},
};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::submitted::Submitted;
use super::{
    HEADERS,
    failure::Failure,
    visit::{Visit, Wants},
};
use crate::security::User;

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

/// An action about to be done.
pub(crate) fn action(user: &User, kind: ActionKind, subject: &str, detail: &str) -> NewAction {
    NewAction {
        id: ActionId::new(),
        by: user.name.clone(),
        kind,
        subject: subject.to_owned(),
        detail: detail.to_owned(),
        state: ActionState::Underway,
        outcome: String::new(),
    }
}

/// Does an action between its two records; `act` returns the outcome, for display. It runs to its end even if
/// the caller does not wait for it.
///
/// # Errors
/// As `act`; if the action can't be recorded it is not done.
pub(crate) async fn recorded<F, E>(
    jobs: &Jobs,
    action: NewAction,
    act: impl FnOnce(Jobs) -> F + Send + 'static,
) -> Result<(ActionId, String), Failure>
where
    F: Future<Output = Result<String, E>> + Send,
    E: Into<Failure> + Send,
{
    let jobs = jobs.clone();
    let done = tokio::spawn(async move {
        jobs.store().record_action(action.clone()).await?;
        let done = act(jobs.clone()).await.map_err(E::into);
        ended(&jobs, &action, done.as_ref().map_err(|failure| &failure.text)).await;
        Ok((action.id, done?))
    });
    done.await.unwrap_or_else(|panicked| Err(Failure::of_panic(&panicked)))
}

/// Records how an action ended. It was done whether or not this can be written, so a failure of that is only logged.
pub(super) async fn ended(jobs: &Jobs, action: &NewAction, done: Result<&String, &String>) {
    let (state, outcome) = match done {
        Ok(outcome) => (ActionState::Done, outcome.clone()),
        Err(why) => (ActionState::Failed, why.clone()),
    };
    let ended = NewAction { state, outcome, ..action.clone() };
    if let Err(error) = jobs.store().record_action(ended).await {
        tracing::warn!(%error, by = action.by, kind = %action.kind, "can't record how an action ended");
    }
}

impl Visit {
    /// Answers that an action was done: browsers are redirected to a page, tools get JSON.
    fn done(&self, path: &str, action: ActionId, outcome: String) -> Response {
        if self.wants == Wants::Json {
            return (HEADERS, Json(Done { action, outcome, status: 200 })).into_response();
        }
        (StatusCode::SEE_OTHER, HEADERS, [(header::LOCATION, self.to(path))]).into_response()
    }

    /// The same, or why not.
    fn ended(&self, path: &str, ended: Result<(ActionId, String), Failure>) -> Response {
        match ended {
            Ok((action, outcome)) => self.done(path, action, outcome),
            Err(failure) => self.fail(&failure),
        }
    }
}

//! A run as a row of a list.

use riqle_jobs_core::{Reason, Run, RunId, RunState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::dashboard::{
    show::{When, first_line},
    visit::Visit,
};

/// A run in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunRow {
    #[schema(value_type = uuid::Uuid)]
    pub(crate) id: RunId,
    pub(crate) job: String,
    pub(crate) queue: String,
    /// `pending`, `running`, `waiting`, `succeeded`, `dead` or `cancelled`.
    #[schema(value_type = String)]
    pub(crate) state: RunState,
    /// Why it ended.
    #[schema(value_type = Option<String>)]
    pub(crate) reason: Option<Reason>,
    /// The current or next attempt; for an ended run, its last.
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) reference: Option<String>,
    pub(crate) unique_key: Option<String>,
    /// The first line of the newest error.
    pub(crate) error: Option<String>,
    pub(crate) enqueued_at: When,
    pub(crate) due_at: When,
    pub(crate) ended_at: Option<When>,
    #[schema(value_type = Option<uuid::Uuid>)]
    pub(crate) replayed_by: Option<RunId>,
}

impl RunRow {
    pub(crate) fn of(run: &Run, visit: &Visit) -> Self {
        Self {
            id: run.id,
            job: run.job.clone(),
            queue: run.queue.clone(),
            state: run.state,
            reason: run.reason,
            attempt: if run.state.is_ended() && run.state != RunState::Succeeded {
                run.failures.max(1)
            } else {
                run.attempt()
            },
            crashes: run.crashes,
            reference: run.reference.as_deref().map(|reference| visit.text(reference)),
            unique_key: run.unique_key.as_deref().map(|key| visit.text(key)),
            error: run.error().map(|error| first_line(&visit.text(error), 160)),
            enqueued_at: When(run.enqueued_at),
            due_at: When(run.due_at),
            ended_at: run.ended_at.map(When),
            replayed_by: run.replayed_by,
        }
    }

    /// The part of the id that differs most between runs.
    pub(crate) fn short_id(&self) -> String {
        let id = self.id.to_string();
        id[id.len() - 8..].to_owned()
    }
}

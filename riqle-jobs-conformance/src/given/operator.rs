//! What cases about operators and workers begin with.

use riqle_jobs_core::{
    ActionId, WorkerId,
    store::{ActionKind, ActionState, NewAction, WorkerReport},
};

/// An action of ada's that has begun.
pub(crate) fn action(kind: ActionKind) -> NewAction {
    NewAction {
        id: ActionId::new(),
        by: "ada".to_owned(),
        kind,
        subject: "mail".to_owned(),
        detail: String::new(),
        state: ActionState::Underway,
        outcome: String::new(),
    }
}

/// What a worker of two jobs reports.
pub(crate) fn worker(label: &str) -> WorkerReport {
    WorkerReport {
        id: WorkerId::new(),
        label: label.to_owned(),
        version: "0.1.0".to_owned(),
        jobs: ["greet", "bill"].map(|job| (job.to_owned(), super::QUEUE.to_owned())).into(),
        concurrency: 32,
        running: 3,
        claimed_ahead: [].into(),
        troubles: Vec::new(),
    }
}

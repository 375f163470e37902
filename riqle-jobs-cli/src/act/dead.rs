//! `dead list`, `dead replay`, `dead discard`.

use jiff::Timestamp;
use riqle_jobs::{RunId, operator::RunAction, show::first_line, store::DeadGroup};
use serde::Serialize;

use super::on_runs;
use crate::{
    arguments::{Dead, DeadCommand},
    context::Context,
    failure::Failure,
    print::{Row, Tone},
    times::ago,
};

/// Dead letters of a job whose errors are alike.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupRow {
    job: String,
    runs: u64,
    /// For `--error`; empty if they have no error.
    error_fingerprint: String,
    /// The first line of the newest error, or why the newest died.
    error: Option<String>,
    first_at: Timestamp,
    last_at: Timestamp,
    newest: RunId,
    #[serde(skip)]
    now: Timestamp,
}

impl GroupRow {
    fn of(group: DeadGroup, error: Option<String>, now: Timestamp) -> Self {
        Self {
            job: group.job,
            runs: group.runs,
            error_fingerprint: group.error_fingerprint.unwrap_or_default(),
            error,
            first_at: group.first_at,
            last_at: group.last_at,
            newest: group.newest,
            now,
        }
    }
}

impl Row for GroupRow {
    const HEADS: &'static [&'static str] = &["JOB", "RUNS", "LAST", "FINGERPRINT", "NEWEST", "ERROR"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.job.clone(),
            self.runs.to_string(),
            ago(self.last_at, self.now),
            self.error_fingerprint.clone(),
            self.newest.to_string(),
            self.error.as_deref().map(|error| first_line(error, 80)).unwrap_or_default(),
        ]
    }

    fn tone(&self) -> Tone {
        Tone::Bad
    }
}

pub(crate) async fn dead(asked: Dead, context: &mut Context<'_>) -> Result<(), Failure> {
    match asked.command {
        DeadCommand::List { limit } => list(usize::from(limit), context).await,
        DeadCommand::Replay(asked) => on_runs(asked, RunAction::Replay, context).await,
        DeadCommand::Discard(asked) => on_runs(asked, RunAction::Discard, context).await,
    }
}

async fn list(limit: usize, context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let now = jobs.store().now().await?;
    let mut rows = Vec::new();
    for group in jobs.dead_groups(limit).await? {
        let newest = jobs.run(group.newest).await?;
        let error = newest.and_then(|run| {
            let error = run.error().map(|error| first_line(error, 1_000));
            error.or_else(|| run.reason.map(|reason| reason.to_string()))
        });
        rows.push(GroupRow::of(group, error, now));
    }
    context.print(&rows, "no dead letters")
}

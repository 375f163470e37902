//! `runs list`, `runs show`, `runs tail`.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use riqle_jobs::{Error, Run, RunFilter, RunId, RunState, show::first_line, store::later};
use serde::Serialize;

use super::run::show;
use crate::{
    arguments::{Runs, RunsCommand, Selection},
    context::Context,
    failure::Failure,
    interruption::interruption,
    print::{Row, Tone},
    selection::{must_be_job, run_id},
    times::ago,
};

/// How often `tail` looks.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// How many of the newest runs `tail` follows.
const FOLLOWED: usize = 500;
/// The longest error in a list, in characters.
const ERROR: usize = 80;

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunRow {
    pub(crate) id: RunId,
    pub(crate) job: String,
    pub(crate) queue: String,
    pub(crate) state: RunState,
    pub(crate) reason: Option<&'static str>,
    pub(crate) failures: u32,
    pub(crate) crashes: u32,
    pub(crate) enqueued_at: Timestamp,
    pub(crate) due_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) unique_key: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) error_fingerprint: Option<String>,
    /// The first line of the newest error.
    pub(crate) error: Option<String>,
    #[serde(skip)]
    now: Timestamp,
}

impl RunRow {
    pub(crate) fn of(run: &Run, now: Timestamp) -> Self {
        Self {
            id: run.id,
            job: run.job.clone(),
            queue: run.queue.clone(),
            state: run.state,
            reason: run.reason.map(|reason| reason.as_str()),
            failures: run.failures,
            crashes: run.crashes,
            enqueued_at: run.enqueued_at,
            due_at: run.due_at,
            ended_at: run.ended_at,
            unique_key: run.unique_key.clone(),
            reference: run.reference.clone(),
            error_fingerprint: run.error_fingerprint.clone(),
            error: run.error().map(|error| first_line(error, 1_000)),
            now,
        }
    }
}

pub(crate) fn tone_of(state: RunState) -> Tone {
    match state {
        RunState::Succeeded => Tone::Good,
        RunState::Dead => Tone::Bad,
        RunState::Cancelled => Tone::Warning,
        RunState::Pending | RunState::Running | RunState::Waiting => Tone::Plain,
    }
}

impl Row for RunRow {
    const HEADS: &'static [&'static str] =
        &["RUN", "JOB", "STATE", "FAILED", "ENQUEUED", "DUE OR ENDED", "REFERENCE", "ERROR"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.job.clone(),
            self.state.to_string(),
            self.failures.to_string(),
            ago(self.enqueued_at, self.now),
            ago(self.ended_at.unwrap_or(self.due_at), self.now),
            self.reference.clone().unwrap_or_default(),
            self.error.as_deref().map(|error| first_line(error, ERROR)).unwrap_or_default(),
        ]
    }

    fn tone(&self) -> Tone {
        tone_of(self.state)
    }
}

pub(crate) async fn runs(asked: Runs, context: &mut Context<'_>) -> Result<(), Failure> {
    match asked.command {
        RunsCommand::List { which, page } => {
            let jobs = context.jobs().await?;
            let now = jobs.store().now().await?;
            let filter = RunFilter { before: page.before()?, ..which.filter(now)? };
            let found = jobs.runs(filter.limit(page.limit())).await?;
            let rows: Vec<_> = found.iter().map(|run| RunRow::of(run, now)).collect();
            if let (true, Some(job)) = (rows.is_empty(), &which.job) {
                must_be_job(&jobs, job).await?;
            }
            context.print(&rows, "no matching runs")?;
            if rows.len() == page.limit()
                && context.console.is_terminal()
                && !context.json
                && let Some(last) = rows.last()
            {
                context.console.warn(&format!("more: --before {}\n", last.id));
            }
            Ok(())
        }
        RunsCommand::Show { run } => show(run_id(&run)?, context).await,
        RunsCommand::Tail { which } => tail(&which, context).await,
    }
}

/// Prints each of the newest runs when it is first seen, and again when its state has changed, until interrupted.
async fn tail(which: &Selection, context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let began = jobs.store().now().await?;
    let filter = which.filter(began)?.limit(FOLLOWED);
    let mut known: BTreeMap<RunId, (RunState, u32)> = BTreeMap::new();
    let mut is_first = true;
    let interruption = interruption()?;
    loop {
        let looked = async { Ok::<_, Error>((jobs.store().now().await?, jobs.runs(filter.clone()).await?)) };
        let (now, mut found) = tokio::select! {
            looked = looked => looked?,
            () = interruption.stopping() => return Ok(()),
        };
        found.reverse();
        let mut news = Vec::new();
        for run in &found {
            let before = known.insert(run.id, (run.state, run.failures));
            let is_old = is_first && later(run.enqueued_at, LOOKS_EVERY) < began;
            if before != Some((run.state, run.failures)) && !is_old {
                news.push(RunRow::of(run, now));
            }
        }
        let oldest = found.first().map(|run| run.id);
        known.retain(|run, _| oldest.is_none_or(|oldest| *run >= oldest));
        is_first = false;
        for row in news {
            context.print_followed(&row)?;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOKS_EVERY) => {}
            () = interruption.stopping() => return Ok(()),
        }
    }
}

impl Context<'_> {
    /// One of rows without end: each has its line at once.
    fn print_followed(&mut self, row: &RunRow) -> Result<(), Failure> {
        if self.json {
            return self.print_json(row);
        }
        let at = row.ended_at.unwrap_or(row.now);
        let error = row.error.as_deref().map(|error| first_line(error, ERROR)).unwrap_or_default();
        let line = format!("{at:.0}  {}  {}  {}  {error}", row.id, row.job, row.state);
        self.console.say(&format!("{}\n", crate::print::in_one_line(line.trim_end())))
    }
}

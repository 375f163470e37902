//! `schedules list` and `schedules next`.

use jiff::Timestamp;
use riqle_jobs::store::{ScheduleFilter, ScheduleStatus};
use serde::Serialize;

use crate::{
    arguments::Schedule,
    context::Context,
    failure::Failure,
    print::{Row, Tone},
    times::ago,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScheduleRow {
    job: String,
    name: String,
    queue: String,
    /// In words.
    times: String,
    next_at: Option<Timestamp>,
    last_run: Option<String>,
    last_tick: Option<Timestamp>,
    /// `active`, `paused` or `removed`.
    state: &'static str,
    paused_by: Option<String>,
    /// Ticks that started no run.
    skipped: u64,
    #[serde(skip)]
    now: Timestamp,
}

impl ScheduleRow {
    fn of(found: ScheduleStatus, now: Timestamp) -> Self {
        let ScheduleStatus { job, queue, name, state, .. } = found;
        let word = match () {
            () if state.is_removed => "removed",
            () if state.pause.is_some() => "paused",
            () => "active",
        };
        Self {
            job,
            name,
            queue,
            times: state.rule.to_string(),
            next_at: state.next,
            last_run: state.last.map(|last| last.run.to_string()),
            last_tick: state.last.map(|last| last.tick),
            state: word,
            paused_by: state.pause.map(|pause| pause.by),
            skipped: state.skipped.values().sum(),
            now,
        }
    }
}

impl Row for ScheduleRow {
    const HEADS: &'static [&'static str] = &["JOB", "SCHEDULE", "TIMES", "NEXT", "LAST", "STATE", "SKIPPED"];

    fn cells(&self) -> Vec<String> {
        let time = |at: Option<Timestamp>| at.map(|at| ago(at, self.now)).unwrap_or_default();
        let by = self.paused_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        vec![
            self.job.clone(),
            self.name.clone(),
            self.times.clone(),
            time(self.next_at),
            time(self.last_tick),
            format!("{}{by}", self.state),
            self.skipped.to_string(),
        ]
    }

    fn tone(&self) -> Tone {
        if self.state == "active" { Tone::Plain } else { Tone::Warning }
    }
}

pub(crate) async fn list(prefix: String, limit: usize, context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let now = jobs.store().wall_time().await?;
    let filter = ScheduleFilter { limit, ..ScheduleFilter::prefix(prefix) };
    let found = jobs.schedules(filter).await?;
    let rows: Vec<_> = found.into_iter().map(|found| ScheduleRow::of(found, now)).collect();
    context.print(&rows, "no matching schedules")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TickRow {
    at: Timestamp,
    #[serde(skip)]
    now: Timestamp,
}

impl Row for TickRow {
    const HEADS: &'static [&'static str] = &["TICK", "IN"];

    fn cells(&self) -> Vec<String> {
        vec![self.at.to_string(), ago(self.at, self.now)]
    }
}

pub(crate) async fn next(which: &Schedule, ticks: usize, context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let now = jobs.store().wall_time().await?;
    let found = jobs.schedule_status(&which.job, &which.name).await?;
    let found = found
        .ok_or_else(|| Failure::not_found(format!("job {:?} has no schedule {:?}", which.job, which.name)))?;
    let rows: Vec<_> =
        found.state.next_ticks(now, ticks)?.into_iter().map(|at| TickRow { at, now }).collect();
    context.print(&rows, "no upcoming ticks: the schedule is over, paused or removed")
}

//! What is done to runs: to those that are named, or to all that match.

use std::time::{Duration, Instant};

use riqle_jobs::{
    RunFilter, RunId,
    operator::RunAction,
    show::many,
    store::{BulkReport, COUNTED_TO, Pace, later},
};
use serde_json::json;

use super::acted;
use crate::{
    arguments::{Many, OnRuns},
    context::Context,
    failure::{Failure, USAGE},
    selection::run_id,
};

/// Progress is told so often.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// The fastest pace.
const FASTEST: u32 = 10_000;

pub(crate) async fn on_runs(
    asked: OnRuns,
    action: RunAction,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let named = asked.runs.iter().map(|run| run_id(run)).collect::<Result<Vec<RunId>, _>>()?;
    let jobs = context.jobs().await?;
    let now = jobs.store().now().await?;
    let filter = asked.which.filter(now)?;
    if !named.is_empty() {
        if filter != RunFilter::all() || asked.many.all {
            return Err(Failure::usage("name runs, or say which match, not both"));
        }
        return on_named(named, action, context).await;
    }
    if filter == RunFilter::all() && !asked.many.all {
        return Err(Failure::usage("which runs? Name them, say which match (--job, --queue, …), or --all"));
    }
    // None that comes later is meant.
    let until = later(now, Duration::from_millis(1));
    let filter =
        filter.clone().enqueued_before(filter.enqueued_before.map_or(until, |before| before.min(until)));
    on_all(filter, action, &asked.many, context).await
}

async fn on_named(runs: Vec<RunId>, action: RunAction, context: &mut Context<'_>) -> Result<(), Failure> {
    let operator = context.operator().await?;
    let done = match runs[..] {
        [run] => operator.on_run(action, run).await?,
        _ => operator.on_runs(action, runs).await?,
    };
    acted(past(action), done, context)
}

async fn on_all(
    filter: RunFilter,
    action: RunAction,
    asked: &Many,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let pace = pace(&asked.rate)?;
    let jobs = context.jobs().await?;
    let narrowed = action.narrow(filter.clone())?;
    let count = jobs.store().count_runs(narrowed.clone(), COUNTED_TO).await?;
    if count == 0 {
        return context.tell("no run matches", &json!({"action": null, "done": 0, "skipped": 0}));
    }
    let sample = jobs.runs(narrowed.limit(1)).await?;
    let more = if count >= COUNTED_TO { " or more" } else { "" };
    let such = sample.first().map(|run| format!("such as {} of job {}", run.id, run.job)).unwrap_or_default();
    let what = format!("{} {}{more} with {filter}, {such}", action.name(), many(count, "run"));
    context.console.warn(&format!("{what}\n"));
    confirm(asked.yes, "Go on?", context)?;
    let begun = context.operator().await?.begin_on_all(action, filter, pace).await?;
    let id = begun.id();
    let shows = context.console.is_attended() && !context.json;
    let mut told = Instant::now();
    let (stop, console) = (Context::interrupted(), &mut *context.console);
    let done = begun.carry_out(stop, |report: &BulkReport| {
        if shows && told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            console.warn(&format!("{} of {count}{more}\n", report.done + report.skips));
        }
    });
    let report = done.await.map_err(|error| {
        let failure = Failure::from(error);
        Failure { text: format!("{}; the same command goes on", failure.text), ..failure }
    })?;
    for skipped in report.skipped.iter().take(10) {
        context.console.warn(&format!("skipped {}: {}\n", skipped.run, skipped.problem));
    }
    let skipped = if report.skips > 0 { format!(", {} skipped", report.skips) } else { String::new() };
    let line = format!("{}: {} done{skipped}", past(action), report.done);
    context.tell(&line, &json!({"action": id, "done": report.done, "skipped": report.skips}))
}

/// Asks, where somebody is there to answer; elsewhere it must have been said.
pub(crate) fn confirm(yes: bool, question: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !context.console.is_attended() {
        return Err(Failure {
            code: USAGE,
            text: "nobody can be asked here: give --yes to do it".to_owned(),
        });
    }
    match context.console.ask(question) {
        true => Ok(()),
        false => Err(Failure::refused("nothing was done")),
    }
}

fn past(action: RunAction) -> &'static str {
    match action {
        RunAction::Replay => "replayed",
        RunAction::Discard => "discarded",
        RunAction::Cancel => "cancelled",
        RunAction::RunNow => "made due",
    }
}

fn pace(text: &str) -> Result<Pace, Failure> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse::<u32>().ok();
    let number = number.filter(|number| (1..=FASTEST).contains(number));
    number.map(Pace::per_second).ok_or_else(|| {
        Failure::usage(format!("--rate {text:?} is not a rate such as 50/s, at most {FASTEST}/s"))
    })
}

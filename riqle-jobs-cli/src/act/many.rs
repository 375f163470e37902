//! What is done to runs: to those that are named, or to all that match.

use std::time::{Duration, Instant};

use riqle_jobs::{
    ReplayFrom, RunFilter, RunId, Shutdown,
    operator::RunAction,
    show::many,
    store::{BulkReport, COUNTED_TO, Pace, Replay, later},
};
use serde_json::json;

use super::acted;
use crate::{
    arguments::{Many, OnRuns},
    context::Context,
    failure::{Failure, USAGE},
    interruption::interruption,
    print::in_one_line,
    selection::{must_be_job, run_id},
};

/// Progress is told so often.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// The fastest pace.
const FASTEST: u32 = 10_000;
/// How many skipped runs are printed.
const SKIPPED: usize = 10;

pub(crate) async fn on_runs(
    asked: OnRuns,
    action: RunAction,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let named = asked.runs.iter().map(|run| run_id(run)).collect::<Result<Vec<RunId>, _>>()?;
    let pace = pace(&asked.many.rate)?;
    let jobs = context.jobs().await?;
    let now = jobs.store().now().await?;
    let filter = asked.which.filter(now)?;
    let is_narrowed = filter != RunFilter::all();
    match named[..] {
        [] if !is_narrowed && !asked.many.all => {
            Err(Failure::usage("no runs given: pass ids, a filter (--job, --queue, …), or --all"))
        }
        [] => {
            // Runs enqueued from now on are not included.
            let until = later(now, Duration::from_millis(1));
            let until = filter.enqueued_before.map_or(until, |before| before.min(until));
            on_all(filter.enqueued_before(until), action, pace, &asked.many, context).await
        }
        _ if is_narrowed || asked.many.all => Err(Failure::usage("pass run ids or a filter, not both")),
        [run] => on_one(run, action, context).await,
        _ => on_named(named, action, &asked.many, context).await,
    }
}

async fn on_one(run: RunId, action: RunAction, context: &mut Context<'_>) -> Result<(), Failure> {
    let operator = context.operator().await?;
    let done = match action {
        RunAction::Replay => operator.replay(run, Replay::from(ReplayFrom::FailedStep)).await?,
        _ => operator.on_run(action, run).await?,
    };
    acted(past(action), done, context)
}

async fn on_named(
    runs: Vec<RunId>,
    action: RunAction,
    asked: &Many,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let (interruption, operator) = (interruption()?, context.operator().await?);
    context.console.warn(&format!("{} {}\n", action.name(), many(runs.len() as u64, "run")));
    confirm(asked.yes, "Continue?", context)?;
    let done = operator.on_runs(action, runs, &interruption).await;
    let (done, report) = done.map_err(|error| failure_of(error, &interruption))?;
    tell_skipped(&report, context);
    match report.done {
        0 => Err(Failure::refused("nothing was done: no run allows it")),
        _ => acted(past(action), done, context),
    }
}

async fn on_all(
    filter: RunFilter,
    action: RunAction,
    pace: Pace,
    asked: &Many,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let narrowed = action.narrow(filter.clone())?;
    let count = jobs.store().count_runs(narrowed.clone(), COUNTED_TO).await?;
    if count == 0 {
        if let Some(job) = &filter.job {
            must_be_job(&jobs, job).await?;
        }
        return context.tell("no matching runs", &json!({"action": null, "done": 0, "skipped": 0}));
    }
    let sample = jobs.runs(narrowed.limit(1)).await?;
    let more = if count >= COUNTED_TO { " or more" } else { "" };
    let such =
        sample.first().map(|run| format!("for example {} of job {}", run.id, run.job)).unwrap_or_default();
    let what = format!("{} {}{more} with {filter}, {such}", action.name(), many(count, "run"));
    context.console.warn(&format!("{}\n", in_one_line(&what)));
    confirm(asked.yes, "Continue?", context)?;
    let interruption = interruption()?;
    let begun = context.operator().await?.begin_on_all(action, filter, pace).await?;
    let (id, shows, mut told) = (begun.id(), context.console.is_attended() && !context.json, Instant::now());
    let console = &mut *context.console;
    let done = begun.carry_out(&interruption, |report: &BulkReport| {
        if shows && told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            console.warn(&format!("{} of {count}{more}\n", report.done + report.skips));
        }
    });
    let report = done.await.map_err(|error| failure_of(error, &interruption))?;
    tell_skipped(&report, context);
    let skipped = if report.skips > 0 { format!(", {} skipped", report.skips) } else { String::new() };
    let line = format!("{}: {} done{skipped}", past(action), report.done);
    context.tell(&line, &json!({"action": id, "done": report.done, "skipped": report.skips}))
}

/// What was interrupted is not the store's fault.
pub(crate) fn failure_of(error: riqle_jobs::Error, interruption: &Shutdown) -> Failure {
    match interruption.is_stopping() {
        true => Failure::refused(error.message()),
        false => Failure::from(error),
    }
}

fn tell_skipped(report: &BulkReport, context: &mut Context<'_>) {
    for skipped in report.skipped.iter().take(SKIPPED) {
        context.console.warn(&format!("skipped {}: {}\n", skipped.run, in_one_line(&skipped.problem)));
    }
    if report.skips > SKIPPED as u64 {
        context.console.warn(&format!("skipped {} more\n", report.skips - SKIPPED as u64));
    }
}

/// Asks on a terminal; elsewhere `--yes` must be given.
pub(crate) fn confirm(yes: bool, question: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !context.console.is_attended() {
        return Err(Failure { code: USAGE, text: "no terminal to confirm on; pass --yes".to_owned() });
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
        RunAction::RunNow => "made due now",
    }
}

fn pace(text: &str) -> Result<Pace, Failure> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse::<u32>().ok();
    let number = number.filter(|number| (1..=FASTEST).contains(number));
    number.map(Pace::per_second).ok_or_else(|| {
        Failure::usage(format!("--rate {text:?} is not a rate such as 50/s, at most {FASTEST}/s"))
    })
}

//! What operators do on the memory store: what is recorded, refused, interrupted, repeated.

use super::*;
use crate::{Audit, Memory, Pace, Queue, RunFilter, RunState, schedule::Missed, store::ActionFilter};

const JOB: &str = "resize";

/// A store with so many runs that are due.
async fn with_runs(runs: u32) -> (Memory, Jobs) {
    let memory = Memory::new();
    let input = |number: u32| Payload::from_json_text(number.to_string());
    let runs = (0..runs).map(|number| NewRun::named(JOB, input(number))).collect();
    memory.enqueue(runs).await.unwrap();
    (memory.clone(), Jobs::new(&memory))
}

async fn recorded(memory: &Memory) -> Vec<String> {
    let actions = memory.actions(ActionFilter::default()).await.unwrap();
    let shown = actions.into_iter().map(|recorded| {
        let NewAction { by, kind, subject, state, outcome, .. } = recorded.action;
        format!("{by} {kind} {subject}: {state} {outcome}")
    });
    shown.collect()
}

#[tokio::test]
async fn an_action_on_all_that_is_interrupted_says_how_far_it_came_and_goes_on_when_repeated() {
    let (memory, jobs) = with_runs(10).await;
    let (anna, filter) = (jobs.operator("anna"), RunFilter::all().job(JOB));
    let stop = Shutdown::new();
    let begun = anna.begin_on_all(RunAction::Cancel, filter.clone(), Pace::per_second(20)).await.unwrap();
    let stopped = begun.carry_out(&stop, |report| {
        if report.done == 4 {
            stop.stop();
        }
    });
    let error = stopped.await.unwrap_err();
    assert_eq!(error.message(), "interrupted after 4 done; it is safe to repeat");
    let begun = anna.begin_on_all(RunAction::Cancel, filter, Pace::per_second(10_000)).await.unwrap();
    let report = begun.carry_out(&Shutdown::new(), |_| {}).await.unwrap();
    assert_eq!(report.done, 6);
    assert_eq!(
        recorded(&memory).await,
        [
            "anna cancel all runs with job resize: done 6 done",
            "anna cancel all runs with job resize: failed interrupted after 4 done; it is safe to repeat",
        ]
    );
}

#[tokio::test]
async fn what_is_refused_is_neither_done_nor_recorded() {
    let (memory, jobs) = with_runs(1).await;
    let anna = jobs.operator("anna");
    let kind = |done: Result<Done, Error>| done.unwrap_err().kind();
    assert_eq!(kind(anna.pause_queue("none", "").await), ErrorKind::NotFound);
    assert_eq!(kind(anna.pause_queue("default", &"why ".repeat(200)).await), ErrorKind::Rejected);
    assert_eq!(kind(anna.start("none", Payload::from_json_text("{}"), None).await), ErrorKind::NotFound);
    assert_eq!(kind(anna.suppress("anna", "").await), ErrorKind::Rejected);
    let none = anna.on_runs(RunAction::Cancel, Vec::new(), &Shutdown::new()).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(kind(anna.trigger_schedule(JOB, "none").await), ErrorKind::NotFound);
    let dead = RunFilter::dead();
    let begun = anna.begin_on_all(RunAction::RunNow, dead, Pace::default()).await;
    assert_eq!(begun.err().unwrap().message(), "Run now does not apply to runs in this state");
    assert_eq!(recorded(&memory).await, [""; 0]);
}

#[tokio::test]
async fn an_action_that_panics_is_recorded_as_failed() {
    let (memory, jobs) = with_runs(0).await;
    let anna = jobs.operator("anna");
    let panics = |_: Jobs| async { Ok(Vec::<String>::new().remove(0)) };
    let error = anna.recorded(ActionKind::Cancel, "run", "", panics).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(recorded(&memory).await, ["anna cancel run: failed the action failed; see the log"]);
}

#[tokio::test]
async fn an_action_on_each_of_some_runs_that_is_stopped_touches_no_more_of_them() {
    let (memory, jobs) = with_runs(3).await;
    let runs = jobs.runs(RunFilter::all()).await.unwrap().iter().map(|run| run.id).collect::<Vec<_>>();
    let (anna, stop) = (jobs.operator("anna"), Shutdown::new());
    stop.stop();
    let stopped = anna.on_runs(RunAction::Cancel, runs.clone(), &stop).await;
    assert_eq!(stopped.unwrap_err().message(), "interrupted; it is safe to repeat");
    assert_eq!(jobs.runs(RunFilter::pending()).await.unwrap().len(), 3);
    let again = anna.on_runs(RunAction::Cancel, runs, &Shutdown::new()).await;
    assert_eq!(again.unwrap().1.done, 3);
    assert!(recorded(&memory).await[0].ends_with("done 3 done"));
}

#[tokio::test]
async fn an_action_that_fails_is_recorded_with_why() {
    let (memory, jobs) = with_runs(0).await;
    let run = RunId::new();
    let error = jobs.operator("anna").on_run(RunAction::Discard, run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(recorded(&memory).await, [format!("anna discard run {run}: failed no run {run}")]);
}

#[test]
fn a_filter_says_in_words_which_runs_it_lists() {
    let filter =
        RunFilter::all().states([RunState::Pending, RunState::Waiting]).job("resize").reference("order-7");
    assert_eq!(filter.to_string(), "state pending or waiting, job resize, reference order-7");
    assert_eq!(RunFilter::dead().error_fingerprint("").to_string(), "state dead, error none");
    assert_eq!(RunFilter::all().limit(7).to_string(), "");
}

#[test]
fn what_becomes_of_missed_ticks_is_written_as_it_is_read() {
    for missed in [Missed::Skip, Missed::Latest, Missed::All(10)] {
        assert_eq!(missed.to_string().parse::<Missed>().unwrap(), missed);
    }
    assert!("all:".parse::<Missed>().is_err() && "none".parse::<Missed>().is_err());
}

//! Progress and log lines of runs.

use riqle_jobs_core::{
    ClaimedRun, LeaseAnswer, LogLevel, ReplayFrom, Retention, RunId, Store,
    store::{LogLine, LoggedLine, Note, Progress, RunNotes},
};

use crate::{Harness, given::*};

fn progress(done: u64) -> Progress {
    Progress { done, total: 10, text: format!("page {done}") }
}

fn info(number: u32, text: &str) -> LogLine {
    LogLine { number, level: LogLevel::Info, text: text.to_owned() }
}

/// A note with the lines of these numbers, each saying its number.
fn note(run: &ClaimedRun, lines: impl IntoIterator<Item = u32>) -> Note {
    let lines = lines.into_iter().map(|number| info(number, &number.to_string())).collect();
    Note { lease: run.lease.clone(), progress: None, lines }
}

fn logged(text: &str, millis: i64, attempt: u32) -> LoggedLine {
    LoggedLine { at: at(millis), attempt, level: LogLevel::Info, text: text.to_owned() }
}

async fn noted(store: &dyn Store, note: Note) {
    assert_eq!(store.annotate(vec![note]).await.unwrap(), [LeaseAnswer::Done]);
}

async fn texts(store: &dyn Store, id: RunId) -> Vec<String> {
    store.notes(id).await.unwrap().lines.into_iter().map(|line| line.text).collect()
}

pub async fn progress_and_lines_are_kept_as_they_were_given(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    assert_eq!(store.notes(id).await.unwrap(), RunNotes::default());
    let claim = claimed(&*store).await;
    harness.clock().advance(ms(40));
    let warning = LogLine { number: 2, level: LogLevel::Warn, text: "línea \u{1f381}".to_owned() };

    let lines = vec![info(1, "fetched"), warning];
    noted(&*store, Note { progress: Some(progress(1)), lines, ..note(&claim, []) }).await;

    let warned = LoggedLine { level: LogLevel::Warn, ..logged("línea \u{1f381}", 40, 1) };
    let expected = RunNotes { progress: Some(progress(1)), lines: vec![logged("fetched", 40, 1), warned] };
    assert_eq!(harness.second_handle().await.notes(id).await.unwrap(), expected);
    assert_eq!(store.notes(RunId::new()).await.unwrap(), RunNotes::default());
}

pub async fn the_newest_progress_stays(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    noted(&*store, Note { progress: Some(progress(1)), ..note(&claim, []) }).await;
    let most = Progress { done: (1 << 63) - 1, total: (1 << 63) - 1, text: String::new() };
    noted(&*store, Note { progress: Some(most.clone()), ..note(&claim, []) }).await;
    noted(&*store, note(&claim, [1])).await;

    assert_eq!(store.notes(id).await.unwrap().progress, Some(most));
}

pub async fn a_line_that_is_added_again_is_kept_once(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    noted(&*store, note(&claim, [1, 2])).await;
    noted(&*store, note(&claim, [1, 2, 3])).await;
    store.annotate(vec![note(&claim, [3, 4]), note(&claim, [4, 5])]).await.unwrap();

    assert_eq!(texts(&*store, id).await, ["1", "2", "3", "4", "5"]);
}

pub async fn each_claim_counts_its_lines_from_one(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    noted(&*store, Note { progress: Some(progress(7)), ..note(&claim, [1, 2]) }).await;
    settled(&*store, fails(&claim, secs(1))).await;
    harness.clock().advance(secs(1));

    let second = claimed(&*store).await;
    noted(&*store, note(&second, [1])).await;

    let lines = vec![logged("1", 0, 1), logged("2", 0, 1), logged("1", 1000, 2)];
    assert_eq!(store.notes(id).await.unwrap(), RunNotes { progress: Some(progress(7)), lines });
}

pub async fn f37_only_the_newest_100_lines_are_kept(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    noted(&*store, note(&claim, 1..=90)).await;
    noted(&*store, note(&claim, 91..=130)).await;
    let expected: Vec<_> = (31..=130).map(|number| number.to_string()).collect();
    assert_eq!(texts(&*store, id).await, expected);
    noted(&*store, note(&claim, 1..=130)).await;
    assert_eq!(texts(&*store, id).await, expected);
    noted(&*store, note(&claim, 131..=400)).await;
    let expected: Vec<_> = (301..=400).map(|number| number.to_string()).collect();
    assert_eq!(texts(&*store, id).await, expected);
}

pub async fn a_stale_token_can_not_annotate(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let stale = claimed(&*store).await;
    harness.clock().advance(LEASE);
    let current = claimed(&*store).await;
    let from_stale = Note { progress: Some(progress(9)), ..note(&stale, [1]) };

    let answers = store.annotate(vec![from_stale.clone(), note(&current, [1])]).await.unwrap();
    assert_eq!(answers, [LeaseAnswer::LeaseLost, LeaseAnswer::Done]);
    let kept = RunNotes { progress: None, lines: vec![logged("1", 30_000, 1)] };
    assert_eq!(store.notes(id).await.unwrap(), kept);
    store.cancel(id).await.unwrap();
    let late = note(&current, [2]);
    let answers = store.annotate(vec![late, from_stale]).await.unwrap();
    assert_eq!(answers, [LeaseAnswer::CancelRequested, LeaseAnswer::LeaseLost]);
    assert_eq!(store.notes(id).await.unwrap(), kept);
    assert_eq!(store.annotate(vec![]).await.unwrap(), []);
}

pub async fn a_settled_run_keeps_its_notes_and_takes_no_more(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    noted(&*store, note(&claim, [1])).await;
    settled(&*store, succeeds(&claim)).await;

    assert_eq!(store.annotate(vec![note(&claim, [2])]).await.unwrap(), [LeaseAnswer::LeaseLost]);

    assert_eq!(texts(&*store, id).await, ["1"]);
}

pub async fn a_replay_starts_without_notes(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    noted(&*store, Note { progress: Some(progress(1)), ..note(&claim, [1]) }).await;
    settled(&*store, dies(&claim)).await;
    let new_run = RunId::new();

    store.replay(id, new_run, ReplayFrom::FailedStep.into()).await.unwrap();

    assert_eq!(store.notes(new_run).await.unwrap(), RunNotes::default());
    assert_eq!(texts(&*store, id).await, ["1"]);
}

pub async fn notes_go_with_their_run(harness: &dyn Harness) {
    let store = harness.store();
    let mut ids = Vec::new();
    for settlement in [succeeds as fn(&_) -> _, dies] {
        ids.push(enqueued(&*store, run_of(GREET)).await);
        let claim = claimed(&*store).await;
        noted(&*store, Note { progress: Some(progress(1)), ..note(&claim, [1]) }).await;
        settled(&*store, settlement(&claim)).await;
    }
    harness.clock().advance(secs(2));

    store.prune(Retention { ended: Some(secs(1)), ..Retention::FOREVER }).await.unwrap();
    store.discard(ids[1]).await.unwrap();

    for id in ids {
        assert_eq!(store.notes(id).await.unwrap(), RunNotes::default());
    }
}

//! F36: operations on many dead letters.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{
    ErrorKind, Inspect, JobError, Jobs, ManualClock, Memory, NewRun, Operate, Pace, Queue, Run, RunFilter,
    RunId, RunState, Worker, testing,
};
use support::{Scripted, ScriptedInput};

const FAST: u32 = 1_000_000;

/// Makes dead letters of runs with these inputs.
async fn dead_letters(store: &Memory, runs: Vec<NewRun>) {
    store.enqueue(runs).await.unwrap();
    let worker = Worker::new(store).register(Scripted::new(async |_, _| Err(JobError::dead("no"))));
    worker.run_until_idle().await.unwrap();
}

fn runs(count: u64) -> Vec<NewRun> {
    (0..count).map(|number| NewRun::of(&ScriptedInput(number)).unwrap()).collect()
}

async fn listed(store: &Memory, state: RunState) -> Vec<Run> {
    let filter = RunFilter::all().states([state]).limit(100_000);
    store.runs(filter).await.unwrap()
}

#[tokio::test]
async fn ten_thousand_dead_letters_are_replayed_once_each_though_the_replay_is_interrupted() {
    let store = Memory::new();
    dead_letters(&store, runs(10_000)).await;
    let jobs = Jobs::new(&store);

    // Cut off somewhere in the middle, then two at once.
    let most = RunFilter::all().limit(3_000);
    let first = jobs.replay_all(most, Pace::per_second(FAST)).await.unwrap();
    assert_eq!((first.done, first.skipped.len()), (3_000, 0));
    let replay = || jobs.replay_all(RunFilter::default(), Pace::per_second(FAST));
    let (a, b) = tokio::join!(replay(), replay());
    let (a, b) = (a.unwrap(), b.unwrap());

    assert!(a.skipped.is_empty() && b.skipped.is_empty());
    assert!(a.done <= 7_000 && b.done <= 7_000 && a.done + b.done >= 7_000);
    assert!(listed(&store, RunState::Dead).await.is_empty());
    let replays = listed(&store, RunState::Pending).await;
    let originals: HashSet<_> = replays.iter().filter_map(|run| run.replay_of).collect();
    assert_eq!((replays.len(), originals.len()), (10_000, 10_000));
    let again = replay().await.unwrap();
    assert_eq!((again.done, again.skipped.len()), (0, 0));
}

#[tokio::test]
async fn replays_that_die_at_once_are_not_replayed_by_the_same_call() {
    let store = Memory::new();
    dead_letters(&store, runs(500)).await;
    let worker = Worker::new(&store).register(Scripted::new(async |_, _| Err(JobError::dead("still no"))));
    let jobs = Jobs::new(&store);
    let replaying = async { jobs.replay_all(RunFilter::default(), Pace::per_second(5_000)).await.unwrap() };
    let report = {
        let mut report = None;
        worker.run_until(async { report = Some(replaying.await) }).await.unwrap();
        report.unwrap()
    };
    assert_eq!((report.done, report.skipped.len()), (500, 0));

    worker.run_until_idle().await.unwrap();

    let dead = listed(&store, RunState::Dead).await;
    assert_eq!(dead.len(), 500);
    assert!(
        dead.iter().all(|run| run.replay_of.is_some_and(|of| run.root == of && run.id == of.of_replay()))
    );
}

#[tokio::test]
async fn a_taken_unique_key_is_skipped_and_reported_and_the_others_go_on() {
    let store = Memory::new();
    let keyed = |number: u64| NewRun::of(&ScriptedInput(number)).unwrap().unique(format!("order-{number}"));
    let dead: Vec<_> = (0..5).map(keyed).collect();
    let taken = dead[2].id;
    dead_letters(&store, dead).await;
    store.enqueue(vec![keyed(2)]).await.unwrap();

    let report = Jobs::new(&store).replay_all(RunFilter::default(), Pace::per_second(FAST)).await.unwrap();

    assert_eq!((report.done, report.skipped.len()), (4, 1));
    assert_eq!((report.skipped[0].run, report.skipped[0].kind), (taken, ErrorKind::Conflict));
    assert!(report.skipped[0].problem.contains("unique key"), "{}", report.skipped[0].problem);
    assert_eq!(listed(&store, RunState::Dead).await.iter().map(|run| run.id).collect::<Vec<_>>(), [taken]);
}

#[tokio::test]
async fn only_what_the_filter_lists_is_replayed_or_discarded() {
    let store = Memory::new();
    let of = |reference: &str| NewRun::of(&ScriptedInput(1)).unwrap().reference(reference);
    dead_letters(&store, vec![of("a"), of("b"), of("a")]).await;
    let jobs = Jobs::new(&store);
    let filter = |reference: &str| RunFilter::all().reference(reference.to_owned());

    let replayed = jobs.replay_all(filter("a"), Pace::default()).await.unwrap();
    let discarded = jobs.discard_all(filter("b"), Pace::default()).await.unwrap();

    assert_eq!((replayed.done, discarded.done), (2, 1));
    assert!(listed(&store, RunState::Dead).await.is_empty());
    assert_eq!(store.runs(filter("b")).await.unwrap(), []);
}

#[tokio::test]
async fn the_pace_is_kept() {
    let store = Memory::new();
    dead_letters(&store, runs(21)).await;
    let begun = Instant::now();

    Jobs::new(&store).replay_all(RunFilter::default(), Pace::per_second(100)).await.unwrap();

    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_bulk_replay_goes_on_where_calls_fail_before_and_after_their_effect() {
    let memory = Memory::new();
    dead_letters(&memory, runs(60)).await;
    let calls = AtomicU64::new(0);
    let store =
        Unreliable::new(Arc::new(memory.clone()), move |_| match calls.fetch_add(1, Ordering::SeqCst) % 13 {
            2 => Some(Fault::Before),
            7 => Some(Fault::After),
            _ => None,
        });

    let report = Jobs::new(&store).replay_all(RunFilter::default(), Pace::per_second(FAST)).await.unwrap();

    assert_eq!((report.done, report.skipped.len()), (60, 0));
    assert_eq!(listed(&memory, RunState::Pending).await.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_waited_for_and_one_that_stays_away_is_told_with_what_was_done() {
    let memory = Memory::new();
    let calls = Arc::new(AtomicU64::new(0));
    // Away from the eleventh replay on.
    let away_for = |length: Duration| {
        let (calls, begun) = (Arc::clone(&calls), tokio::time::Instant::now());
        calls.store(0, Ordering::SeqCst);
        Unreliable::new(Arc::new(memory.clone()), move |operation| {
            let is_later = operation == "replay" && calls.fetch_add(1, Ordering::SeqCst) >= 10;
            (is_later && begun.elapsed() < length).then_some(Fault::Before)
        })
    };

    dead_letters(&memory, runs(60)).await;
    let store = away_for(Duration::from_secs(20));
    let report = Jobs::new(&store).replay_all(RunFilter::default(), Pace::default()).await.unwrap();
    assert_eq!(report.done, 60);

    let worker = Worker::new(&memory).register(Scripted::new(async |_, _| Err(JobError::dead("no"))));
    worker.run_until_idle().await.unwrap();
    let store = away_for(Duration::from_secs(3_600));
    let error = Jobs::new(&store).replay_all(RunFilter::default(), Pace::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "stopped after 10 done: the store is still unavailable");
}

/// By the clock of the tests: after a stall of ten seconds the runs that it delayed don't go at once.
#[tokio::test(start_paused = true)]
async fn the_pace_is_kept_after_a_stall() {
    let memory = Memory::new();
    dead_letters(&memory, runs(200)).await;
    let calls = AtomicU64::new(0);
    let begun = tokio::time::Instant::now();
    let store = Unreliable::new(Arc::new(memory), move |operation| {
        let is_stalled = operation == "replay"
            && calls.fetch_add(1, Ordering::SeqCst) >= 100
            && begun.elapsed() < Duration::from_secs(10);
        is_stalled.then_some(Fault::Before)
    });

    Jobs::new(&store).replay_all(RunFilter::default(), Pace::per_second(100)).await.unwrap();

    assert!(begun.elapsed() >= Duration::from_millis(10_850), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_run_that_waits_for_its_time_runs_now() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let jobs = Jobs::new(&store);
    let id = jobs.enqueue(ScriptedInput(7)).delay(Duration::from_secs(3_600)).await.unwrap().id();
    let worker = Worker::new(&store).register(Scripted::new(async |_, input| Ok(input)));

    jobs.run_now(id).await.unwrap();
    worker.run_until_idle().await.unwrap();

    assert_eq!(testing::output::<u64>(&store, id).await.unwrap(), 7);
    let error = store.run_now(RunId::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn runs_that_have_not_ended_are_made_due_or_cancelled_in_bulk_and_no_others() {
    let store = Memory::new();
    dead_letters(&store, runs(2)).await;
    let later = runs(300).into_iter().map(|run| run.delay(Duration::from_secs(3_600)));
    store.enqueue(later.collect()).await.unwrap();
    let jobs = Jobs::new(&store);
    let (all, fast) = (RunFilter::default(), Pace::per_second(FAST));
    let of = |state| RunFilter::all().states([state]);

    assert_eq!(jobs.cancel_all(of(RunState::Dead), fast).await.unwrap().done, 0);
    assert_eq!(jobs.replay_all(of(RunState::Pending), fast).await.unwrap().done, 0);
    assert_eq!(jobs.run_all_now(all.clone(), fast).await.unwrap().done, 300);
    let queues = store.queues().await.unwrap();
    assert_eq!((queues[0].due, queues[0].scheduled), (300, 0));

    assert_eq!(jobs.cancel_all(all, fast).await.unwrap().done, 300);
    assert_eq!(listed(&store, RunState::Cancelled).await.len(), 300);
    assert_eq!(listed(&store, RunState::Dead).await.len(), 2);
}

//! Dead letters, and runs that replay them.

use std::sync::Arc;

use riqle_jobs_core::{
    ClaimedRun, ErrorKind, Hint, NewRun, Priority, Replay, ReplayFrom, Run, RunFilter, RunId, RunState,
    StepPath, Store, UniqueScope, store::JobCount,
};

use crate::{Harness, given::*};

/// A dead letter that has saved the steps `fetch`, `pay`, `7/fetch`, `mail`, a millisecond apart.
async fn dead_letter(harness: &dyn Harness, run: NewRun) -> RunId {
    let store = harness.store();
    let id = enqueued(&*store, run).await;
    let claim = claimed(&*store).await;
    for path in ["fetch", "pay", "7/fetch", "mail"] {
        saved(&*store, step(&claim, path, &format!("\"{path}\""))).await;
        harness.clock().advance(ms(1));
    }
    settled(&*store, dies(&claim)).await;
    id
}

async fn replayed(store: &Arc<dyn Store>, id: RunId, from: ReplayFrom) -> RunId {
    let new_run = RunId::new();
    store.replay(id, new_run, from.into()).await.unwrap();
    new_run
}

fn step_names(run: &ClaimedRun) -> Vec<&str> {
    run.steps.iter().map(|step| step.path.as_str()).collect()
}

async fn dead_ids(store: &dyn Store) -> Vec<RunId> {
    let filter = RunFilter::dead();
    store.runs(filter).await.unwrap().iter().map(|run| run.id).collect()
}

pub async fn a_replay_is_a_new_run_with_the_same_input_and_no_failures(harness: &dyn Harness) {
    let store = harness.store();
    let mut run = run_of(GREET).priority(Priority::HIGH).reference("user-7").delay(secs(1));
    run.event_id = Some("evt_1".to_owned());
    run.tick = Some(tick());
    run.trace = trace();
    harness.clock().advance(secs(1));
    let original = dead_letter(harness, NewRun { due: riqle_jobs_core::Due::Now, ..run }).await;
    harness.clock().advance(secs(8));

    let new_run = replayed(&store, original, ReplayFrom::FailedStep).await;

    let expected = Run {
        id: new_run,
        job: "greet".to_owned(),
        queue: "mail".to_owned(),
        priority: Priority::HIGH,
        state: RunState::Pending,
        reason: None,
        input: json(r#"{"name":"Ada"}"#),
        output: None,
        failures: 0,
        crashes: 0,
        enqueued_at: at(9004),
        due_at: at(9004),
        ended_at: None,
        holder: None,
        attempts: vec![],
        error_fingerprint: None,
        root: original,
        replay_of: Some(original),
        replayed_by: None,
        unique_key: None,
        reference: Some("user-7".to_owned()),
        event_id: Some("evt_1".to_owned()),
        tick: Some(tick()),
        trace: trace(),
    };
    assert_eq!(seen(&*harness.second_handle().await, new_run).await, expected);
}

pub async fn a_replay_from_the_failed_step_keeps_every_saved_step(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET)).await;

    let new_run = replayed(&store, original, ReplayFrom::FailedStep).await;

    let claim = claimed(&*store).await;
    assert_eq!((claim.lease.run, claim.replay_of, claim.root), (new_run, Some(original), original));
    assert_eq!(step_names(&claim), ["fetch", "pay", "7/fetch", "mail"]);
    assert_eq!(claim.steps, store.steps(original).await.unwrap());
    assert_eq!(claim.steps, store.steps(new_run).await.unwrap());
}

pub async fn a_replay_from_the_start_keeps_no_step(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET)).await;

    let new_run = replayed(&store, original, ReplayFrom::Start).await;

    let claim = claimed(&*store).await;
    assert_eq!((claim.lease.run, claim.root, claim.steps), (new_run, original, vec![]));
    assert_eq!(store.steps(original).await.unwrap().len(), 4);
}

pub async fn a_replay_from_a_step_keeps_those_before_it(harness: &dyn Harness) {
    let store = harness.store();
    for (from, kept) in [
        ("fetch", vec![]),
        ("pay", vec!["fetch"]),
        ("7/fetch", vec!["fetch", "pay"]),
        ("mail", vec!["fetch", "pay", "7/fetch"]),
        ("never-reached", vec!["fetch", "pay", "7/fetch", "mail"]),
    ] {
        let original = dead_letter(harness, run_of(GREET)).await;
        replayed(&store, original, ReplayFrom::Step(StepPath::from_stored(from))).await;

        assert_eq!(step_names(&claimed(&*store).await), kept, "from {from}");
    }
}

pub async fn a_replayed_run_leaves_the_dead_letters(harness: &dyn Harness) {
    let store = harness.store();
    let kept = dead_letter(harness, run_of(GREET)).await;
    let original = dead_letter(harness, run_of(GREET)).await;
    assert_eq!(dead_ids(&*store).await, [original, kept]);

    let new_run = replayed(&store, original, ReplayFrom::FailedStep).await;

    assert_eq!(dead_ids(&*store).await, [kept]);
    let count = |state| JobCount { job: "greet".to_owned(), state, runs: 1 };
    assert_eq!(store.counts().await.unwrap(), [count(RunState::Pending), count(RunState::Dead)]);
    let run = seen(&*store, original).await;
    assert_eq!((run.state, run.replayed_by, run.attempts.len()), (RunState::Dead, Some(new_run), 1));
    let all = store.runs(RunFilter::default()).await.unwrap();
    assert_eq!(all.iter().map(|run| run.id).collect::<Vec<_>>(), [new_run, original, kept]);
}

pub async fn a_replay_repeated_changes_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET)).await;
    let new_run = replayed(&store, original, ReplayFrom::FailedStep).await;
    let claim = claimed(&*store).await;
    harness.clock().advance(secs(1));

    store.replay(original, new_run, ReplayFrom::FailedStep.into()).await.unwrap();
    store.replay(original, new_run, ReplayFrom::Start.into()).await.unwrap();

    let run = seen(&*store, new_run).await;
    assert_eq!((run.state, run.enqueued_at), (RunState::Running, at(4)));
    assert_eq!(store.steps(new_run).await.unwrap(), claim.steps);
}

pub async fn a_run_is_replayed_by_one_run_only(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET)).await;
    let new_run = replayed(&store, original, ReplayFrom::FailedStep).await;
    let second = RunId::new();

    let error = store.replay(original, second, ReplayFrom::Start.into()).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(store.run(second).await.unwrap(), None);
    assert_eq!(seen(&*store, original).await.replayed_by, Some(new_run));
}

pub async fn of_many_replays_at_once_one_is_stored(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await];
    let original = dead_letter(harness, run_of(GREET)).await;

    let replays = at_once(8, |number| {
        let store = handles[number % 2].clone();
        async move {
            let new_run = RunId::new();
            let answer = store.replay(original, new_run, ReplayFrom::FailedStep.into()).await;
            (new_run, answer.map_err(|error| error.kind()))
        }
    })
    .await;

    let winners: Vec<_> = replays.iter().filter(|(_, answer)| answer.is_ok()).map(|(id, _)| *id).collect();
    assert_eq!(winners.len(), 1);
    assert!(replays.iter().all(|(_, answer)| matches!(answer, Ok(()) | Err(ErrorKind::Rejected))));
    assert_eq!(seen(&*handles[0], original).await.replayed_by, Some(winners[0]));
    assert_eq!(claimed_ids(&*handles[0], &[GREET]).await, winners);
}

pub async fn the_root_is_kept_over_a_line_of_replays(harness: &dyn Harness) {
    let store = harness.store();
    let first = dead_letter(harness, run_of(GREET)).await;

    let second = replayed(&store, first, ReplayFrom::FailedStep).await;
    let claim = claimed(&*store).await;
    saved(&*store, step(&claim, "report", "1")).await;
    settled(&*store, dies(&claim)).await;
    let third = replayed(&store, second, ReplayFrom::FailedStep).await;

    let claim = claimed(&*store).await;
    assert_eq!((claim.lease.run, claim.replay_of, claim.root), (third, Some(second), first));
    let steps = ["fetch", "pay", "7/fetch", "mail", "report"];
    assert_eq!(step_names(&claim), steps);
    assert_eq!(seen(&*store, second).await.root, first);
    assert!(dead_ids(&*store).await.is_empty());
}

pub async fn a_cancelled_run_can_be_replayed(harness: &dyn Harness) {
    let store = harness.store();
    let original = enqueued(&*store, run_of(GREET).delay(secs(60))).await;
    store.cancel(original).await.unwrap();

    let new_run = replayed(&store, original, ReplayFrom::FailedStep).await;

    assert_eq!(claimed_ids(&*store, &[GREET]).await, [new_run]);
    let run = seen(&*store, original).await;
    assert_eq!((run.state, run.replayed_by), (RunState::Cancelled, Some(new_run)));
    let error = store.replay(original, RunId::new(), ReplayFrom::Start.into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
}

pub async fn what_has_not_ended_or_has_succeeded_is_not_replayed(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let kind = async || {
        let new_run = RunId::new();
        let error = store.replay(id, new_run, ReplayFrom::FailedStep.into()).await.unwrap_err();
        assert_eq!(store.run(new_run).await.unwrap(), None);
        error.kind()
    };

    assert_eq!(kind().await, ErrorKind::Rejected, "pending");
    let claim = claimed(&*store).await;
    assert_eq!(kind().await, ErrorKind::Rejected, "running");
    settled(&*store, succeeds(&claim)).await;
    assert_eq!(kind().await, ErrorKind::Rejected, "succeeded");
    let error = store.replay(RunId::new(), RunId::new(), ReplayFrom::Start.into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

pub async fn a_replay_takes_its_unique_key_again(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET).unique("greet:ada")).await;

    let new_run = replayed(&store, original, ReplayFrom::FailedStep).await;

    let again = store.enqueue(vec![run_of(GREET).unique("greet:ada")]).await.unwrap();
    assert_eq!(again[0].id(), new_run);
    assert_eq!(seen(&*store, new_run).await.unique_key.as_deref(), Some("greet:ada"));
    settled(&*store, succeeds(&claimed(&*store).await)).await;
    enqueued(&*store, run_of(GREET).unique("greet:ada")).await;
}

pub async fn a_replay_whose_unique_key_is_taken_is_a_conflict(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET).unique("greet:ada")).await;
    let holder = enqueued(&*store, run_of(GREET).unique("greet:ada")).await;
    let new_run = RunId::new();

    let error = store.replay(original, new_run, ReplayFrom::FailedStep.into()).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(store.run(new_run).await.unwrap(), None);
    assert_eq!(dead_ids(&*store).await, [original]);
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [holder]);
}

pub async fn a_replay_takes_its_key_for_a_fresh_period(harness: &dyn Harness) {
    let store = harness.store();
    let keyed = || run_of(GREET).unique_within("greet:ada", UniqueScope::Period(secs(100)));
    let original = dead_letter(harness, keyed()).await;
    harness.clock().set(at(60_000));

    let new_run = replayed(&store, original, ReplayFrom::FailedStep).await;

    harness.clock().set(at(159_999));
    assert_eq!(store.enqueue(vec![keyed()]).await.unwrap()[0].id(), new_run);
    harness.clock().set(at(160_000));
    enqueued(&*store, keyed()).await;
}

pub async fn a_replay_wakes_waiting_workers(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET)).await;
    let mut wake_ups = store.wake_ups();

    replayed(&store, original, ReplayFrom::FailedStep).await;

    let hint = wake_ups.next().await;
    assert!(hint == Hint::Due(Some("mail".to_owned())) || hint == Hint::Due(None), "{hint:?}");
}

pub async fn a_discarded_dead_letter_is_gone(harness: &dyn Harness) {
    let store = harness.store();
    let kept = dead_letter(harness, run_of(GREET)).await;
    let gone = dead_letter(harness, run_of(GREET)).await;

    store.discard(gone).await.unwrap();
    store.discard(gone).await.unwrap();
    store.discard(RunId::new()).await.unwrap();

    assert_eq!(store.run(gone).await.unwrap(), None);
    assert_eq!(store.steps(gone).await.unwrap(), []);
    assert_eq!(dead_ids(&*store).await, [kept]);
    assert_eq!(store.steps(kept).await.unwrap().len(), 4);
}

pub async fn only_dead_letters_are_discarded(harness: &dyn Harness) {
    let store = harness.store();
    let replayed_one = dead_letter(harness, run_of(GREET)).await;
    let pending = replayed(&store, replayed_one, ReplayFrom::Start).await;
    let kind = async |id| store.discard(id).await.unwrap_err().kind();

    assert_eq!(kind(replayed_one).await, ErrorKind::Rejected, "replayed");
    assert_eq!(kind(pending).await, ErrorKind::Rejected, "pending");
    let claim = claimed(&*store).await;
    assert_eq!(kind(pending).await, ErrorKind::Rejected, "running");
    settled(&*store, succeeds(&claim)).await;
    assert_eq!(kind(pending).await, ErrorKind::Rejected, "succeeded");
    let cancelled = enqueued(&*store, run_of(GREET)).await;
    store.cancel(cancelled).await.unwrap();
    assert_eq!(kind(cancelled).await, ErrorKind::Rejected, "cancelled");
    for id in [replayed_one, pending, cancelled] {
        assert!(store.run(id).await.unwrap().is_some());
    }
}

pub async fn f11_a_replay_may_have_an_edited_input(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET).unique("greet:ada")).await;
    let new_run = RunId::new();
    let replay =
        Replay::from(ReplayFrom::Step(StepPath::from_stored("pay"))).with_input(json(r#"{"name":"Eve"}"#));

    store.replay(original, new_run, replay).await.unwrap();

    assert_eq!(seen(&*store, original).await.input, json(r#"{"name":"Ada"}"#));
    assert_eq!(seen(&*store, new_run).await.input, json(r#"{"name":"Eve"}"#));
    // The key belongs to the new run with its new input.
    let ada = store.enqueue(vec![run_of(GREET).unique("greet:ada")]).await.unwrap_err();
    assert_eq!(ada.kind(), ErrorKind::Conflict);
    let eve = NewRun::named(GREET, json(r#"{"name":"Eve"}"#)).queue(QUEUE);
    assert_eq!(store.enqueue(vec![eve.unique("greet:ada")]).await.unwrap()[0].id(), new_run);
    let claim = claimed(&*store).await;
    assert_eq!((claim.lease.run, step_names(&claim)), (new_run, vec!["fetch"]));
    assert_eq!(claim.input, json(r#"{"name":"Eve"}"#));
}

pub async fn f14_an_edited_input_over_the_limit_is_refused(harness: &dyn Harness) {
    let store = harness.store();
    let original = dead_letter(harness, run_of(GREET)).await;
    let new_run = RunId::new();
    let too_large = json(&"x".repeat(store.limits().input_bytes + 1));

    let replay = Replay::from(ReplayFrom::Start).with_input(too_large);
    let error = store.replay(original, new_run, replay).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.message().contains("1048577") && error.message().contains("1048576"), "{error}");
    assert_eq!(store.run(new_run).await.unwrap(), None);
    assert_eq!(dead_ids(&*store).await, [original]);
}

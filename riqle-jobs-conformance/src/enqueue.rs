//! Storing runs.

use jiff::Timestamp;
use riqle_jobs_core::{
    Enqueued, Hint, NewRun, Priority, Replay, Run, RunFilter, RunId, RunState, UniqueScope,
};

use crate::{Harness, given::*};

pub async fn a_run_is_stored_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    let mut run = run_of(GREET)
        .delay(secs(5))
        .priority(Priority::HIGH)
        .unique_within("greet:ada", UniqueScope::WhileNotEnded)
        .reference("user-7");
    run.event_id = Some("evt_1".to_owned());
    run.tick = Some(tick());
    run.trace = trace();
    let id = run.id;

    let answer = store.enqueue(vec![run]).await.unwrap();

    assert_eq!(answer, [Enqueued::New(id)]);
    let expected = Run {
        id,
        job: "greet".to_owned(),
        queue: "mail".to_owned(),
        priority: Priority::HIGH,
        state: RunState::Pending,
        reason: None,
        input: json(r#"{"name":"Ada"}"#),
        output: None,
        failures: 0,
        crashes: 0,
        enqueued_at: at(0),
        due_at: at(5000),
        ended_at: None,
        holder: None,
        attempts: vec![],
        error_fingerprint: None,
        root: id,
        replay_of: None,
        replayed_by: None,
        unique_key: Some("greet:ada".to_owned()),
        reference: Some("user-7".to_owned()),
        event_id: Some("evt_1".to_owned()),
        tick: Some(tick()),
        trace: trace(),
    };
    assert_eq!(harness.second_handle().await.run(id).await.unwrap(), Some(expected));
    assert_eq!(store.run(RunId::new()).await.unwrap(), None);
}

pub async fn a_run_keeps_its_trace_however_it_ends(harness: &dyn Harness) {
    let store = harness.store();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(enqueued(&*store, NewRun { trace: trace(), ..run_of(GREET) }).await);
    }
    let claims = store.claim(claim_of(&[GREET], 2)).await.unwrap().runs;

    settled(&*store, succeeds(&claims[0])).await;
    settled(&*store, dies(&claims[1])).await;
    store.cancel(ids[2]).await.unwrap();
    store.replay(ids[1], RunId::new(), Replay::default()).await.unwrap();

    let runs = store.runs(RunFilter::all()).await.unwrap();
    assert_eq!(runs.into_iter().map(|run| run.trace).collect::<Vec<_>>(), vec![trace(); 4]);
}

pub async fn a_group_is_answered_in_its_order(harness: &dyn Harness) {
    let store = harness.store();
    let known = run_of(GREET);
    enqueued(&*store, known.clone()).await;
    let (first, second) = (run_of(GREET), run_of("bill"));
    let (first_id, second_id) = (first.id, second.id);

    let answers = store.enqueue(vec![second, known.clone(), first]).await.unwrap();

    let expected = [Enqueued::New(second_id), Enqueued::Existing(known.id), Enqueued::New(first_id)];
    assert_eq!(answers, expected);
    assert_eq!(seen(&*store, first_id).await.job, "greet");
    assert_eq!(seen(&*store, second_id).await.job, "bill");
}

pub async fn an_empty_group_is_fine(harness: &dyn Harness) {
    assert_eq!(harness.store().enqueue(vec![]).await.unwrap(), []);
}

pub async fn the_same_id_again_answers_existing(harness: &dyn Harness) {
    let (store, other) = (harness.store(), harness.second_handle().await);
    let run = run_of(GREET);
    enqueued(&*store, run.clone()).await;
    harness.clock().advance(secs(1));

    let answer = other.enqueue(vec![run.clone()]).await.unwrap();

    assert_eq!(answer, [Enqueued::Existing(run.id)]);
    assert_eq!(seen(&*store, run.id).await.enqueued_at, at(0));
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [run.id]);
}

pub async fn the_same_id_twice_in_a_group_is_stored_once(harness: &dyn Harness) {
    let store = harness.store();
    let run = run_of(GREET);

    let answers = store.enqueue(vec![run.clone(), run.clone()]).await.unwrap();

    assert_eq!(answers, [Enqueued::New(run.id), Enqueued::Existing(run.id)]);
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [run.id]);
}

pub async fn an_id_that_has_ended_starts_nothing_again(harness: &dyn Harness) {
    let store = harness.store();
    let run = run_of(GREET);
    enqueued(&*store, run.clone()).await;
    settled(&*store, succeeds(&claimed(&*store).await)).await;

    let answer = store.enqueue(vec![run.clone()]).await.unwrap();

    assert_eq!(answer, [Enqueued::Existing(run.id)]);
    assert_eq!(seen(&*store, run.id).await.state, RunState::Succeeded);
    assert!(claimed_ids(&*store, &[GREET]).await.is_empty());
}

pub async fn a_delay_counts_from_the_time_of_the_store(harness: &dyn Harness) {
    let store = harness.store();
    harness.clock().advance(secs(60));

    let id = enqueued(&*store, run_of(GREET).delay(ms(1500))).await;

    let run = seen(&*store, id).await;
    assert_eq!((run.enqueued_at, run.due_at), (at(60_000), at(61_500)));
}

pub async fn a_due_time_is_kept_to_the_millisecond(harness: &dyn Harness) {
    let store = harness.store();
    let time: Timestamp = "2026-01-01T00:00:01.234567Z".parse().unwrap();

    let id = enqueued(&*store, run_of(GREET).at(time)).await;

    assert_eq!(seen(&*store, id).await.due_at, at(1234));
}

pub async fn a_waiting_worker_is_woken(harness: &dyn Harness) {
    let store = harness.store();
    let mut wake_ups = store.wake_ups();

    enqueued(&*store, run_of(GREET)).await;

    let hint = wake_ups.next().await;
    assert!(hint == Hint::Due(Some("mail".to_owned())) || hint == Hint::Due(None), "{hint:?}");
}

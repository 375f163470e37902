//! Keys that one run of a job holds at a time.

use std::time::Duration;

use riqle_jobs_core::{Enqueued, ErrorKind, NewRun, OtherInput, RunId, RunState, UniqueScope};

use crate::{Harness, given::*};

fn keyed(scope: UniqueScope) -> NewRun {
    run_of(GREET).unique_within("greet:ada", scope)
}

fn with_input(run: NewRun, text: &str) -> NewRun {
    let input = json(text);
    NewRun { fingerprint: input.fingerprint(), input, ..run }
}

/// What a further run with the key is answered.
async fn answer(harness: &dyn Harness, run: NewRun) -> Enqueued {
    harness.store().enqueue(vec![run]).await.unwrap()[0]
}

async fn is_free(harness: &dyn Harness, scope: UniqueScope) {
    let run = keyed(scope);
    assert_eq!(answer(harness, run.clone()).await, Enqueued::New(run.id), "the key is free");
}

async fn is_taken(harness: &dyn Harness, scope: UniqueScope, by: RunId) {
    assert_eq!(answer(harness, keyed(scope)).await, Enqueued::Existing(by), "the key is taken");
}

pub async fn a_taken_key_answers_with_its_run(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, run_of(GREET).unique("greet:ada")).await;
    let second = run_of(GREET).unique("greet:ada");

    let answer = harness.second_handle().await.enqueue(vec![second.clone()]).await.unwrap();

    assert_eq!(answer, [Enqueued::Existing(first)]);
    assert_eq!(store.run(second.id).await.unwrap(), None);
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [first]);
}

pub async fn a_key_belongs_to_one_job(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET).unique("user-7")).await;

    enqueued(&*store, run_of("bill").unique("user-7")).await;
    enqueued(&*store, run_of(GREET).unique("USER-7")).await;
}

pub async fn while_pending_a_key_is_free_from_the_first_claim(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, keyed(UniqueScope::WhilePending)).await;
    is_taken(harness, UniqueScope::WhilePending, first).await;

    let claim = claimed(&*store).await;

    let second = keyed(UniqueScope::WhilePending);
    assert_eq!(answer(harness, second.clone()).await, Enqueued::New(second.id));
    // The first one's retry, and its end, leave the key to the second.
    settled(&*store, fails(&claim, Duration::ZERO)).await;
    is_taken(harness, UniqueScope::WhilePending, second.id).await;
    let runs = store.claim(claim_of(&[GREET], 1)).await.unwrap().runs;
    assert_eq!(runs[0].lease.run, first);
    settled(&*store, succeeds(&runs[0])).await;
    is_taken(harness, UniqueScope::WhilePending, second.id).await;
}

pub async fn while_pending_a_key_is_free_once_its_run_is_cancelled(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, keyed(UniqueScope::WhilePending)).await;

    store.cancel(first).await.unwrap();

    is_free(harness, UniqueScope::WhilePending).await;
}

pub async fn while_not_ended_a_key_is_taken_through_retries_and_crashes(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, keyed(UniqueScope::WhileNotEnded)).await;
    let claim = claimed(&*store).await;
    is_taken(harness, UniqueScope::WhileNotEnded, first).await;
    settled(&*store, fails(&claim, secs(60))).await;
    is_taken(harness, UniqueScope::WhileNotEnded, first).await;
    harness.clock().advance(secs(60));
    claimed(&*store).await;
    harness.clock().advance(LEASE);
    is_taken(harness, UniqueScope::WhileNotEnded, first).await;

    settled(&*store, succeeds(&claimed(&*store).await)).await;

    is_free(harness, UniqueScope::WhileNotEnded).await;
}

pub async fn while_not_ended_a_key_is_free_once_its_run_is_dead_or_cancelled(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, keyed(UniqueScope::WhileNotEnded)).await;
    settled(&*store, dies(&claimed(&*store).await)).await;

    let second = enqueued(&*store, keyed(UniqueScope::WhileNotEnded)).await;
    store.cancel(second).await.unwrap();

    is_free(harness, UniqueScope::WhileNotEnded).await;
}

pub async fn a_period_runs_from_the_enqueue_to_the_millisecond(harness: &dyn Harness) {
    let store = harness.store();
    let period = UniqueScope::Period(secs(3600));
    harness.clock().advance(secs(10));
    let first = enqueued(&*store, keyed(period).delay(secs(7200))).await;

    harness.clock().advance(ms(3_599_999));
    is_taken(harness, period, first).await;
    harness.clock().advance(ms(1));
    is_free(harness, period).await;
}

pub async fn a_period_outlasts_its_run(harness: &dyn Harness) {
    let store = harness.store();
    let period = UniqueScope::Period(secs(3600));
    let first = enqueued(&*store, keyed(period)).await;

    settled(&*store, dies(&claimed(&*store).await)).await;
    is_taken(harness, period, first).await;
    store.discard(first).await.unwrap();
    is_taken(harness, period, first).await;
    assert_eq!(store.run(first).await.unwrap(), None);
}

pub async fn the_end_of_an_old_run_leaves_the_key_to_a_later_one(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, keyed(UniqueScope::Period(secs(10)))).await;
    let old = claimed(&*store).await;
    harness.clock().advance(secs(10));
    let later = enqueued(&*store, keyed(UniqueScope::WhileNotEnded)).await;

    settled(&*store, succeeds(&old)).await;

    is_taken(harness, UniqueScope::WhileNotEnded, later).await;
}

pub async fn a_taken_key_with_another_input_is_a_conflict(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, keyed(UniqueScope::WhileNotEnded)).await;
    let other = with_input(keyed(UniqueScope::WhileNotEnded), r#"{"name":"Grace"}"#);

    let error = store.enqueue(vec![other.clone()]).await.unwrap_err();

    assert_eq!((error.kind(), error.index()), (ErrorKind::Conflict, Some(0)));
    assert_eq!(store.run(other.id).await.unwrap(), None);
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [first]);
}

pub async fn another_input_is_ignored_where_the_run_says_so(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, keyed(UniqueScope::WhileNotEnded)).await;
    let mut other = with_input(keyed(UniqueScope::WhileNotEnded), r#"{"name":"Grace"}"#);
    other.unique.as_mut().expect("it has a key").other_input = OtherInput::IsIgnored;

    assert_eq!(store.enqueue(vec![other]).await.unwrap(), [Enqueued::Existing(first)]);
    assert_eq!(seen(&*store, first).await.input, json(r#"{"name":"Ada"}"#));
}

pub async fn a_conflict_names_its_index_and_nothing_of_the_group_is_stored(harness: &dyn Harness) {
    let store = harness.store();
    let holder = enqueued(&*store, keyed(UniqueScope::WhileNotEnded)).await;
    let (before, after) = (run_of(GREET).unique("greet:before"), run_of(GREET));
    let conflict = with_input(keyed(UniqueScope::WhileNotEnded), "7");

    let group = vec![before.clone(), keyed(UniqueScope::WhileNotEnded), conflict, after];
    let error = store.enqueue(group).await.unwrap_err();

    assert_eq!((error.kind(), error.index()), (ErrorKind::Conflict, Some(2)));
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [holder]);
    let key = before.unique.clone();
    assert_eq!(answer(harness, before.clone()).await, Enqueued::New(before.id), "{key:?} is free");
}

pub async fn within_a_group_the_first_takes_the_key(harness: &dyn Harness) {
    let store = harness.store();
    let (first, second) = (keyed(UniqueScope::WhileNotEnded), keyed(UniqueScope::WhileNotEnded));

    let answers = store.enqueue(vec![first.clone(), second]).await.unwrap();

    assert_eq!(answers, [Enqueued::New(first.id), Enqueued::Existing(first.id)]);
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [first.id]);
}

pub async fn within_a_group_another_input_is_a_conflict(harness: &dyn Harness) {
    let store = harness.store();
    let first = keyed(UniqueScope::WhileNotEnded);
    let second = with_input(keyed(UniqueScope::WhileNotEnded), "7");

    let error = store.enqueue(vec![first.clone(), second]).await.unwrap_err();

    assert_eq!((error.kind(), error.index()), (ErrorKind::Conflict, Some(1)));
    assert_eq!(store.run(first.id).await.unwrap(), None);
}

pub async fn of_many_callers_at_once_one_takes_the_key(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await, harness.second_handle().await];

    let answers = at_once(24, |number| {
        let store = handles[number % handles.len()].clone();
        async move { store.enqueue(vec![keyed(UniqueScope::WhileNotEnded)]).await.unwrap()[0] }
    })
    .await;

    let winners: Vec<_> = answers.iter().filter(|answer| answer.is_new()).collect();
    assert_eq!(winners.len(), 1);
    assert!(answers.iter().all(|answer| answer.id() == winners[0].id()));
    assert_eq!(claimed_ids(&*handles[0], &[GREET]).await, [winners[0].id()]);
    assert_eq!(seen(&*handles[0], winners[0].id()).await.state, RunState::Running);
}

pub async fn a_caller_that_fails_leaves_others_at_the_same_time_alone(harness: &dyn Harness) {
    let store = harness.store();
    let holder = enqueued(&*store, keyed(UniqueScope::WhileNotEnded)).await;

    let answers = at_once(24, |number| {
        let store = store.clone();
        async move {
            let run = match number % 3 {
                0 => with_input(keyed(UniqueScope::WhileNotEnded), "7"),
                1 => run_of(""),
                _ => run_of(GREET),
            };
            store.enqueue(vec![run]).await.map_err(|error| (error.kind(), error.index()))
        }
    })
    .await;

    for (number, answer) in answers.iter().enumerate() {
        match number % 3 {
            0 => assert_eq!(*answer, Err((ErrorKind::Conflict, Some(0)))),
            1 => assert_eq!(*answer, Err((ErrorKind::Rejected, Some(0)))),
            _ => assert!(answer.as_ref().is_ok_and(|answers| answers[0].is_new())),
        }
    }
    let runs = claimed_ids(&*store, &[GREET]).await;
    assert_eq!((runs.len(), runs[0]), (9, holder));
}

pub async fn f55_the_same_input_written_otherwise_is_the_same_input(harness: &dyn Harness) {
    let store = harness.store();
    let input = |text: &str| NewRun::named(GREET, json(text)).queue("mail").unique("greet:ada");
    let first = enqueued(&*store, input(r#"{"name":"Ada","prices":[1,2.50]}"#)).await;

    let other = input(r#"{ "prices": [1, 25e-1], "name": "\u0041da" }"#);
    assert_eq!(answer(harness, other).await, Enqueued::Existing(first));

    for other in [r#"{"name":"Ada","prices":[2.5,1]}"#, r#"{"name":"Ada","prices":[1,2.51]}"#] {
        let refused = store.enqueue(vec![input(other)]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{other}");
    }
}

//! Recording how claims ended.

use std::time::Duration;

use riqle_jobs_core::{AttemptOutcome, Ending, LeaseAnswer, Reason, RunState, Settlement};

use crate::{Harness, given::*};

pub async fn a_succeeded_run_keeps_its_output(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    harness.clock().advance(ms(1200));

    settled(&*store, succeeds(&claim)).await;

    let run = seen(&*harness.second_handle().await, id).await;
    assert_eq!((run.state, run.reason), (RunState::Succeeded, Some(Reason::Completed)));
    assert_eq!((run.output, run.ended_at), (Some(json(r#""hello""#)), Some(at(1200))));
    assert_eq!((run.holder, run.failures, run.crashes), (None, 0, 0));
    assert_eq!((run.due_at, run.input), (at(0), json(r#"{"name":"Ada"}"#)));
}

pub async fn an_ended_run_is_not_claimed_again(harness: &dyn Harness) {
    let store = harness.store();
    for _ in 0..3 {
        enqueued(&*store, run_of(GREET)).await;
    }
    let runs = store.claim(claim_of(&[GREET], 3)).await.unwrap().runs;
    let cancelled = Settlement {
        ending: Ending::Cancelled { reason: Reason::CancelledByBody },
        outcome: AttemptOutcome::Cancelled,
        ..succeeds(&runs[2])
    };
    store.settle(vec![succeeds(&runs[0]), dies(&runs[1]), cancelled]).await.unwrap();
    harness.clock().advance(secs(1000));

    let claim = store.claim(claim_of(&[GREET], 10)).await.unwrap();

    assert_eq!((claim.runs.len(), claim.next_due), (0, None));
}

pub async fn a_repeated_settle_answers_done_and_changes_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    settled(&*store, succeeds(&claim)).await;
    let before = seen(&*store, id).await;
    harness.clock().advance(secs(1));

    settled(&*store, succeeds(&claim)).await;
    settled(&*harness.second_handle().await, dies(&claim)).await;

    assert_eq!(seen(&*store, id).await, before);
}

pub async fn a_wait_of_any_length_is_kept(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    settled(&*store, fails(&claim, Duration::MAX)).await;

    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.failures, run.crashes), (RunState::Pending, 1, 0));
    assert!(run.due_at > at(1_000_000_000_000), "due at {}", run.due_at);
    assert!(store.claim(claim_of(&[GREET], 1)).await.unwrap().runs.is_empty());
}

pub async fn a_retry_that_is_settled_twice_fails_once(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    settled(&*store, fails(&claim, secs(4))).await;
    harness.clock().advance(secs(1));

    settled(&*store, fails(&claim, secs(4))).await;

    let run = seen(&*store, id).await;
    assert_eq!((run.failures, run.due_at, run.attempts.len()), (1, at(4000), 1));
}

pub async fn one_stale_settlement_leaves_its_neighbours_alone(harness: &dyn Harness) {
    let store = harness.store();
    for _ in 0..3 {
        enqueued(&*store, run_of(GREET)).await;
    }
    let old = store.claim(claim_of(&[GREET], 1)).await.unwrap().runs;
    harness.clock().advance(LEASE);
    let runs = store.claim(claim_of(&[GREET], 3)).await.unwrap().runs;
    assert_eq!(runs[0].lease.run, old[0].lease.run);

    let batch = vec![succeeds(&runs[1]), succeeds(&old[0]), fails(&runs[2], secs(1))];
    let answers = store.settle(batch).await.unwrap();

    assert_eq!(answers, [LeaseAnswer::Done, LeaseAnswer::LeaseLost, LeaseAnswer::Done]);
    let mut states = vec![];
    for run in &runs {
        states.push(seen(&*store, run.lease.run).await.state);
    }
    assert_eq!(states, [RunState::Running, RunState::Succeeded, RunState::Pending]);
}

pub async fn the_same_settlement_twice_in_a_batch_applies_once(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    let answers = store.settle(vec![fails(&claim, secs(1)), fails(&claim, secs(1))]).await.unwrap();

    assert_eq!(answers, [LeaseAnswer::Done, LeaseAnswer::Done]);
    assert_eq!(seen(&*store, id).await.attempts.len(), 1);
}

pub async fn a_dead_run_keeps_its_reason_and_error(harness: &dyn Harness) {
    let store = harness.store();
    for reason in [
        Reason::RetriesExhausted,
        Reason::Permanent,
        Reason::InputUnreadable,
        Reason::Crashes,
        Reason::Refused,
    ] {
        let id = enqueued(&*store, run_of(GREET)).await;
        let claim = claimed(&*store).await;

        settled(&*store, Settlement { ending: Ending::Dead { reason }, ..dies(&claim) }).await;

        let run = seen(&*store, id).await;
        assert_eq!((run.state, run.reason, run.error()), (RunState::Dead, Some(reason), Some("no answer")));
        assert_eq!((run.ended_at, run.failures, run.output), (Some(at(0)), 1, None));
    }
}

pub async fn a_body_may_cancel_its_run(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    let settlement = Settlement {
        ending: Ending::Cancelled { reason: Reason::CancelledByBody },
        outcome: AttemptOutcome::Cancelled,
        error: Some("no longer wanted".to_owned()),
        ..succeeds(&claim)
    };
    settled(&*store, settlement).await;

    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.reason), (RunState::Cancelled, Some(Reason::CancelledByBody)));
    assert_eq!((run.ended_at, run.error()), (Some(at(0)), Some("no longer wanted")));
    assert_eq!(run.attempts[0].outcome, AttemptOutcome::Cancelled);
}

pub async fn empty_batches_are_fine(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.settle(vec![]).await.unwrap(), []);
    assert_eq!(store.save_steps(vec![]).await.unwrap(), []);
    assert_eq!(store.extend(vec![], LEASE).await.unwrap(), []);
}

pub async fn f08_settle_and_takeover_race_with_one_winner(harness: &dyn Harness) {
    let (store, other) = (harness.store(), harness.second_handle().await);
    for _ in 0..20 {
        let id = enqueued(&*store, run_of(GREET)).await;
        let old = claimed(&*store).await;
        harness.clock().advance(LEASE);

        let (first, second, settlement) = (store.clone(), other.clone(), succeeds(&old));
        let (settled, taken_over) = race(async move { first.settle(vec![settlement]).await }, async move {
            second.claim(claim_of(&[GREET], 1)).await
        })
        .await;

        let (settled, taken_over) = (settled.unwrap(), taken_over.unwrap().runs);
        let run = seen(&*store, id).await;
        match taken_over.as_slice() {
            [] => {
                assert_eq!((settled, run.state), (vec![LeaseAnswer::Done], RunState::Succeeded));
                assert_eq!(run.crashes, 0);
            }
            [new] => {
                assert_eq!((settled, run.state), (vec![LeaseAnswer::LeaseLost], RunState::Running));
                assert_eq!((run.crashes, run.output), (1, None));
                assert_eq!(store.settle(vec![succeeds(new)]).await.unwrap(), [LeaseAnswer::Done]);
            }
            more => panic!("one run was given {} times", more.len()),
        }
    }
}

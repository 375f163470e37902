//! Ending runs on an operator's word.

use riqle_jobs_core::{ErrorKind, Hint, LeaseAnswer, Reason, RunId, RunState};

use crate::{Harness, given::*};

pub async fn a_pending_run_is_cancelled_and_never_claimed(harness: &dyn Harness) {
    let store = harness.store();
    let due = enqueued(&*store, run_of(GREET)).await;
    let later = enqueued(&*store, run_of(GREET).delay(secs(60))).await;
    harness.clock().advance(secs(1));

    store.cancel(due).await.unwrap();
    store.cancel(later).await.unwrap();

    for id in [due, later] {
        let run = seen(&*harness.second_handle().await, id).await;
        assert_eq!((run.state, run.reason), (RunState::Cancelled, Some(Reason::CancelledByOperator)));
        assert_eq!((run.ended_at, run.attempts), (Some(at(1000)), vec![]));
    }
    harness.clock().advance(secs(60));
    let claim = store.claim(claim_of(&[GREET], 10)).await.unwrap();
    assert_eq!((claim.runs.len(), claim.next_due), (0, None));
}

pub async fn f33_a_running_run_is_cancelled_at_once_and_its_worker_told(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    let mut wake_ups = store.wake_ups();

    store.cancel(id).await.unwrap();

    assert_eq!(wake_ups.next().await, Hint::Cancelled(id));
    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.reason), (RunState::Cancelled, Some(Reason::CancelledByOperator)));
    assert_eq!((run.ended_at, run.holder), (Some(at(0)), None));
    let extended = store.extend(vec![claim.lease], LEASE).await.unwrap();
    assert_eq!(extended, [LeaseAnswer::CancelRequested]);
}

pub async fn f33_what_a_cancelled_run_still_writes_changes_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    harness.second_handle().await.cancel(id).await.unwrap();
    let before = seen(&*store, id).await;
    harness.clock().advance(secs(1));

    let saved = store.save_steps(vec![step(&claim, "pay", "1")]).await.unwrap();
    let settled = store.settle(vec![succeeds(&claim), fails(&claim, secs(1))]).await.unwrap();

    assert_eq!([saved, settled].concat(), [LeaseAnswer::CancelRequested; 3]);
    assert_eq!(store.steps(id).await.unwrap(), []);
    assert_eq!(seen(&*store, id).await, before);
    harness.clock().advance(LEASE);
    assert!(claimed_ids(&*store, &[GREET]).await.is_empty());
}

pub async fn a_token_that_was_stale_before_the_cancel_stays_stale(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let stale = claimed(&*store).await;
    harness.clock().advance(LEASE);
    let current = claimed(&*store).await;

    store.cancel(id).await.unwrap();

    let answers = store.extend(vec![stale.lease, current.lease], LEASE).await.unwrap();
    assert_eq!(answers, [LeaseAnswer::LeaseLost, LeaseAnswer::CancelRequested]);
}

pub async fn a_run_that_waits_for_its_retry_is_cancelled(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    settled(&*store, fails(&claim, secs(60))).await;

    store.cancel(id).await.unwrap();

    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.failures, run.attempts.len()), (RunState::Cancelled, 1, 1));
    assert_eq!(store.settle(vec![fails(&claim, secs(60))]).await.unwrap(), [LeaseAnswer::Done]);
    assert_eq!(seen(&*store, id).await, run);
}

pub async fn a_run_whose_lease_ran_out_is_cancelled(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;
    harness.clock().advance(LEASE);
    store.claim(claim_of(&[GREET], 0)).await.unwrap();

    store.cancel(id).await.unwrap();

    let claim = store.claim(claim_of(&[GREET], 10)).await.unwrap();
    assert_eq!((claim.runs.len(), claim.next_due), (0, None));
    assert_eq!(seen(&*store, id).await.state, RunState::Cancelled);
}

pub async fn cancelling_again_is_fine(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    store.cancel(id).await.unwrap();
    harness.clock().advance(secs(1));

    store.cancel(id).await.unwrap();

    assert_eq!(seen(&*store, id).await.ended_at, Some(at(0)));
}

pub async fn what_has_ended_another_way_can_not_be_cancelled(harness: &dyn Harness) {
    let store = harness.store();
    for (settlement, state) in [(succeeds as fn(&_) -> _, RunState::Succeeded), (dies, RunState::Dead)] {
        let id = enqueued(&*store, run_of(GREET)).await;
        settled(&*store, settlement(&claimed(&*store).await)).await;

        let error = store.cancel(id).await.unwrap_err();

        assert_eq!((error.kind(), seen(&*store, id).await.state), (ErrorKind::Rejected, state));
    }
}

pub async fn what_is_not_there_can_not_be_cancelled(harness: &dyn Harness) {
    let error = harness.store().cancel(RunId::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

pub async fn f33_cancel_and_settle_race_with_one_winner(harness: &dyn Harness) {
    let (store, other) = (harness.store(), harness.second_handle().await);
    for _ in 0..20 {
        let id = enqueued(&*store, run_of(GREET)).await;
        let claim = claimed(&*store).await;

        let (first, second, settlement) = (store.clone(), other.clone(), succeeds(&claim));
        let settle = async move { first.settle(vec![settlement]).await };
        let (settled, cancelled) = race(settle, async move { second.cancel(id).await }).await;

        let state = seen(&*store, id).await.state;
        match (settled.unwrap()[0], cancelled.map_err(|error| error.kind())) {
            (LeaseAnswer::Done, Err(ErrorKind::Rejected)) => assert_eq!(state, RunState::Succeeded),
            (LeaseAnswer::CancelRequested, Ok(())) => assert_eq!(state, RunState::Cancelled),
            other => panic!("both or neither: {other:?}"),
        }
    }
}

//! Runs that an operator will not wait for.

use riqle_jobs_core::{ErrorKind, Hint, RunId, RunState};

use crate::{Harness, given::*};

pub async fn a_run_that_was_due_later_is_due_now(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET).delay(secs(3600))).await;
    harness.clock().advance(secs(1));

    harness.second_handle().await.run_now(id).await.unwrap();

    assert_eq!(seen(&*store, id).await.due_at, at(1000));
    let claim = claimed(&*store).await;
    assert_eq!((claim.lease.run, claim.due_at, claim.enqueued_at), (id, at(1000), at(0)));
}

pub async fn a_run_that_waits_for_its_retry_is_tried_now(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    settled(&*store, fails(&claimed(&*store).await, secs(3600))).await;

    store.run_now(id).await.unwrap();

    let claim = claimed(&*store).await;
    assert_eq!((claim.lease.run, claim.failures), (id, 1));
}

pub async fn a_run_that_is_due_keeps_its_place(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET).at(at(-5000))).await;

    store.run_now(id).await.unwrap();

    assert_eq!(seen(&*store, id).await.due_at, at(-5000));
}

pub async fn a_run_that_is_made_due_stands_behind_what_was_due_before(harness: &dyn Harness) {
    let store = harness.store();
    let later = enqueued(&*store, run_of(GREET).delay(secs(60))).await;
    let due = enqueued(&*store, run_of(GREET)).await;
    harness.clock().advance(secs(1));

    store.run_now(later).await.unwrap();

    assert_eq!(claimed_ids(&*store, &[GREET]).await, [due, later]);
}

pub async fn what_runs_or_has_ended_is_not_made_due(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    let kind = async |id| store.run_now(id).await.unwrap_err().kind();

    assert_eq!(kind(id).await, ErrorKind::Rejected, "running");
    settled(&*store, dies(&claim)).await;
    assert_eq!(kind(id).await, ErrorKind::Rejected, "dead");
    assert_eq!(kind(RunId::new()).await, ErrorKind::NotFound);
    assert_eq!(seen(&*store, id).await.state, RunState::Dead);
}

pub async fn a_run_that_is_made_due_wakes_waiting_workers(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET).delay(secs(60))).await;
    let mut wake_ups = store.wake_ups();

    store.run_now(id).await.unwrap();

    let hint = wake_ups.next().await;
    assert!(hint == Hint::Due(Some("mail".to_owned())) || hint == Hint::Due(None), "{hint:?}");
}

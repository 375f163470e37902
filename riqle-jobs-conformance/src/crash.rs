//! Workers that die.

use riqle_jobs_core::{AttemptOutcome, AttemptRecord, Ending, Reason, RunState, Settlement};

use crate::{Harness, given::*};

pub async fn a_takeover_raises_crashes_and_not_failures(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;
    harness.clock().advance(LEASE);

    let again = claimed(&*store).await;

    assert_eq!((again.failures, again.crashes), (0, 1));
    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.failures, run.crashes, run.attempt()), (RunState::Running, 0, 1, 1));
}

pub async fn a_crash_is_counted_when_it_is_found_and_only_once(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;
    harness.clock().advance(secs(3600));
    let unseen = seen(&*store, id).await;

    claimed(&*store).await;
    claimed_ids(&*store, &[GREET]).await;

    assert_eq!((unseen.state, unseen.crashes, unseen.attempts), (RunState::Running, 0, vec![]));
    let run = seen(&*store, id).await;
    assert_eq!((run.crashes, run.attempts.len()), (1, 1));
}

pub async fn a_crashed_attempt_is_recorded_with_its_worker(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    settled(&*store, fails(&claimed(&*store).await, secs(1))).await;
    harness.clock().advance(secs(1));
    let request = claim_of(&[GREET], 1);
    store.claim(request.clone()).await.unwrap();
    harness.clock().advance(secs(45));

    claimed(&*store).await;

    let expected = AttemptRecord {
        number: 2,
        times: 1,
        started_at: at(1000),
        ended_at: at(46_000),
        worker: request.worker,
        outcome: AttemptOutcome::Crashed,
        error: None,
        delay: None,
    };
    assert_eq!(seen(&*store, id).await.attempts[1..], [expected]);
}

pub async fn f15_a_poison_run_counts_every_worker_it_kills(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;

    for crashes in 0..4 {
        assert_eq!(claimed(&*store).await.crashes, crashes);
        harness.clock().advance(LEASE);
    }
    let last = claimed(&*store).await;
    // The rules say when it is enough, before the body runs again.
    let settlement = Settlement {
        ending: Ending::Dead { reason: Reason::Crashes },
        outcome: AttemptOutcome::Crashed,
        ..succeeds(&last)
    };
    settled(&*store, settlement).await;

    assert_eq!((last.crashes, last.failures), (4, 0));
    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.reason), (RunState::Dead, Some(Reason::Crashes)));
    assert_eq!((run.failures, run.crashes, run.attempts.len()), (0, 4, 5));
}

pub async fn a_success_after_a_crash_keeps_the_count(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;
    harness.clock().advance(LEASE);

    settled(&*store, succeeds(&claimed(&*store).await)).await;

    let run = seen(&*store, id).await;
    let outcomes: Vec<_> = run.attempts.iter().map(|attempt| (attempt.number, attempt.outcome)).collect();
    assert_eq!(outcomes, [(1, AttemptOutcome::Crashed), (1, AttemptOutcome::Succeeded)]);
    assert_eq!((run.state, run.crashes), (RunState::Succeeded, 1));
}

pub async fn every_run_of_a_dead_worker_is_given_again(harness: &dyn Harness) {
    let store = harness.store();
    store.enqueue((0..100).map(|_| run_of(GREET)).collect()).await.unwrap();
    let lost = claimed_ids(&*store, &[GREET]).await;
    harness.clock().advance(LEASE);

    let mut found = vec![];
    for _ in 0..4 {
        let claim = store.claim(claim_of(&[GREET], 30)).await.unwrap();
        assert!(claim.runs.iter().all(|run| run.crashes == 1));
        found.extend(claim.runs.iter().map(|run| run.lease.run));
    }

    assert_eq!((lost.len(), found), (100, lost));
}

pub async fn a_takeover_is_one_claimers_alone(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await];
    handles[0].enqueue((0..60).map(|_| run_of(GREET)).collect()).await.unwrap();
    claimed_ids(&*handles[0], &[GREET]).await;
    harness.clock().advance(LEASE);

    let found = at_once(8, |number| {
        let store = handles[number % 2].clone();
        async move { claimed_ids(&*store, &[GREET]).await }
    })
    .await;

    let mut found = found.concat();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 60);
    for id in found {
        assert_eq!(seen(&*handles[0], id).await.crashes, 1);
    }
}

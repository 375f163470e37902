//! Many at once: nothing is lost, nothing ends twice.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use riqle_jobs_core::{Ending, LeaseAnswer, RunFilter, RunState, Settlement, Store};

use crate::{Harness, given::*};

async fn three_handles(harness: &dyn Harness) -> [Arc<dyn Store>; 3] {
    [harness.store(), harness.second_handle().await, harness.second_handle().await]
}

pub async fn runs_that_many_enqueue_and_many_work_on_end_once_each(harness: &dyn Harness) {
    let handles = three_handles(harness).await;
    let ended = Arc::new(AtomicUsize::new(0));

    // Tasks 0 to 3 enqueue 50 runs each; the others work until all have ended.
    let succeeded = at_once(10, |number| {
        let (store, ended) = (handles[number % handles.len()].clone(), ended.clone());
        async move {
            if number < 4 {
                for _ in 0..10 {
                    store.enqueue((0..5).map(|_| run_of(GREET)).collect()).await.unwrap();
                }
                return vec![];
            }
            work_until_ended(&*store, &ended, 200).await
        }
    })
    .await;

    let succeeded = succeeded.concat();
    let runs: HashSet<_> = succeeded.iter().copied().collect();
    assert_eq!((succeeded.len(), runs.len()), (200, 200));
    let all = handles[0].runs(RunFilter::all().limit(1000)).await.unwrap();
    assert_eq!(all.len(), 200);
    for run in all {
        assert_eq!((run.state, run.failures, run.crashes), (RunState::Succeeded, 1, 0));
        assert!(run.attempts.len() == 2 && runs.contains(&run.id));
    }
}

/// Fails each run the first time and succeeds the second; answers with what this worker ended.
async fn work_until_ended(
    store: &dyn Store,
    ended: &AtomicUsize,
    count: usize,
) -> Vec<riqle_jobs_core::RunId> {
    let mut succeeded = vec![];
    while ended.load(Ordering::SeqCst) < count {
        let claims = store.claim(claim_of(&[GREET], 4)).await.unwrap().runs;
        let settlements = claims.iter().map(|claim| match claim.failures {
            0 => fails(claim, secs(0)),
            _ => succeeds(claim),
        });
        let answers = store.settle(settlements.collect()).await.unwrap();
        assert_eq!(answers, vec![LeaseAnswer::Done; claims.len()]);
        for claim in claims.iter().filter(|claim| claim.failures > 0) {
            ended.fetch_add(1, Ordering::SeqCst);
            succeeded.push(claim.lease.run);
        }
        tokio::task::yield_now().await;
    }
    succeeded
}

pub async fn runs_whose_leases_run_out_under_many_workers_end_once_each(harness: &dyn Harness) {
    let handles = three_handles(harness).await;
    handles[0].enqueue((0..100).map(|_| run_of(GREET)).collect()).await.unwrap();
    let ended = Arc::new(AtomicUsize::new(0));

    let succeeded = at_once(8, |number| {
        let (store, ended, clock) = (handles[number % 3].clone(), ended.clone(), harness.clock().clone());
        async move {
            let mut succeeded = vec![];
            while ended.load(Ordering::SeqCst) < 100 {
                let claims = store.claim(claim_of(&[GREET], 3)).await.unwrap().runs;
                if number < 2 {
                    // Worker 0 lets leases run out, of itself and others; worker 1 dies with what it has.
                    clock.advance(if number == 0 { secs(11) } else { secs(0) });
                }
                for claim in claims.iter().filter(|_| number >= 2) {
                    let answer = store.settle(vec![succeeds(claim)]).await.unwrap();
                    if answer == [LeaseAnswer::Done] {
                        ended.fetch_add(1, Ordering::SeqCst);
                        succeeded.push(claim.lease.run);
                    }
                }
                tokio::task::yield_now().await;
            }
            succeeded
        }
    })
    .await;

    let succeeded = succeeded.concat();
    let runs: HashSet<_> = succeeded.iter().copied().collect();
    assert_eq!((succeeded.len(), runs.len()), (100, 100));
    for id in runs {
        let run = seen(&*handles[0], id).await;
        assert_eq!((run.state, run.failures), (RunState::Succeeded, 0));
        assert!(run.attempts.len() <= 25 && run.ended_at.is_some());
    }
}

pub async fn cancels_settles_and_takeovers_at_once_end_each_run_once(harness: &dyn Harness) {
    let handles = three_handles(harness).await;
    handles[0].enqueue((0..40).map(|_| run_of(GREET)).collect()).await.unwrap();
    let claims = Arc::new(handles[0].claim(claim_of(&[GREET], 40)).await.unwrap().runs);
    harness.clock().advance(LEASE);

    at_once(3, |number| {
        let (store, claims) = (handles[number].clone(), claims.clone());
        async move {
            match number {
                0 => {
                    for claim in claims.iter() {
                        store.settle(vec![succeeds(claim)]).await.unwrap();
                    }
                }
                1 => {
                    for claim in claims.iter().rev() {
                        let _ = store.cancel(claim.lease.run).await;
                    }
                }
                _ => {
                    for _ in 0..20 {
                        let taken_over = store.claim(claim_of(&[GREET], 2)).await.unwrap().runs;
                        store.settle(taken_over.iter().map(dies).collect()).await.unwrap();
                    }
                }
            }
        }
    })
    .await;

    for claim in claims.iter() {
        let run = seen(&*handles[0], claim.lease.run).await;
        let crashes = match run.state {
            RunState::Succeeded => 0,
            RunState::Dead => 1,
            RunState::Cancelled => run.crashes,
            state => panic!("{state} after all of that"),
        };
        assert_eq!((run.crashes, run.holder), (crashes, None));
    }
}

pub async fn a_step_that_many_save_at_once_has_one_result(harness: &dyn Harness) {
    let handles = three_handles(harness).await;
    let id = enqueued(&*handles[0], run_of(GREET)).await;
    let claim = claimed(&*handles[0]).await;

    at_once(12, |number| {
        let (store, save) = (handles[number % 3].clone(), step(&claim, "pay", &number.to_string()));
        async move { saved(&*store, save).await }
    })
    .await;

    let steps = handles[0].steps(id).await.unwrap();
    assert_eq!(steps.len(), 1);
    settled(&*handles[0], fails(&claim, secs(0))).await;
    assert_eq!(claimed(&*handles[1]).await.steps, steps);
}

pub async fn a_settlement_that_many_repeat_at_once_applies_once(harness: &dyn Harness) {
    let handles = three_handles(harness).await;
    let id = enqueued(&*handles[0], run_of(GREET)).await;
    let claim = claimed(&*handles[0]).await;

    at_once(12, |number| {
        let (store, settlement) = (handles[number % 3].clone(), fails(&claim, secs(60)));
        async move { settled(&*store, settlement).await }
    })
    .await;

    let run = seen(&*handles[0], id).await;
    assert_eq!((run.state, run.failures, run.attempts.len()), (RunState::Pending, 1, 1));
}

pub async fn many_steps_of_many_runs_at_once_are_all_kept(harness: &dyn Harness) {
    let handles = three_handles(harness).await;
    handles[0].enqueue((0..10).map(|_| run_of(GREET)).collect()).await.unwrap();
    let claims = handles[0].claim(claim_of(&[GREET], 10)).await.unwrap().runs;

    at_once(10, |number| {
        let (store, claim) = (handles[number % 3].clone(), claims[number].clone());
        async move {
            for page in 0..10 {
                saved(&*store, step(&claim, &format!("{page}/read"), &page.to_string())).await;
            }
            let give_back = Settlement { ending: Ending::GiveBack, ..succeeds(&claim) };
            settled(&*store, give_back).await;
        }
    })
    .await;

    for claim in handles[1].claim(claim_of(&[GREET], 10)).await.unwrap().runs {
        let results: Vec<_> = claim.steps.iter().map(|step| step.result.clone()).collect();
        assert_eq!(results, (0..10).map(|page| json(&page.to_string())).collect::<Vec<_>>());
    }
}

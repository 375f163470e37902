//! What is found out run by run, of runs whose inputs are large: a call of a script looks at a part of them only.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use riqle_jobs_core::{
    AttemptOutcome, Error, Inspect, LeaseToken, ManualClock, NewRun, Payload, Queue, Reason, Run, RunFilter,
    RunId, RunState, WorkerId,
    store::{ClaimRequest, ClaimedRun, Ending, Settlement},
};
use riqle_jobs_redis::Redis;

use crate::support::Prefix;

const RUNS: usize = 200;
const HOUR: Duration = Duration::from_secs(3_600);

/// So many runs, 100 kB each, ten a second, in two queues, with one of three references.
async fn enqueue(store: &Redis, clock: &ManualClock) -> Vec<NewRun> {
    let input = Payload::from_json_text(format!("{:?}", "x".repeat(100_000)));
    let run = |n: usize| {
        let queue = if n.is_multiple_of(4) { "reports" } else { "mail" };
        let run = NewRun::named("greet", input.clone()).queue(queue);
        run.reference(format!("order-{}", n % 3))
    };
    let runs: Vec<NewRun> = (0..RUNS).map(run).collect();
    for runs in runs.chunks(10) {
        for queue in ["mail", "reports"] {
            let runs = runs.iter().filter(|run| run.queue == queue).cloned().collect();
            store.enqueue(runs).await.unwrap();
        }
        clock.advance(Duration::from_secs(1));
    }
    runs
}

async fn claim(store: &Redis, queue: &str, limit: usize, lease: Duration) -> Vec<ClaimedRun> {
    let request = ClaimRequest {
        queue: queue.to_owned(),
        jobs: vec!["greet".to_owned()].into(),
        limit,
        lease,
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    let claimed = store.claim(request).await.unwrap().runs;
    assert_eq!(claimed.len(), limit);
    claimed
}

async fn settle(store: &Redis, run: &ClaimedRun, ending: Ending) {
    let has_died = matches!(ending, Ending::Dead { .. });
    let error = has_died.then(|| format!("{} was refused", run.lease.run));
    let settlement = Settlement {
        lease: run.lease.clone(),
        ending,
        failures: run.failures,
        attempt: 1,
        outcome: if has_died { AttemptOutcome::Failed } else { AttemptOutcome::Succeeded },
        error_fingerprint: error.as_ref().map(|_| "aa".to_owned()),
        error,
    };
    store.settle(vec![settlement]).await.unwrap();
}

/// Page by page.
async fn pages<T>(
    limit: usize,
    filter: &RunFilter,
    page: impl AsyncFn(RunFilter) -> Result<Vec<T>, Error>,
    id: fn(&T) -> RunId,
) -> Vec<T> {
    let mut all = Vec::new();
    loop {
        let before = all.last().map(id);
        let found = page(RunFilter { limit, before, ..filter.clone() }).await.unwrap();
        let is_last = found.len() < limit;
        all.extend(found);
        if is_last {
            return all;
        }
    }
}

fn is_asked(run: &Run, filter: &RunFilter) -> bool {
    (filter.states.is_empty() || filter.states.contains(&run.state))
        && filter.queue.as_ref().is_none_or(|queue| *queue == run.queue)
        && filter.reference.as_ref().is_none_or(|reference| Some(reference) == run.reference.as_ref())
        && filter.enqueued_from.is_none_or(|from| from <= run.enqueued_at)
        && filter.enqueued_before.is_none_or(|before| run.enqueued_at < before)
}

async fn all_are_found(prefix: Prefix) {
    let clock = ManualClock::new();
    let store = prefix.open(&clock).await;
    let begun = store.now().await.unwrap();
    let enqueued = enqueue(&store, &clock).await;
    // The leases of the first run out last, and some have run out.
    claim(&store, "mail", 24, 2 * HOUR).await;
    claim(&store, "mail", 24, HOUR).await;
    claim(&store, "reports", 24, Duration::from_secs(1)).await;
    clock.advance(Duration::from_secs(2));
    claim(&store, "reports", 2, HOUR).await;
    for queue in ["mail", "reports"] {
        for run in claim(&store, queue, 8, HOUR).await {
            settle(&store, &run, Ending::Dead { reason: Reason::RetriesExhausted }).await;
        }
        for run in claim(&store, queue, 8, HOUR).await {
            settle(&store, &run, Ending::Succeeded { output: Payload::from_json_text("1") }).await;
        }
    }
    let mut runs = Vec::new();
    for run in enqueued.iter().rev() {
        runs.push(store.run(run.id).await.unwrap().unwrap());
    }
    runs.sort_by_key(|run| std::cmp::Reverse(run.id));

    let after = |secs: u64| Some(begun + Duration::from_secs(secs));
    let times = [(None, None), (after(5), None), (None, after(12)), (after(3), after(11))];
    let states = [vec![], vec![RunState::Running], vec![RunState::Dead, RunState::Pending]];
    for (enqueued_from, enqueued_before) in times {
        for (reference, queue) in [(None, None), (None, Some("mail")), (Some("order-1"), None)] {
            for states in &states {
                let filter = RunFilter {
                    states: states.clone(),
                    enqueued_from,
                    enqueued_before,
                    reference: reference.map(str::to_owned),
                    queue: queue.map(str::to_owned),
                    ..RunFilter::default()
                };
                let expected: Vec<&Run> = runs.iter().filter(|run| is_asked(run, &filter)).collect();
                assert!(!expected.is_empty(), "{filter:?}");
                let listed = pages(30, &filter, async |filter| store.runs(filter).await, |run| run.id).await;
                assert!(listed.iter().eq(expected.iter().copied()), "{filter:?}");
                let all = expected.len() as u64;
                for most in [1, all - 1, all, all + 1] {
                    let count = store.count_runs(filter.clone(), most).await.unwrap();
                    assert_eq!(count, all.min(most), "{filter:?}");
                }

                let dead = filter.clone().states([RunState::Dead]);
                let expected = runs.iter().filter(|run| is_asked(run, &dead)).map(|run| run.id);
                let errors =
                    pages(5, &filter, async |filter| store.dead_errors(filter).await, |error| error.run)
                        .await;
                assert!(errors.iter().map(|error| error.run).eq(expected), "{filter:?}");
                for error in errors {
                    assert_eq!(error.error, Some(format!("{} was refused", error.run)));
                }
            }
        }
    }
}

#[tokio::test]
async fn lists_counts_and_errors_of_large_runs_are_whole_on_one_server() {
    all_are_found(Prefix::on_server()).await;
}

#[tokio::test]
async fn lists_counts_and_errors_of_large_runs_are_whole_on_a_cluster() {
    all_are_found(Prefix::on_cluster()).await;
}

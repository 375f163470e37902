//! More jobs in a queue than a merge of their lanes is worth.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use riqle_jobs_core::{
    ClaimRequest, Claimed, LeaseToken, ManualClock, NewRun, Payload, Priority, Queue, RunId, WorkerId, later,
};
use riqle_jobs_sqlite::Sqlite;
use tempfile::TempDir;

const JOBS: usize = 700;

async fn claim(store: &Sqlite, jobs: &Arc<[String]>, limit: usize) -> Claimed {
    let request = ClaimRequest {
        queue: "default".to_owned(),
        jobs: Arc::clone(jobs),
        limit,
        lease: Duration::from_secs(30),
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    store.claim(request).await.unwrap()
}

fn ids(claimed: &Claimed) -> Vec<RunId> {
    claimed.runs.iter().map(|run| run.lease.run).collect()
}

#[tokio::test]
async fn the_order_holds_over_any_number_of_jobs_also_for_expired_leases() {
    let folder = TempDir::new().unwrap();
    let clock = ManualClock::new();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let store = Sqlite::options(&url).clock(&clock).open().await.unwrap();
    let jobs: Arc<[String]> = (0..JOBS).map(|job| format!("job-{job:03}")).collect();
    let mut runs = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        for priority in [Priority::HIGH, Priority::DEFAULT] {
            // Due in another order than by job.
            let due = later(clock.now(), Duration::from_millis(((number * 7) % JOBS) as u64));
            let input = Payload::json(&number).unwrap();
            runs.push((priority, due, NewRun::named(job, input).priority(priority).at(due)));
        }
    }
    store.enqueue(runs.iter().map(|(.., run)| run.clone()).collect()).await.unwrap();
    clock.advance(Duration::from_secs(1));
    runs.sort_by_key(|(priority, due, run)| (*priority, *due, run.id));
    let order: Vec<RunId> = runs.iter().map(|(.., run)| run.id).collect();
    assert_eq!(ids(&claim(&store, &jobs, 300).await), order[..300]);
    // Those whose lease has run out come first again, then the rest.
    clock.advance(Duration::from_secs(30));
    let claimed = claim(&store, &jobs, 1_000).await;
    assert_eq!(ids(&claimed), order[..1_000]);
    assert!(claimed.runs[..300].iter().all(|run| run.crashes == 1));
    assert!(claimed.runs[300..].iter().all(|run| run.crashes == 0));
    assert_eq!(ids(&claim(&store, &jobs, 1_000).await), order[1_000..]);
}

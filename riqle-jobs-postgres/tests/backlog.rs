//! A backlog is claimed on from where the claim before ended; what comes before that is found all the same.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::HashSet, time::Duration};

use riqle_jobs_core::{
    ClaimRequest, Claimed, LeaseToken, NewRun, Payload, Queue, RunId, Timestamp, WorkerId,
};
use riqle_jobs_postgres::Postgres;

use crate::support::Schema;

fn run() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

async fn enqueue(store: &Postgres, runs: Vec<NewRun>) -> Vec<RunId> {
    store.enqueue(runs).await.unwrap().iter().map(|answer| answer.id()).collect()
}

async fn claim(store: &Postgres, limit: usize, lease: Duration) -> Claimed {
    let request = ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit,
        lease,
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    store.claim(request).await.unwrap()
}

#[tokio::test]
async fn a_backlog_is_claimed_in_order_and_each_run_once() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let mut expected = Vec::new();
    for _ in 0..10 {
        expected.extend(enqueue(&store, (0..10).map(|_| run()).collect()).await);
    }
    let mut claimed = Vec::new();
    loop {
        let claim = claim(&store, 7, Duration::from_secs(60)).await;
        claimed.extend(claim.runs.iter().map(|run| run.lease.run));
        if claimed.len() < expected.len() {
            assert!(claim.next_due.is_some_and(|due| due <= claim.now), "more are due");
        }
        if claim.runs.len() < 7 {
            break;
        }
    }
    assert_eq!(claimed, expected);
}

#[tokio::test]
async fn what_is_due_before_the_place_that_claims_have_come_to_is_found() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let mut expected: HashSet<_> =
        enqueue(&store, (0..20).map(|_| run()).collect()).await.into_iter().collect();
    let mut claimed = HashSet::new();
    // These come back at once, since their lease is short.
    claimed.extend(claim(&store, 5, Duration::from_millis(100)).await.runs.iter().map(|run| run.lease.run));
    expected.extend(
        enqueue(&store, vec![run().at(Timestamp::UNIX_EPOCH), run().at(Timestamp::UNIX_EPOCH)]).await,
    );
    tokio::time::sleep(Duration::from_millis(150)).await;
    let mut claims = 0;
    while claimed.len() < expected.len() {
        let runs = claim(&store, 5, Duration::from_secs(60)).await.runs;
        claimed.extend(runs.iter().map(|run| run.lease.run));
        claims += runs.len();
        assert!(claims <= expected.len() + 5, "a run was claimed more often than its lease ran out");
    }
    assert_eq!(claimed, expected);
    // The five whose lease ran out are taken over, too.
    claims += claim(&store, 50, Duration::from_secs(60)).await.runs.len();
    assert_eq!(claims, expected.len());
}

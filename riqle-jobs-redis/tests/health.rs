//! What the health says of a server that answers reads and takes no writes.

#![allow(clippy::unwrap_used)]

use riqle_jobs_core::{ErrorKind, Inspect, NewRun, Payload, Queue, store::Health};
use riqle_jobs_redis::Redis;
use riqle_jobs_test_servers::RedisServer;

fn greeting() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

/// The health, once an enqueue was refused.
async fn refused(store: &Redis) -> Health {
    let error = store.enqueue(vec![greeting()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let health = store.health().await.unwrap();
    let line = health.write_error.clone().unwrap();
    assert!(line.contains(error.message()), "{line}");
    health
}

fn tells(health: &Health, problem: &str) -> bool {
    health.problems.iter().any(|line| line.what.contains(problem))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_became_a_replica_is_told_until_it_is_a_master_again() {
    let server = RedisServer::start(&[]).unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    store.enqueue(vec![greeting()]).await.unwrap();
    assert_eq!(store.health().await.unwrap().write_error, None);
    // Of a master that is not there: it keeps what it has, and answers reads.
    server.command(&["REPLICAOF", "127.0.0.1", "9"]).unwrap();

    assert!(tells(&refused(&store).await, "is a replica"));

    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    store.enqueue(vec![greeting()]).await.unwrap();
    let health = store.health().await.unwrap();
    assert_eq!((health.write_error.as_deref(), tells(&health, "is a replica")), (None, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_is_told_though_workers_drain_it() {
    let server = RedisServer::start(&[]).unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    store.enqueue(vec![greeting()]).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();

    assert!(tells(&refused(&store).await, "is out of memory"));

    // What frees memory succeeds, and says nothing of new runs.
    let request = riqle_jobs_core::ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit: 1,
        lease: std::time::Duration::from_secs(30),
        token: riqle_jobs_core::LeaseToken::new(),
        worker: riqle_jobs_core::WorkerId::new(),
    };
    let run = store.claim(request).await.unwrap().runs.remove(0);
    let settlement = riqle_jobs_core::Settlement {
        lease: run.lease.clone(),
        ending: riqle_jobs_core::Ending::Succeeded { output: run.input.clone() },
        failures: 0,
        attempt: 1,
        outcome: riqle_jobs_core::AttemptOutcome::Succeeded,
        error: None,
        error_fingerprint: None,
    };
    store.settle(vec![settlement]).await.unwrap();
    assert!(tells(&store.health().await.unwrap(), "is out of memory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_not_save_its_data_is_told() {
    let server = RedisServer::start(&["--appendonly", "no", "--save", "3600 1"]).unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    store.enqueue(vec![greeting()]).await.unwrap();
    server.lose_folder().unwrap();
    server.command(&["BGSAVE"]).unwrap();
    while !server.command(&["INFO", "persistence"]).unwrap().contains("rdb_last_bgsave_status:err") {
        // Another process saves.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    assert!(tells(&refused(&store).await, "last snapshot failed"));
}

//! A network that fails: connections that answer no more and do not end, and a server that another takes over from.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use riqle_jobs_conformance::Proxy;
use riqle_jobs_core::{
    Error, ErrorKind, Inspect, Job, JobError, JobInput, NewRun, Payload, Queue, Registry, RunContext, RunId,
    RunState, Worker, store::NewEvent,
};
use riqle_jobs_postgres::Postgres;
use riqle_jobs_test_servers::{Durability, PostgresServer};
use tokio::time::{sleep, timeout};

async fn proxy_of(server: &PostgresServer) -> (Arc<Proxy>, String) {
    let proxy = Proxy::start(server.port()).await.unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port());
    (proxy, url)
}

struct Nothing;

#[derive(serde::Serialize, serde::Deserialize)]
struct NothingInput(u32);

impl JobInput for NothingInput {
    const JOB: &'static str = "nothing";
}

impl Job for Nothing {
    type Input = NothingInput;
    type Output = ();

    async fn run(&self, run: &RunContext, _: NothingInput) -> Result<(), JobError> {
        run.step("wait", || async {
            // So that runs are under way when the fault comes.
            sleep(Duration::from_millis(20)).await;
            Ok(())
        })
        .await
    }
}

/// As a caller does: again where it is not known whether it was stored.
async fn enqueue(store: &Postgres, number: u32) -> RunId {
    let run = NewRun::of(&NothingInput(number)).unwrap();
    loop {
        let stored: Result<_, Error> = store.enqueue(vec![run.clone()]).await;
        match stored {
            Ok(answers) => return answers[0].id(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Works on `runs` runs until all have ended; `fault` comes once half of them are enqueued.
async fn work_through(store: &Postgres, runs: u32, fault: impl Future<Output = ()>) -> Vec<RunId> {
    let mut ids = Vec::new();
    let worker = Worker::new(store).concurrency(8).register(Nothing);
    let all = async {
        for number in 0..runs / 2 {
            ids.push(enqueue(store, number).await);
        }
        fault.await;
        for number in runs / 2..runs {
            ids.push(enqueue(store, number).await);
        }
        for id in &ids {
            loop {
                match store.run(*id).await {
                    Ok(run) if run.as_ref().expect("it was acknowledged").state.is_ended() => break,
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    worker.run_until(async { timeout(Duration::from_secs(90), all).await.expect("all end") }).await.unwrap();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_connections_that_answer_no_more_are_given_up_and_no_attempt_is_charged() {
    let cluster = PostgresServer::start(Durability::NoSync).unwrap();
    let (proxy, url) = proxy_of(&cluster).await;
    let store = Postgres::connect(&url).await.unwrap();
    let ids = work_through(&store, 100, async { proxy.silence() }).await;
    for id in ids {
        let run = store.run(id).await.unwrap().unwrap();
        assert_eq!((run.state, run.crashes, run.failures), (RunState::Succeeded, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_events_reach_a_server_that_is_some_milliseconds_away() {
    let cluster = PostgresServer::start(Durability::NoSync).unwrap();
    let (proxy, url) = proxy_of(&cluster).await;
    let store = Postgres::connect(&url).await.unwrap();
    proxy.delay_by(5);
    let event = |number: u32| {
        NewEvent::new(format!("user-{number}"), "user/created", Payload::json(&number).unwrap())
    };
    // Out of order, and two of them twice.
    let events: Vec<_> = (0..5_000).rev().map(event).chain([event(0), event(7)]).collect();
    let stored = store.store_events(events.clone()).await.unwrap();
    assert_eq!(stored.into_iter().map(|stored| stored.event).collect::<Vec<_>>(), events);
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_a_standby_takes_over_and_nothing_acknowledged_is_lost() {
    let mut primary = PostgresServer::start(Durability::NoSync).unwrap();
    let standby = primary.standby().unwrap();
    let (proxy, url) = proxy_of(&primary).await;
    let store = Postgres::connect(&url).await.unwrap();
    let takes_over = async {
        tokio::task::block_in_place(|| {
            primary.crash();
            standby.promote().unwrap();
        });
        proxy.switch_to(standby.port());
    };
    let ids = work_through(&store, 200, takes_over).await;
    for id in ids {
        assert_eq!(store.run(id).await.unwrap().unwrap().state, RunState::Succeeded);
    }
}

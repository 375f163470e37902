//! The rights that the documentation names, and what becomes of a store whose user loses them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, sync::LazyLock, time::Duration};

use riqle_jobs_conformance::{Harness, conformance_suite};
use riqle_jobs_core::{
    ErrorKind, Inspect, Job, JobError, JobInput, Jobs, ManualClock, Queue, RunContext, RunState, Shutdown,
    Store, Worker, async_trait,
};
use riqle_jobs_redis::Redis;
use riqle_jobs_test_servers::{RedisCluster, RedisServer};
use tokio::time::{sleep, timeout};

/// The line of the documentation, in words.
fn documented() -> Vec<&'static str> {
    let lines = include_str!("../src/connect.rs").lines();
    let mut found = lines.filter_map(|line| line.strip_prefix("/// ACL SETUSER"));
    let line = found.next().expect("the line is in the documentation");
    ["ACL", "SETUSER"].into_iter().chain(line.split_whitespace()).collect()
}

fn give_rights(server: &RedisServer, more: &[&str]) {
    let words = [documented().as_slice(), more].concat();
    assert_eq!(server.command(&words).unwrap(), "+OK\r\n");
}

/// Where nothing was refused, not even what the store does not depend on.
fn nothing_was_refused(server: &RedisServer) {
    assert_eq!(server.command(&["ACL", "LOG"]).unwrap(), "*0\r\n");
}

static SERVER: LazyLock<RedisServer> = LazyLock::new(|| {
    let server = RedisServer::start(&[]).unwrap();
    give_rights(&server, &[]);
    server
});

/// Every case of the suite as the user who has these rights alone.
struct AsUser {
    store: Redis,
    clock: ManualClock,
    url: String,
}

async fn opened(url: &str, clock: &ManualClock) -> Redis {
    riqle_jobs_conformance::opened(Redis::options(url).clock(clock).open()).await
}

#[async_trait]
impl Harness for AsUser {
    async fn start() -> Self {
        let (clock, test) = (ManualClock::new(), uuid::Uuid::now_v7().simple());
        let url = format!("redis://riqle:PASSWORD@127.0.0.1:{}?prefix=riqle:{test}", SERVER.port());
        Self { store: opened(&url, &clock).await, clock, url }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        Arc::new(opened(&self.url, &self.clock).await)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

mod as_the_documented_user {
    use super::*;

    conformance_suite!(AsUser);
}

struct Greet;

#[derive(serde::Serialize, serde::Deserialize)]
struct GreetInput(String);

impl JobInput for GreetInput {
    const JOB: &'static str = "greet";
    const TRIGGER: Option<&'static str> = Some("test/greet");
}

impl Job for Greet {
    type Input = GreetInput;
    type Output = String;

    async fn run(&self, run: &RunContext, GreetInput(name): GreetInput) -> Result<String, JobError> {
        run.log("begins");
        run.step("greet", || async { Ok(format!("hello {name}")) }).await
    }
}

/// A worker, until the shutdown that it is answered with.
fn working(store: &Redis) -> Shutdown {
    let (worker, shutdown) = (Worker::new(store).register(Greet), Shutdown::new());
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move { worker.run_with(&shutdown).await.unwrap() }
    });
    shutdown
}

async fn within_limit<T>(event: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), event).await.expect("it happens in time")
}

async fn all_succeed(store: &Redis, runs: usize) {
    within_limit(async {
        loop {
            // What is away for a moment comes back.
            let counts = store.counts().await.unwrap_or_default();
            let succeeded = counts.iter().filter(|count| count.state == RunState::Succeeded);
            if succeeded.map(|count| count.runs).sum::<u64>() == runs as u64 {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_the_documented_rights_is_refused_nothing() {
    let server = RedisServer::start(&[]).unwrap();
    give_rights(&server, &[]);
    let url = format!("redis://riqle:PASSWORD@127.0.0.1:{}", server.port());
    let (store, producer) = (Redis::connect(&url).await.unwrap(), Redis::connect(&url).await.unwrap());
    let shutdown = working(&store);
    for _ in 0..10 {
        Jobs::new(&producer).enqueue(GreetInput("Ada".to_owned())).await.unwrap();
    }
    all_succeed(&store, 10).await;
    producer.health().await.unwrap();
    shutdown.stop();
    nothing_was_refused(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_a_cluster_needs_one_right_more() {
    let cluster = RedisCluster::start().unwrap();
    for node in &cluster.nodes {
        give_rights(node, &["+cluster|slots"]);
    }
    let url = cluster.url().replace("redis-cluster://", "redis-cluster://riqle:PASSWORD@");
    let store = Redis::connect(&url).await.unwrap();
    let shutdown = working(&store);
    Jobs::new(&store).enqueue(GreetInput("Ada".to_owned())).await.unwrap();
    all_succeed(&store, 1).await;
    store.health().await.unwrap();
    shutdown.stop();
    for node in &cluster.nodes {
        nothing_was_refused(node);
    }
    let wrong = cluster.url().replace("redis-cluster://", "redis-cluster://riqle:secret@");
    let error = Redis::connect(&wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("user name or password"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_while_the_store_is_open_makes_it_unavailable_until_it_is_right_again() {
    let server = RedisServer::start(&[]).unwrap();
    give_rights(&server, &[]);
    let store = Redis::connect(&format!("redis://riqle:PASSWORD@127.0.0.1:{}", server.port())).await.unwrap();
    let shutdown = working(&store);
    let jobs = Jobs::new(&store);
    jobs.enqueue(GreetInput("Ada".to_owned())).await.unwrap();
    all_succeed(&store, 1).await;

    // Whoever rotates a password cuts the connections that were made with the one before.
    let rotate = |password| {
        server.command(&["ACL", "SETUSER", "riqle", "resetpass", password]).unwrap();
        server.command(&["CLIENT", "KILL", "USER", "riqle"]).unwrap();
    };
    rotate(">another");
    let error = jobs.enqueue(GreetInput("Ben".to_owned())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("no longer accepts the user name or password"), "{error}");
    for error in [store.health().await.map(drop), store.now().await.map(drop)] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    }

    rotate(">PASSWORD");
    jobs.enqueue(GreetInput("Ben".to_owned())).await.unwrap();
    all_succeed(&store, 2).await;
    shutdown.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_lacks_a_right_is_told_where_the_rights_are_named() {
    let server = RedisServer::start(&[]).unwrap();
    give_rights(&server, &["-info"]);
    let url = format!("redis://riqle:PASSWORD@127.0.0.1:{}", server.port());
    let error = Redis::connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("documentation of RedisOptions"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_after_flushall_starts_its_job_once_the_worker_has_registered_again() {
    let server = RedisServer::start(&[]).unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    let shutdown = working(&store);
    let jobs = Jobs::new(&store);
    jobs.enqueue(GreetInput("Ada".to_owned())).await.unwrap();
    all_succeed(&store, 1).await;

    server.command(&["FLUSHALL"]).unwrap();
    jobs.send_event("test/greet", &"Ben").await.unwrap();

    // The worker looks every 10 s whether its jobs are known.
    all_succeed(&store, 1).await;
    shutdown.stop();
}

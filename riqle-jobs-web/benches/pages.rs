//! How long each page takes among a million runs, and a webhook beside a drain: `cargo xtask pages`.
//!
//! Each figure is of whole requests over loopback, in milliseconds: median and 95th of a hundred of 21 loads of each
//! page; median and 99th of the webhooks of two senders for as long as a worker drains a backlog of 300,000.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use riqle_jobs_core::{Job, JobError, JobInput, Jobs, Memory, RunContext, Shutdown, Store, Worker};
use riqle_jobs_postgres::Postgres;
use riqle_jobs_redis::Redis;
use riqle_jobs_sqlite::Sqlite;
use riqle_jobs_web::webhooks::stripe::{Secrets, Webhook, sign};
use serde_json::{Value, json};

use self::support::{ANNA, crowd::Crowd, dashboard, data, page, post, serve};

const LOADS: usize = 21;
const SENDERS: usize = 2;
const BACKLOG: usize = 300_000;

#[tokio::main]
async fn main() {
    let option = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let runs = option("--runs").and_then(|runs| runs.parse().ok()).unwrap_or(1_000_000);
    let name = option("--store").unwrap_or_else(|| "sqlite".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let store = open(&name, &folder.path().join("jobs.db").display().to_string()).await;
    let begun = Instant::now();
    Crowd { runs, emails: runs / 100 }.gather(&*store).await;
    println!("{name}: {runs} runs were gathered in {:.0} s", begun.elapsed().as_secs_f64());
    let jobs = Jobs::new(&store);
    pages(&jobs).await;
    webhooks(&jobs).await;
}

async fn open(name: &str, file: &str) -> Arc<dyn Store> {
    let url = |variable| std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server"));
    match name {
        "memory" => Arc::new(Memory::new()),
        "sqlite" => Arc::new(Sqlite::connect(&format!("sqlite:{file}")).await.unwrap()),
        "postgres" => Arc::new(Postgres::connect(&url("DATABASE_URL")).await.unwrap()),
        "redis" => Arc::new(Redis::connect(&url("REDIS_URL")).await.unwrap()),
        other => panic!("there is no store {other}"),
    }
}

async fn pages(jobs: &Jobs) {
    let address = dashboard(jobs).await;
    let id = |list: &Value| list[0]["id"].as_str().unwrap().to_owned();
    let dead = id(&data(address, ANNA, "runs?state=dead").await["runs"]);
    let error = data(address, ANNA, "dead-letters").await["groups"][0]["errorFingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    let email = id(&data(address, ANNA, "emails").await["emails"]);
    for path in [
        "overview".to_owned(),
        "overview?range=day".to_owned(),
        "overview?range=week".to_owned(),
        "runs".to_owned(),
        "runs?state=pending".to_owned(),
        "runs?state=running".to_owned(),
        "runs?state=succeeded".to_owned(),
        "runs?state=dead".to_owned(),
        "runs?state=succeeded&job=send-welcome-email".to_owned(),
        "runs?reference=ord_77".to_owned(),
        format!("runs?state=dead&error={error}"),
        "runs?text=certificate".to_owned(),
        // What no index serves: words that are nowhere.
        "runs?text=nowhere".to_owned(),
        "runs/confirm?act=replay&state=dead".to_owned(),
        format!("runs/{dead}"),
        "dead-letters".to_owned(),
        "jobs".to_owned(),
        "jobs/send-welcome-email".to_owned(),
        "queues".to_owned(),
        "emails".to_owned(),
        "emails?state=open".to_owned(),
        format!("emails/{email}"),
        "suppressions".to_owned(),
        "audit".to_owned(),
    ] {
        let mut took = Vec::new();
        for _ in 0..LOADS {
            let begun = Instant::now();
            assert_eq!(page(address, ANNA, &path).await.status, 200, "{path}");
            took.push(begun.elapsed());
        }
        told(&path, took, 95);
    }
}

fn told(what: &str, mut took: Vec<Duration>, high: usize) {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    println!("{:>8.1} ms median, {:>8.1} p{high}: {what}", at(50), at(high));
}

/// Counts how often it ran.
struct Nothing(Arc<AtomicUsize>);

#[derive(serde::Serialize, serde::Deserialize)]
struct NothingInput(u64);

impl JobInput for NothingInput {
    const JOB: &'static str = "nothing";
    const QUEUE: &'static str = "drained";
}

impl Job for Nothing {
    type Input = NothingInput;
    type Output = u64;

    async fn run(&self, _: &RunContext, NothingInput(input): NothingInput) -> Result<u64, JobError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(input)
    }
}

/// Webhooks of new customers, as long as a backlog is drained beside them.
async fn webhooks(jobs: &Jobs) {
    const SECRET: &str = "whsec_of_the_benchmark";
    let webhook = Webhook::new(jobs, Some(Secrets::new([SECRET]).unwrap()));
    let address = serve(|_| webhook.router()).await;
    for portion in 0..BACKLOG / 1_000 {
        jobs.enqueue_all(((0..1_000).map(|number| (portion * 1_000 + number) as u64)).map(NothingInput))
            .await
            .unwrap();
    }
    let shutdown = Shutdown::new();
    let drained = Arc::new(AtomicUsize::new(0));
    let worker = Worker::new(jobs.store()).register(Nothing(Arc::clone(&drained))).concurrency(64);
    let begun = Instant::now();
    let working = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { worker.run_with(&shutdown).await }
    });
    let senders =
        (0..SENDERS).map(|sender| tokio::spawn(send(address, SECRET, sender, Arc::clone(&drained))));
    let mut took = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        took.extend(sender.await.unwrap());
    }
    let drain = BACKLOG as f64 / begun.elapsed().as_secs_f64();
    told(&format!("{} webhooks beside a drain of {drain:.0} runs a second", took.len()), took, 99);
    shutdown.stop();
    working.await.unwrap().unwrap();
}

async fn send(address: SocketAddr, secret: &str, sender: usize, drained: Arc<AtomicUsize>) -> Vec<Duration> {
    let mut took = Vec::new();
    while drained.load(Ordering::Relaxed) < BACKLOG {
        let number = took.len();
        let body = json!({
            "id": format!("evt_{sender}_{number}"),
            "object": "event",
            "type": "customer.created",
            "created": 1_795_460_942,
            "data": {"object": {"id": format!("cus_{sender}_{number}"), "object": "customer", "email": "ada@example.com", "name": "Ada"}},
        });
        let body = body.to_string();
        let time = jiff::Timestamp::now().as_second();
        let header = format!("Stripe-Signature: {}\r\n", sign(secret, time, body.as_bytes()));
        let begun = Instant::now();
        let answer = post(address, "/webhooks/stripe", &header, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        took.push(begun.elapsed());
    }
    took
}

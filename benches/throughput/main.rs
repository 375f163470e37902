//! How fast the stores are, through the public API: `cargo xtask bench --store sqlite`.
//!
//! Each work runs in a process of its own, so that one leaves nothing to the next and its peak memory is its own.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod beside;
mod limits;
mod observe;
mod processes;
mod schedules;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use riqle_jobs::{
    Job, JobError, JobInput, Jobs, NewRun, Payload, RunContext, RunState, Worker,
    store::{
        AttemptOutcome, ClaimRequest, Claimed, ClaimedRun, Due, Ending, LeaseToken, Settlement, Store,
        WorkerId,
    },
};
use serde::Serialize;
use tokio::sync::Notify;

const DRAIN_RUNS: u64 = 50_000;
const STEP_RUNS: u64 = 5_000;
const IDLE_RUNS: usize = 500;
const CONCURRENCY: usize = 32;
const COUNTED: &str = "every enqueue is answered after its write, a drain is counted once settled";

fn main() {
    // cargo passes --bench; the rest is ours.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    let store = option("--store").unwrap_or_else(|| "memory".to_owned());
    let observed = option("--observe");
    match option("--work") {
        Some(work) => one_work(&store, &work, observed),
        None => {
            let rounds = option("--rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
            all_works(&store, rounds, observed, option("--json"));
        }
    }
}

/// A figure as it is written to the JSON file.
#[derive(Serialize)]
struct Figure {
    work: String,
    store: String,
    peer: &'static str,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
}

/// Interleaved, so that a noisy minute hits every work alike.
fn all_works(store: &str, rounds: usize, observed: Option<String>, json: Option<String>) {
    let mut values: BTreeMap<(usize, String), Vec<f64>> = BTreeMap::new();
    let mut works = vec![
        "enqueue_one",
        "enqueue_16",
        "enqueue_bulk",
        "drain",
        "limit",
        "steps",
        "idle",
        "ticks",
        "ticks_at_once",
    ];
    match store {
        "redis" => works.push("size"),
        "postgres" => works.push("held_snapshot"),
        _ => {}
    }
    for _ in 0..rounds {
        for (place, work) in works.iter().enumerate() {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--store", store, "--work", work])
                .args(observed.iter().flat_map(|what| ["--observe", what]))
                .stderr(std::process::Stdio::inherit())
                .output()
                .unwrap();
            assert!(output.status.success(), "{work} on {store} failed");
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                let (name, value) = line.split_once(' ').unwrap();
                values.entry((place, name.to_owned())).or_default().push(value.parse().unwrap());
            }
        }
    }
    let figures: Vec<Figure> = values
        .into_iter()
        .map(|((_, work), mut values)| {
            values.sort_by(f64::total_cmp);
            Figure {
                unit: unit(&work),
                store: store.to_owned(),
                peer: "riqle-jobs",
                median: values[values.len() / 2],
                min: values[0],
                max: values[values.len() - 1],
                work,
            }
        })
        .collect();
    println!("{:<14}{:<8}{:>14}{:>14}{:>14}  unit", "work", "store", "median", "min", "max");
    for figure in &figures {
        let Figure { work, store, median, min, max, unit, .. } = figure;
        println!("{work:<14}{store:<8}{median:>14.2}{min:>14.2}{max:>14.2}  {unit}");
    }
    match store {
        "sqlite" => println!("synchronous=FULL; {COUNTED}"),
        "postgres" => println!("{}; {COUNTED}", limits::settings()),
        "redis" => println!("{}; {COUNTED}", limits::redis_settings()),
        _ => {}
    }
    if let Some(file) = json {
        std::fs::write(file, serde_json::to_string_pretty(&figures).unwrap()).unwrap();
    }
}

fn unit(work: &str) -> &'static str {
    match work {
        "memory" => "MB",
        "run_size" => "bytes",
        "tick_at_once" => "ms",
        work if work.ends_with("_ratio") => "",
        work if work.ends_with("_cpu") => "% of a core",
        work if work.starts_with("disk_") || work.starts_with("claim_") || work.contains("_p") => "ms",
        _ => "runs/s",
    }
}

#[tokio::main]
async fn one_work(kind: &str, work: &str, observed: Option<String>) {
    if let Some(what) = observed {
        observe::install(&what);
    }
    let folder = tempfile::tempdir().unwrap();
    let url = match kind {
        "memory" => "memory:".to_owned(),
        "sqlite" => format!("sqlite:{}", folder.path().join("jobs.db").display()),
        "postgres" => limits::fresh_schema().await,
        "redis" => limits::fresh_redis(),
        other => panic!("unknown store {other:?}; use memory, sqlite, postgres or redis"),
    };
    let store = riqle_jobs::connect(&url).await.unwrap();
    match work {
        "enqueue_one" => enqueue_one(&store).await,
        "enqueue_16" => enqueue_16(&store).await,
        "enqueue_bulk" => enqueue_bulk(&store).await,
        "drain" => drain(&store).await,
        "limit" => limits::print(&url, folder.path()).await,
        "steps" => steps(&store).await,
        "claim" => claim(&store).await,
        "size" => size(&store).await,
        "idle" => idle(&store).await,
        "ticks" => schedules::ticks(&store, kind).await,
        "ticks_at_once" => schedules::ticks_at_once(&store).await,
        "held_snapshot" => beside::held_snapshot().await,
        "stale_statistics" => beside::stale_statistics().await,
        other => panic!("unknown work {other:?}"),
    }
}

/// A no-op with an input of about 40 bytes.
#[derive(Default)]
struct Nothing {
    ended: Arc<Ended>,
    steps: u32,
}

#[derive(Default)]
struct Ended {
    runs: AtomicU64,
    last: Notify,
    expected: u64,
}

impl JobInput for Order {
    const JOB: &'static str = "nothing";
}

impl Job for Nothing {
    type Input = Order;
    type Output = ();

    async fn run(&self, run: &RunContext, _: Order) -> Result<(), JobError> {
        for step in 0..self.steps {
            run.keyed(step).step("step", || async move { Ok(step) }).await?;
        }
        if self.ended.runs.fetch_add(1, Ordering::Relaxed) + 1 == self.ended.expected {
            self.ended.last.notify_one();
        }
        Ok(())
    }
}

#[derive(Serialize, serde::Deserialize)]
struct Order {
    order_id: String,
    number: u64,
}

fn order(number: u64) -> Order {
    Order { order_id: format!("order-{number:012}"), number }
}

/// How much of the server's memory a pending run takes, with an input of 200 bytes.
async fn size(store: &Arc<dyn Store>) {
    const RUNS: u64 = 100_000;
    let before = limits::redis_memory();
    let input = Payload::from_json_text(format!("\"{}\"", "x".repeat(198)));
    for _ in 0..RUNS / 1_000 {
        let run = |_| NewRun::named(Order::JOB, input.clone());
        store.enqueue((0..1_000).map(run).collect()).await.unwrap();
    }
    println!("run_size {}", (limits::redis_memory() - before) as f64 / RUNS as f64);
}

fn print_rate(work: &str, runs: u64, took: Duration) {
    println!("{work} {}", runs as f64 / took.as_secs_f64());
}

async fn enqueue_one(store: &Arc<dyn Store>) {
    let jobs = Jobs::new(store);
    let begun = Instant::now();
    let mut runs = 0;
    while begun.elapsed() < Duration::from_secs(1) {
        jobs.enqueue(order(runs)).await.unwrap();
        runs += 1;
    }
    print_rate("enqueue_one", runs, begun.elapsed());
}

async fn enqueue_16(store: &Arc<dyn Store>) {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let jobs = Jobs::new(store);
        tasks.spawn(async move {
            let mut runs = 0;
            while begun.elapsed() < Duration::from_secs(1) {
                jobs.enqueue(order(runs)).await.unwrap();
                runs += 1;
            }
            runs
        });
    }
    let runs = tasks.join_all().await.into_iter().sum();
    print_rate("enqueue_16", runs, begun.elapsed());
}

async fn enqueue_bulk(store: &Arc<dyn Store>) {
    let begun = Instant::now();
    fill(store, DRAIN_RUNS).await;
    print_rate("enqueue_bulk", DRAIN_RUNS, begun.elapsed());
}

async fn fill(store: &Arc<dyn Store>, runs: u64) {
    let jobs = Jobs::new(store);
    for portion in (0..runs).collect::<Vec<_>>().chunks(1_000) {
        jobs.enqueue_all(portion.iter().map(|number| order(*number))).await.unwrap();
    }
}

async fn drain(store: &Arc<dyn Store>) {
    fill(store, DRAIN_RUNS).await;
    let took = work_off(store, DRAIN_RUNS, 0).await;
    print_rate("drain", DRAIN_RUNS, took);
    println!("memory {}", peak_memory_mb());
}

/// How long a claim of one due run takes in an empty store, and beside a million runs each that have ended, that are
/// due tomorrow, and that are due now and of a job that the worker does not know.
async fn claim(store: &Arc<dyn Store>) {
    const BESIDE: u64 = 1_000_000;
    let token = LeaseToken::new();
    let request = |limit| ClaimRequest {
        queue: "default".to_owned(),
        jobs: Arc::from([Order::JOB.to_owned()]),
        limit,
        lease: Duration::from_secs(600),
        token,
        worker: WorkerId::new(),
    };
    let run = |job: &str, number| {
        let input = Payload::json(&order(number)).unwrap();
        NewRun::named(job, input)
    };
    let end = async |claimed: Claimed| {
        let settle = |run: &ClaimedRun| Settlement {
            lease: run.lease.clone(),
            ending: Ending::Succeeded { output: Payload::json(&()).unwrap() },
            failures: 0,
            attempt: 1,
            outcome: AttemptOutcome::Succeeded,
            error: None,
            error_fingerprint: None,
        };
        store.settle(claimed.runs.iter().map(settle).collect()).await.unwrap();
    };
    let claims = async || {
        let mut took = Vec::new();
        for number in 0..2_000 {
            store.enqueue(vec![run(Order::JOB, number)]).await.unwrap();
            let begun = Instant::now();
            let claimed = store.claim(request(32)).await.unwrap();
            took.push(begun.elapsed().as_secs_f64() * 1_000.0);
            assert_eq!(claimed.runs.len(), 1);
            end(claimed).await;
        }
        took.sort_by(f64::total_cmp);
        took[took.len() / 2]
    };
    println!("claim_empty {}", claims().await);
    let all: Vec<u64> = (0..BESIDE).collect();
    for portion in all.chunks(1_000) {
        let due = |number: &u64| run(Order::JOB, *number);
        store.enqueue(portion.iter().map(due).collect()).await.unwrap();
        end(store.claim(request(1_000)).await.unwrap()).await;
    }
    for portion in all.chunks(1_000) {
        let tomorrow = |number: &u64| {
            let mut run = run(Order::JOB, *number);
            run.due = Due::In(Duration::from_secs(86_400));
            run
        };
        store.enqueue(portion.iter().map(tomorrow).collect()).await.unwrap();
        store.enqueue(portion.iter().map(|number| run("unknown", *number)).collect()).await.unwrap();
    }
    println!("claim_beside {}", claims().await);
}

async fn steps(store: &Arc<dyn Store>) {
    fill(store, STEP_RUNS).await;
    let took = work_off(store, STEP_RUNS, 3).await;
    print_rate("steps", STEP_RUNS, took);
}

/// From the worker's start until every run is stored as succeeded; the end of the worker counts in, since it waits
/// for the last settle.
async fn work_off(store: &Arc<dyn Store>, runs: u64, steps: u32) -> Duration {
    let took = work_through(store, runs, steps).await;
    let counts = store.counts().await.unwrap();
    assert!(
        counts.iter().all(|count| count.state == RunState::Succeeded && count.runs == runs),
        "{counts:?}"
    );
    took
}

/// As `work_off`, among other runs.
async fn work_through(store: &Arc<dyn Store>, runs: u64, steps: u32) -> Duration {
    let ended = Arc::new(Ended { expected: runs, ..Ended::default() });
    let worker =
        Worker::new(store).concurrency(CONCURRENCY).register(Nothing { ended: Arc::clone(&ended), steps });
    let begun = Instant::now();
    worker.run_until(async move { ended.last.notified().await }).await.unwrap();
    begun.elapsed()
}

/// Says when its body starts.
struct Stamp(tokio::sync::mpsc::UnboundedSender<Instant>);

#[derive(Serialize, serde::Deserialize)]
struct Stamped(Order);

impl JobInput for Stamped {
    const JOB: &'static str = "stamp";
}

impl Job for Stamp {
    type Input = Stamped;
    type Output = ();

    async fn run(&self, _: &RunContext, _: Stamped) -> Result<(), JobError> {
        self.0.send(Instant::now()).map_err(JobError::dead)
    }
}

async fn idle(store: &Arc<dyn Store>) {
    let latencies = idle_latencies(store).await;
    for percent in [50, 95, 99] {
        println!("idle_p{percent} {}", latencies[latencies.len() * percent / 100]);
    }
}

/// From enqueue to the start of the body, in milliseconds, with nothing else to do; the shortest first.
async fn idle_latencies(store: &Arc<dyn Store>) -> Vec<f64> {
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let jobs = Jobs::new(store);
    let worker = Worker::new(store).concurrency(CONCURRENCY).register(Stamp(started));
    let mut latencies: Vec<f64> = Vec::new();
    worker
        .run_until(async {
            for number in 0..IDLE_RUNS as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let begun = Instant::now();
                jobs.enqueue(Stamped(order(number))).await.unwrap();
                latencies.push(starts.recv().await.unwrap().duration_since(begun).as_secs_f64() * 1_000.0);
            }
        })
        .await
        .unwrap();
    latencies.sort_by(f64::total_cmp);
    latencies
}

fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or(f64::NAN, |kilobytes: f64| kilobytes / 1_024.0)
}

//! Schedules: how late their runs start, what they cost while nothing else is to do, and what they take from a drain.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use riqle_jobs::{
    Job, JobError, JobInput, Jobs, RunContext, Worker,
    schedule::Schedule,
    store::{Clock, ScheduleWrite, Store, Timestamp},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::{CONCURRENCY, DRAIN_RUNS, Ended, Nothing, fill, order, processes::Server};

const SCHEDULES: u64 = 100_000;
/// Ten are due each second.
const APART: Duration = Duration::from_millis(100);
const WATCHED_FOR: Duration = Duration::from_secs(30);
const PAIRS: usize = 5;
const AT_ONCE: u64 = 10_000;

/// Tells when its body starts, and how long after its tick that is.
struct Tick(UnboundedSender<f64>);

#[derive(Serialize, Deserialize)]
struct Tenant {
    number: u64,
}

impl JobInput for Tenant {
    const JOB: &'static str = "tick";
}

impl Job for Tick {
    type Input = Tenant;
    type Output = ();

    async fn run(&self, run: &RunContext, _: Tenant) -> Result<(), JobError> {
        let tick = run.tick().ok_or_else(|| JobError::dead("no tick"))?;
        let late = Clock::Server.local_now().duration_since(tick.at).as_secs_f64() * 1_000.0;
        self.0.send(late).map_err(JobError::dead)
    }
}

/// Beside 100,000 schedules, of which ten are due each second: drains by a worker that ticks them, and by one that does not; what ten
/// runs a second cost that an application enqueues; what those of the ticks cost, and how late they start.
pub(crate) async fn ticks(store: &Arc<dyn Store>, kind: &str) {
    let (late, mut ticks) = unbounded_channel();
    // Each comes once in the time that it takes to go through all of them.
    make(store, SCHEDULES, APART, APART * SCHEDULES as u32, Duration::from_secs(40)).await;
    // The first one warms up.
    drain(store, None).await;
    let mut ratios = Vec::new();
    for pair in 0..PAIRS {
        let (mut with, mut without) = (Duration::ZERO, Duration::ZERO);
        for ticking in [pair % 2 == 0, pair % 2 == 1] {
            let took = drain(store, ticking.then_some(&late)).await;
            if ticking { with = took } else { without = took }
        }
        ratios.push(without.as_secs_f64() / with.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("tick_ratio {}", ratios[PAIRS / 2]);

    let server = Server::of(kind).await;
    let ended = Arc::new(Ended { expected: u64::MAX, ..Ended::default() });
    let plain = Worker::new(store).concurrency(CONCURRENCY).register(Nothing { ended, steps: 0 });
    let enqueues = async {
        let (jobs, mut each) = (Jobs::new(store), tokio::time::interval(APART));
        for number in 0.. {
            each.tick().await;
            jobs.enqueue(order(number)).await.unwrap();
        }
    };
    let running = plain.run_until(async {
        tokio::select! {
            percent = watched(&server) => println!("tick_without_cpu {percent}"),
            () = enqueues => {}
        }
    });
    running.await.unwrap();

    let worker = Worker::new(store).concurrency(CONCURRENCY).register(Tick(late));
    let mut latencies = Vec::new();
    let running = worker.run_until(async {
        // Past its start, and those that nobody has seen yet.
        tokio::time::sleep(Duration::from_secs(5)).await;
        while ticks.try_recv().is_ok() {}
        println!("tick_cpu {}", watched(&server).await);
        latencies.extend(std::iter::from_fn(|| ticks.try_recv().ok()));
    });
    running.await.unwrap();
    latencies.sort_by(f64::total_cmp);
    let due = WATCHED_FOR.as_millis() / APART.as_millis();
    assert!(latencies.len() as u128 + 2 >= due, "{} of {due} ticks came", latencies.len());
    for percent in [50, 99] {
        println!("tick_p{percent} {}", latencies[latencies.len() * percent / 100]);
    }
}

/// What this process and the server take of a core.
async fn watched(server: &Server) -> f64 {
    let (begun, before) = (Instant::now(), server.busy());
    tokio::time::sleep(WATCHED_FOR).await;
    (server.busy() - before) * 100.0 / begun.elapsed().as_secs_f64()
}

/// How long after a second at which 10,000 schedules are due the last of their runs starts.
pub(crate) async fn ticks_at_once(store: &Arc<dyn Store>) {
    let (late, mut ticks) = unbounded_channel();
    make(store, AT_ONCE, Duration::ZERO, Duration::from_secs(3_600), Duration::from_secs(10)).await;
    let worker = Worker::new(store).concurrency(CONCURRENCY).register(Tick(late));
    let mut last = 0.0_f64;
    worker
        .run_until(async {
            for _ in 0..AT_ONCE {
                last = last.max(ticks.recv().await.unwrap());
            }
        })
        .await
        .unwrap();
    println!("tick_at_once {last}");
}

/// By a worker that tells of ticks, or that does not know them.
async fn drain(store: &Arc<dyn Store>, late: Option<&UnboundedSender<f64>>) -> Duration {
    fill(store, DRAIN_RUNS).await;
    let ended = Arc::new(Ended { expected: DRAIN_RUNS, ..Ended::default() });
    let mut worker =
        Worker::new(store).concurrency(CONCURRENCY).register(Nothing { ended: Arc::clone(&ended), steps: 0 });
    if let Some(late) = late {
        worker = worker.register(Tick(late.clone()));
    }
    let begun = Instant::now();
    worker.run_until(async move { ended.last.notified().await }).await.unwrap();
    begun.elapsed()
}

/// Makes schedules within a time, and resolves a moment before its end, when the first is due; each later one is due so much
/// later. The first is made as applications do; the others are written like it, a thousand at once.
async fn make(store: &Arc<dyn Store>, count: u64, apart: Duration, period: Duration, within: Duration) {
    let jobs = Jobs::new(store);
    jobs.declare::<Tenant>().await.unwrap();
    let begin = Timestamp::from_second((Clock::Server.local_now() + within).as_second()).unwrap();
    jobs.schedule(Schedule::every("0", period, Tenant { number: 0 }).starting(begin)).await.unwrap();
    let like = store.schedule(Tenant::JOB, "0").await.unwrap().unwrap();
    let write = |number: &u64| {
        let due_at = begin + apart * *number as u32;
        let mut state: serde_json::Value = serde_json::from_str(&like.row.state).unwrap();
        state["rule"]["every"]["from"] = due_at.to_string().into();
        state["next"] = due_at.to_string().into();
        let mut row = like.row.clone();
        (row.due_at, row.state) = (Some(due_at), state.to_string());
        ScheduleWrite {
            queue: like.queue.clone(),
            job: like.job.clone(),
            name: number.to_string(),
            expects: None,
            version: number + 1,
            row: Some(row),
            run: None,
            live: Vec::new(),
        }
    };
    for numbers in (1..count).collect::<Vec<_>>().chunks(1_000) {
        store.write_schedules(numbers.iter().map(write).collect()).await.unwrap();
    }
    let left = begin.duration_since(Clock::Server.local_now());
    let left = Duration::try_from(left).expect("they are due before all are made");
    tokio::time::sleep(left.saturating_sub(Duration::from_secs(1))).await;
}

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

use crate::{CONCURRENCY, DRAIN_RUNS, Ended, Nothing, fill, processes::Server};

const SCHEDULES: u64 = 100_000;
/// Ten are due each second.
const APART: Duration = Duration::from_millis(100);
const WATCHED_FOR: Duration = Duration::from_secs(30);
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

/// A drain without schedules and one beside 100,000, of which ten are due each second; then these alone.
pub(crate) async fn ticks(store: &Arc<dyn Store>, kind: &str) {
    let (late, mut ticks) = unbounded_channel();
    // The first one warms up.
    drain(store, &late).await;
    let alone = drain(store, &late).await;
    // Each comes once in the time that it takes to go through all of them.
    make(store, SCHEDULES, APART, APART * SCHEDULES as u32, Duration::from_secs(40)).await;
    println!("tick_ratio {}", alone.as_secs_f64() / drain(store, &late).await.as_secs_f64());

    let server = Server::of(kind).await;
    let worker = Worker::new(store).concurrency(CONCURRENCY).register(Tick(late));
    let (mut percent, mut latencies) = (0.0, Vec::new());
    worker
        .run_until(async {
            // Past its start.
            tokio::time::sleep(Duration::from_secs(5)).await;
            while ticks.try_recv().is_ok() {}
            let (begun, before) = (Instant::now(), server.busy());
            tokio::time::sleep(WATCHED_FOR).await;
            percent = (server.busy() - before) * 100.0 / begun.elapsed().as_secs_f64();
            latencies.extend(std::iter::from_fn(|| ticks.try_recv().ok()));
        })
        .await
        .unwrap();
    latencies.sort_by(f64::total_cmp);
    let due = WATCHED_FOR.as_millis() / APART.as_millis();
    assert!(latencies.len() as u128 + 2 >= due, "{} of {due} ticks came", latencies.len());
    for percent in [50, 99] {
        println!("tick_p{percent} {}", latencies[latencies.len() * percent / 100]);
    }
    println!("tick_cpu {percent}");
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

async fn drain(store: &Arc<dyn Store>, late: &UnboundedSender<f64>) -> Duration {
    fill(store, DRAIN_RUNS).await;
    let ended = Arc::new(Ended { expected: DRAIN_RUNS, ..Ended::default() });
    let worker = Worker::new(store)
        .concurrency(CONCURRENCY)
        .register(Nothing { ended: Arc::clone(&ended), steps: 0 })
        .register(Tick(late.clone()));
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
        }
    };
    for numbers in (1..count).collect::<Vec<_>>().chunks(1_000) {
        store.write_schedules(numbers.iter().map(write).collect()).await.unwrap();
    }
    let left = begin.duration_since(Clock::Server.local_now());
    let left = Duration::try_from(left).expect("they are due before all are made");
    tokio::time::sleep(left.saturating_sub(Duration::from_secs(1))).await;
}

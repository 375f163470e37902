//! Schedules beside transactions of the application that stay open.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, Ending, JobFn, JobInput, Jobs, LeaseAnswer, LeaseToken, ManualClock,
    Payload, Queue, RunContext, RunFilter, RunState, Settlement, Unique, Worker, WorkerId,
    schedule::{Overlap, Schedule},
};
use riqle_jobs_postgres::Postgres;
use tokio::time::timeout;

use crate::support::Schema;

const HOUR: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(10);

#[derive(serde::Serialize, serde::Deserialize)]
struct Sync {
    shop: u32,
}

impl JobInput for Sync {
    const JOB: &'static str = "sync";
    const UNIQUE: Option<Unique> = Some(Unique::by("{shop}"));
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Count {}

impl JobInput for Count {
    const JOB: &'static str = "count";
}

fn worker(store: &Postgres) -> Worker {
    Worker::new(store)
        .register(JobFn::new(|_: RunContext, _: Sync| async { Ok(()) }))
        .register(JobFn::new(|_: RunContext, _: Count| async { Ok(()) }))
}

async fn states<I: JobInput>(jobs: &Jobs<Postgres>, state: RunState) -> usize {
    jobs.store().runs(RunFilter::all().of::<I>().states([state])).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_that_an_open_transaction_holds_holds_up_its_tick_alone() {
    let (schema, clock) = (Schema::new(), ManualClock::new());
    let store = schema.open(&clock).await;
    let (jobs, worker) = (Jobs::new(&store), worker(&store));
    worker.run_until_idle().await.unwrap();
    for shop in 0..8 {
        jobs.schedule(Schedule::every(format!("shop-{shop}"), HOUR, Sync { shop })).await.unwrap();
    }
    clock.advance(HOUR);
    let mut tx = jobs.begin().await.unwrap();
    tx.enqueue(Sync { shop: 3 }).delay(HOUR * 24).await.unwrap();

    timeout(SOON, worker.run_until_idle()).await.unwrap().unwrap();
    assert_eq!(states::<Sync>(&jobs, RunState::Succeeded).await, 7);
    tx.rollback().await.unwrap();
    worker.run_until_idle().await.unwrap();
    assert_eq!(states::<Sync>(&jobs, RunState::Succeeded).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_that_cancelled_a_run_of_a_schedule_holds_up_neither_ticks_nor_other_runs() {
    let (schema, clock) = (Schema::new(), ManualClock::new());
    let store = schema.open(&clock).await;
    let (jobs, worker) = (Jobs::new(&store), worker(&store));
    worker.run_until_idle().await.unwrap();
    jobs.schedule(Schedule::every("each-hour", HOUR, Count {}).overlap(Overlap::Allow)).await.unwrap();
    for _ in 0..2 {
        jobs.trigger_schedule(Count::JOB, "each-hour").await.unwrap();
    }
    let request = ClaimRequest {
        queue: "default".to_owned(),
        jobs: [Count::JOB.to_owned()].into(),
        limit: 1,
        lease: HOUR * 24,
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    let claimed = store.claim(request).await.unwrap().runs.remove(0);
    let mut tx = jobs.begin().await.unwrap();
    assert_eq!(tx.cancel(RunFilter::pending().of::<Count>()).await.unwrap(), Some(1));

    let settlement = Settlement {
        lease: claimed.lease,
        ending: Ending::Succeeded { output: Payload::json(&()).unwrap() },
        failures: 0,
        attempt: 1,
        outcome: AttemptOutcome::Succeeded,
        error: None,
        error_fingerprint: None,
    };
    let settled = timeout(SOON, store.settle(vec![settlement])).await.unwrap().unwrap();
    assert_eq!(settled, [LeaseAnswer::Done]);
    clock.advance(HOUR);
    timeout(SOON, worker.run_until_idle()).await.unwrap().unwrap();
    assert_eq!(states::<Count>(&jobs, RunState::Succeeded).await, 2);
    tx.commit().await.unwrap();
    assert_eq!(states::<Count>(&jobs, RunState::Cancelled).await, 1);
}

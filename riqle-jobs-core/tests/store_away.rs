//! A worker outlives its store.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{
    Inspect, Job, JobError, JobInput, Jobs, Memory, NewRun, Queue, RunContext, RunState, Worker,
};

/// Two steps; counts how often each was computed.
struct TwoSteps {
    computed: Arc<Mutex<HashMap<(u64, u32), u32>>>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct TwoStepsInput(u64);

impl JobInput for TwoStepsInput {
    const JOB: &'static str = "two-steps";
}

impl Job for TwoSteps {
    type Input = TwoStepsInput;
    type Output = u64;

    async fn run(&self, run: &RunContext, TwoStepsInput(input): TwoStepsInput) -> Result<u64, JobError> {
        let mut sum = 0;
        for part in 1..=2 {
            sum += run
                .keyed(part)
                .step("part", || async {
                    *self.computed.lock().unwrap().entry((input, part)).or_default() += 1;
                    Ok(u64::from(part) * input)
                })
                .await?;
        }
        Ok(sum)
    }
}

/// F02, F03
#[tokio::test]
async fn every_run_ends_once_though_calls_fail_before_and_after_their_effect() {
    let memory = Memory::new();
    let calls = AtomicU64::new(0);
    let store = Unreliable::new(Arc::new(memory.clone()), move |_| {
        // Of seven calls two fail, one on each side of its effect.
        match calls.fetch_add(1, Ordering::SeqCst) % 7 {
            2 => Some(Fault::Before),
            5 => Some(Fault::After),
            _ => None,
        }
    });
    let runs: Vec<NewRun> = (0..200).map(|number| NewRun::of(&TwoStepsInput(number)).unwrap()).collect();
    while store.enqueue(runs.clone()).await.is_err() {}
    let computed = Arc::new(Mutex::new(HashMap::new()));
    let worker = Worker::new(&store).concurrency(8).register(TwoSteps { computed: Arc::clone(&computed) });

    let watched = memory.clone();
    worker
        .run_until(async move {
            while watched.counts().await.unwrap().iter().any(|count| count.state != RunState::Succeeded) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();

    let counts = memory.counts().await.unwrap();
    assert_eq!((counts.len(), counts[0].state, counts[0].runs), (1, RunState::Succeeded, 200));
    // Nothing crashed and nothing failed: pressure on the store spends no attempt and repeats no step.
    let computed = computed.lock().unwrap().clone();
    assert_eq!(computed.len(), 400);
    assert!(computed.values().all(|times| *times == 1));
    for run in &runs {
        let run = memory.run(run.id).await.unwrap().unwrap();
        assert_eq!((run.failures, run.crashes, run.attempts.len()), (0, 0, 1));
    }
}

/// F02, F39
#[tokio::test]
async fn a_store_that_is_away_and_comes_back_is_worked_for_again() {
    let memory = Memory::new();
    let away = Arc::new(AtomicBool::new(true));
    let is_away = Arc::clone(&away);
    let store = Unreliable::new(Arc::new(memory.clone()), move |_| {
        is_away.load(Ordering::SeqCst).then_some(Fault::Before)
    });
    let worker = Worker::new(&store).register(TwoSteps { computed: Arc::default() });
    let jobs = Jobs::new(&memory);
    let id = jobs.enqueue(TwoStepsInput(1)).await.unwrap().id();
    worker
        .run_until(async {
            // Long enough for several refused claims.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(memory.run(id).await.unwrap().unwrap().state, RunState::Pending);
            away.store(false, Ordering::SeqCst);
            while memory.run(id).await.unwrap().unwrap().state != RunState::Succeeded {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
    assert_eq!(worker.stats().succeeded, 1);
}

/// F32
#[tokio::test]
async fn a_worker_stops_in_bounded_time_though_its_store_is_away() {
    let store = Unreliable::new(Arc::new(Memory::new()), |_| Some(Fault::Before));
    let worker = Worker::new(&store).register(TwoSteps { computed: Arc::default() });
    let stopped = worker.run_until(tokio::time::sleep(Duration::from_millis(100)));
    tokio::time::timeout(Duration::from_secs(20), stopped).await.unwrap().unwrap();
}

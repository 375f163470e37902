//! A worker's slots by queue.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use riqle_jobs_conformance::Unreliable;
use riqle_jobs_core::{
    ErrorKind, Job, JobError, JobInput, Jobs, ManualClock, Memory, RunContext, RunFilter, Worker,
};

/// How many bodies run now, and how many did at most.
#[derive(Default)]
struct Running {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Running {
    async fn one(&self, lasts: Duration) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        // So long that others overlap it.
        tokio::time::sleep(lasts).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Resize(Arc<Running>);

#[derive(serde::Serialize, serde::Deserialize)]
struct ResizeInput(u32);

impl JobInput for ResizeInput {
    const JOB: &'static str = "resize";
    const QUEUE: &'static str = "images";
}

impl Job for Resize {
    type Input = ResizeInput;
    type Output = ();

    async fn run(&self, _: &RunContext, _: ResizeInput) -> Result<(), JobError> {
        self.0.one(Duration::from_millis(20)).await;
        Ok(())
    }
}

struct Greet(Arc<Running>);

#[derive(serde::Serialize, serde::Deserialize)]
struct GreetInput(u32);

impl JobInput for GreetInput {
    const JOB: &'static str = "greet";
}

impl Job for Greet {
    type Input = GreetInput;
    type Output = ();

    async fn run(&self, _: &RunContext, _: GreetInput) -> Result<(), JobError> {
        self.0.one(Duration::from_millis(1)).await;
        Ok(())
    }
}

#[tokio::test]
async fn of_a_queue_with_slots_no_more_run_at_once_and_no_other_queue_waits_for_them() {
    let store = Memory::new();
    let jobs = Jobs::new(&store);
    let (images, greetings) = (Arc::new(Running::default()), Arc::new(Running::default()));
    for number in 0..12 {
        jobs.enqueue(ResizeInput(number)).await.unwrap();
        jobs.enqueue(GreetInput(number)).await.unwrap();
    }
    let worker = Worker::new(&store)
        .register(Resize(Arc::clone(&images)))
        .register(Greet(Arc::clone(&greetings)))
        .concurrency(16)
        .queue_slots(ResizeInput::QUEUE, 2);

    worker.run_until_idle().await.unwrap();

    let succeeded = jobs.runs(RunFilter::succeeded()).await.unwrap();
    assert_eq!(succeeded.len(), 24);
    assert_eq!(images.most.load(Ordering::SeqCst), 2);
    assert!(greetings.most.load(Ordering::SeqCst) > 2);
}

/// Runs that wait for a slot are due all the time, and are still claimed only when one is free.
#[tokio::test]
async fn a_queue_whose_slots_are_taken_is_claimed_from_once_one_is_free() {
    let clock = ManualClock::new();
    let claims = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&claims);
    let store = Unreliable::new(Arc::new(Memory::with_clock(&clock)), move |operation| {
        counted.fetch_add(usize::from(operation == "claim"), Ordering::SeqCst);
        None
    });
    let jobs = Jobs::new(&store);
    let images = Arc::new(Running::default());
    for number in 0..5 {
        jobs.enqueue(ResizeInput(number)).await.unwrap();
    }
    let worker = Worker::new(&store)
        .register(Resize(Arc::clone(&images)))
        .poll_interval(Duration::from_secs(60 * 60))
        .queue_slots(ResizeInput::QUEUE, 1);

    worker.run_until_idle().await.unwrap();

    assert_eq!((worker.stats().succeeded, images.most.load(Ordering::SeqCst)), (5, 1));
    // One a run, and those that find nothing left.
    let claims = claims.load(Ordering::SeqCst);
    assert!((5..=10).contains(&claims), "{claims}");
}

#[tokio::test]
async fn slots_for_a_queue_of_no_job_are_refused() {
    let worker = Worker::new(&Memory::new()).register(Greet(Arc::default())).queue_slots("image", 2);
    let error = worker.run_until_idle().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.to_string(), "run: queue \"image\" has slots, but no registered job uses it");
}

//! Functions and closures as jobs.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use riqle_jobs_core::{
    JobError, JobFn, JobInput, Jobs, ManualClock, Memory, RetryPolicy, RunContext, RunFilter, RunState,
    Worker, testing,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Resize {
    image: String,
}

impl JobInput for Resize {
    const JOB: &'static str = "resize";
}

/// What an application hands to its jobs.
#[derive(Clone, Default)]
struct App {
    resized: Arc<Mutex<Vec<String>>>,
}

async fn resize(app: App, run: RunContext, input: Resize) -> Result<usize, JobError> {
    let resized = &app.resized;
    run.step("resize", || async {
        resized.lock().unwrap().push(input.image.clone());
        Ok(input.image.len())
    })
    .await
}

fn cat() -> Resize {
    Resize { image: "cat.png".to_owned() }
}

#[tokio::test]
async fn a_function_is_a_job_with_the_state_of_the_application() {
    let (store, app) = (Memory::new(), App::default());
    let jobs = Jobs::new(&store);
    let id = jobs.enqueue(cat()).await.unwrap().id();

    Worker::new(&store).register_with(app.clone(), resize).run_until_idle().await.unwrap();

    assert_eq!(testing::output::<usize>(&store, id).await.unwrap(), 7);
    assert_eq!(*app.resized.lock().unwrap(), ["cat.png"]);
}

#[tokio::test]
async fn a_closure_is_a_job_with_a_policy_and_a_timeout() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let jobs = Jobs::new(&store);
    let tried = Arc::new(Mutex::new(Vec::new()));
    let tries = Arc::clone(&tried);
    let job = JobFn::new(move |run: RunContext, _: Resize| {
        tries.lock().unwrap().push(run.attempt());
        async move {
            if run.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Err::<(), _>(JobError::retry("no"))
        }
    });
    let policy = RetryPolicy::fixed(Duration::from_secs(5)).max_retries(1);
    let worker = Worker::new(&store).register(job.retry_policy(policy).timeout(Duration::from_millis(20)));
    jobs.enqueue(cat()).await.unwrap();

    worker.run_until_idle().await.unwrap();
    let waits = &jobs.runs(RunFilter::pending().of::<Resize>()).await.unwrap()[0];
    assert_eq!(waits.error(), Some("timed out after 20ms"));
    assert_eq!(testing::advance_to_next_due(&store, &clock).await.unwrap(), Some(Duration::from_secs(5)));
    worker.run_until_idle().await.unwrap();

    let dead = jobs.runs(RunFilter::dead()).await.unwrap();
    assert_eq!((dead.len(), dead[0].state, dead[0].error()), (1, RunState::Dead, Some("no")));
    assert_eq!(*tried.lock().unwrap(), [1, 2]);
}

//! What a worker does beside its runs, and what keeps failing of it.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{Job, JobError, JobInput, Memory, Registry, RunContext, Shutdown, Worker};
use tokio::time::{sleep, timeout};

struct Greet;

#[derive(serde::Serialize, serde::Deserialize)]
struct GreetInput;

impl JobInput for GreetInput {
    const JOB: &'static str = "greet";
}

impl Job for Greet {
    type Input = GreetInput;
    type Output = ();

    async fn run(&self, _: &RunContext, _: GreetInput) -> Result<(), JobError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_worker_reports_what_of_its_housekeeping_keeps_failing() {
    let store = Unreliable::new(Arc::new(Memory::new()), |operation| {
        (operation == "register_jobs").then_some(Fault::Before)
    });
    let worker = Worker::new(&store).register(Greet);
    let shutdown = Shutdown::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { worker.run_with(&shutdown).await }
    });
    let reported = async {
        loop {
            let workers = store.workers().await.unwrap();
            if let Some(failure) = workers.first().and_then(|worker| worker.report.troubles.first().cloned())
            {
                return failure.error;
            }
            // Until the next report, which comes as soon as registering is tried again.
            sleep(Duration::from_millis(1)).await;
        }
    };
    let told = timeout(Duration::from_secs(20), reported).await.unwrap();
    assert_eq!(told, "can't register jobs: register_jobs: failed before its effect");
    shutdown.stop();
    running.await.unwrap().unwrap();
}

//! A body that blocks the application's only runtime thread.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use riqle_jobs_core::{
    ClaimRequest, Inspect, Job, JobError, JobInput, Jobs, LeaseToken, Queue, RunContext, RunState, Worker,
    WorkerId,
};
use riqle_jobs_sqlite::Sqlite;
use tempfile::TempDir;

const LEASE: Duration = Duration::from_millis(1_000);

struct Block {
    is_over: Arc<AtomicBool>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct BlockInput;

impl JobInput for BlockInput {
    const JOB: &'static str = "block";
}

impl Job for Block {
    type Input = BlockInput;
    type Output = ();

    async fn run(&self, _: &RunContext, _: BlockInput) -> Result<(), JobError> {
        thread::sleep(LEASE * 3);
        self.is_over.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "current_thread")]
async fn f34_a_body_that_blocks_its_runtime_for_three_leases_keeps_its_run() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let store = Sqlite::connect(&url).await.unwrap();
    let id = Jobs::new(&store).enqueue(BlockInput).await.unwrap().id();
    let is_over = Arc::new(AtomicBool::new(false));
    let worker = Worker::new(&store).register(Block { is_over: Arc::clone(&is_over) }).lease(LEASE);
    let rival = thread::spawn(move || claim_until(&url, &is_over));
    worker.run_until_idle().await.unwrap();
    assert_eq!(rival.join().unwrap(), 0, "runs that were taken over");
    let run = store.run(id).await.unwrap().unwrap();
    assert_eq!((run.state, run.crashes, run.attempts.len()), (RunState::Succeeded, 0, 1));
}

/// Takes over whatever a lease has run out of; answers how many runs that were.
fn claim_until(url: &str, is_over: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::connect(url).await.unwrap();
        let mut taken = 0;
        while !is_over.load(Ordering::SeqCst) {
            tokio::time::sleep(LEASE / 10).await;
            // A run that nobody has claimed so far is the worker's.
            let Some(run) = store.runs(Default::default()).await.unwrap().pop() else { continue };
            if run.state != RunState::Running {
                continue;
            }
            let request = ClaimRequest {
                queue: "default".to_owned(),
                jobs: ["block".to_owned()].into(),
                limit: 1,
                lease: LEASE,
                token: LeaseToken::new(),
                worker: WorkerId::new(),
            };
            taken += store.claim(request).await.unwrap().runs.len();
        }
        taken
    })
}

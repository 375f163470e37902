//! F07, F34: a body that blocks its whole runtime keeps its lease, on the embedded store too.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use riqle_jobs::{Inspect, Job, JobError, Jobs, RunContext, RunState, Worker, async_trait, sqlite::Sqlite};
use tokio::runtime::{Builder, Runtime};

const LEASE: Duration = Duration::from_millis(600);

/// Stands still for three leases, with everything on its runtime.
struct Blocks {
    begun: Arc<AtomicU32>,
}

#[async_trait]
impl Job for Blocks {
    const NAME: &'static str = "blocks";
    type Input = ();
    type Output = ();

    async fn run(&self, _: &RunContext, (): ()) -> Result<(), JobError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        // On purpose: no other task of this runtime gets on meanwhile.
        std::thread::sleep(LEASE * 3);
        Ok(())
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_runtime_blocked_for_three_leases_loses_none_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let begun = Arc::new(AtomicU32::new(0));

    let other = std::thread::spawn({
        let (url, begun) = (url.clone(), Arc::clone(&begun));
        move || {
            runtime().block_on(async {
                let store = Sqlite::connect(&url).await.unwrap();
                while begun.load(Ordering::SeqCst) == 0 {
                    // Until the first worker is in its body.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let thief = Worker::new(&store)
                    .poll_interval(Duration::from_millis(20))
                    .register(Blocks { begun: Arc::clone(&begun) });
                let watched = store.clone();
                let ended = async move {
                    while watched
                        .counts()
                        .await
                        .unwrap()
                        .iter()
                        .any(|count| count.state != RunState::Succeeded)
                    {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                thief.run_until(ended).await.unwrap();
                thief.stats()
            })
        }
    });
    runtime().block_on(async {
        let store = Sqlite::connect(&url).await.unwrap();
        Jobs::new(&store).enqueue::<Blocks>(()).await.unwrap();
        let worker = Worker::new(&store).lease(LEASE).register(Blocks { begun: Arc::clone(&begun) });
        worker.run_until_idle().await.unwrap();
        assert_eq!((worker.stats().succeeded, worker.stats().lease_lost), (1, 0));
    });
    assert_eq!(other.join().unwrap().claimed, 0);
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

//! A worker's process.

use std::sync::Arc;

use riqle_jobs_conformance::workload::{self, Surroundings};

use crate::process::{Process, stop_requested};

/// Works until the process is told to stop by a signal.
pub(crate) async fn work(process: Arc<Process>) -> Result<(), String> {
    let store = process.store().await?;
    tokio::spawn(async {
        let _ = stop_requested().await;
        // Whoever drives the torture is gone.
        std::process::exit(1);
    });
    let around: Arc<dyn Surroundings> = process;
    let worker = workload::worker(&store, &around).concurrency(24);
    worker.run().await.map_err(|error| format!("{}: {error}", around.process()))
}

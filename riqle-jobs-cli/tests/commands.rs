//! What each command prints, and its exit code, on the stores that need no server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use riqle_jobs::{ManualClock, Memory, sqlite::Sqlite, store::Store};

#[tokio::test]
async fn each_command_prints_the_same_on_memory() {
    let clock = ManualClock::starting_at(support::start());
    let store: Arc<dyn Store> = Arc::new(Memory::with_clock(&clock));
    for (name, transcript) in support::transcripts(&store, &clock).await {
        support::compare("memory", name, &transcript);
    }
}

#[tokio::test]
async fn each_command_prints_the_same_on_sqlite() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::starting_at(support::start()));
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let store: Arc<dyn Store> = Arc::new(Sqlite::options(&url).clock(&clock).open().await.unwrap());
    for (name, transcript) in support::transcripts(&store, &clock).await {
        support::compare("sqlite", name, &transcript);
    }
}

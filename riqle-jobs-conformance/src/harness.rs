//! How the suite gets at a store, and at one that stages for others.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use riqle_jobs_core::{Error, ManualClock, NewRun, Staging, Store, Wake, store::NewEvent};

/// How the suite gets at a store. One is started for each case.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens an empty store, with the default limits, on a [`ManualClock::new`]. It lives as long as the harness.
    async fn start() -> Self
    where
        Self: Sized;

    /// The store's first handle; the same one each time.
    fn store(&self) -> Arc<dyn Store>;

    /// Another handle on the same data and clock: another connection or pool, where the store has such.
    async fn second_handle(&self) -> Arc<dyn Store>;

    /// The clock of every handle.
    fn clock(&self) -> &ManualClock;
}

/// How a store is got at that stages for others.
#[async_trait]
pub trait StagingHarness: Harness {
    /// The store's first handle, as [`Harness::store`].
    fn staging(&self) -> Arc<dyn Staging>;

    /// Another handle, as [`Harness::second_handle`].
    async fn second_staging(&self) -> Arc<dyn Staging>;

    /// Stages the runs and then the events in one transaction, and ends it so; answers with both wakes, not fired. A
    /// transaction whose staging is refused is committed all the same, and the refusal answered.
    async fn stage(
        &self,
        runs: Vec<NewRun>,
        events: Vec<NewEvent>,
        end: TransactionEnd,
    ) -> Result<[Wake; 2], Error>;
}

/// How a transaction of the application ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd {
    /// It is committed.
    Commit,
    /// It is rolled back.
    RollBack,
}

/// Runs a case; one that hangs fails after a minute.
///
/// # Panics
/// Where the case has not ended by then.
pub async fn within_limit(case: impl Future<Output = ()>) {
    let limit = Duration::from_secs(60);
    assert!(tokio::time::timeout(limit, case).await.is_ok(), "the case has not ended within {limit:?}");
}

/// A store that a harness has opened.
///
/// # Panics
/// Where it did not open: with the error and its causes, how long that took, and how busy the machine was.
pub async fn opened<S>(opening: impl Future<Output = Result<S, Error>>) -> S {
    let began = std::time::Instant::now();
    match opening.await {
        Ok(store) => store,
        Err(error) => {
            let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
            panic!(
                "the store did not open in {:?}, at a load of {}: {error:#?}",
                began.elapsed(),
                load.trim()
            );
        }
    }
}

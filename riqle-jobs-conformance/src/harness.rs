use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use riqle_jobs_core::{ManualClock, Store};

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

/// Runs a case; one that hangs fails after a minute.
///
/// # Panics
/// Where the case has not ended by then.
pub async fn within_limit(case: impl Future<Output = ()>) {
    let limit = Duration::from_secs(60);
    assert!(tokio::time::timeout(limit, case).await.is_ok(), "the case has not ended within {limit:?}");
}

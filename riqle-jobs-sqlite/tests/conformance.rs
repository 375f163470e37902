//! The SQLite store, held to what every store owes.

#![allow(clippy::expect_used)]

use std::sync::Arc;

use riqle_jobs_conformance::{
    Harness, StagingHarness, TransactionEnd, conformance_suite, model_test, staging_suite,
};
use riqle_jobs_core::{
    Database, DatabaseTransaction, Error, ManualClock, NewRun, Staging, Store, Wake, async_trait,
    store::NewEvent,
};
use riqle_jobs_sqlite::Sqlite;
use tempfile::TempDir;

struct OnDisk {
    folder: TempDir,
    store: Sqlite,
    clock: ManualClock,
}

async fn open(folder: &TempDir, clock: &ManualClock) -> Sqlite {
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    riqle_jobs_conformance::opened(Sqlite::options(&url).clock(clock).open()).await
}

#[async_trait]
impl Harness for OnDisk {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let clock = ManualClock::new();
        let store = open(&folder, &clock).await;
        Self { folder, store, clock }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        Arc::new(open(&self.folder, &self.clock).await)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

#[async_trait]
impl StagingHarness for OnDisk {
    fn staging(&self) -> Arc<dyn Staging> {
        Arc::new(self.store.clone())
    }

    async fn second_staging(&self) -> Arc<dyn Staging> {
        Arc::new(open(&self.folder, &self.clock).await)
    }

    async fn stage(
        &self,
        runs: Vec<NewRun>,
        events: Vec<NewEvent>,
        end: TransactionEnd,
    ) -> Result<[Wake; 2], Error> {
        let mut transaction = self.store.begin().await?;
        let of_runs = self.store.stage_in(&mut transaction, runs).await;
        let of_events = self.store.stage_event_in(&mut transaction, events).await;
        match end {
            TransactionEnd::Commit => transaction.commit().await?,
            TransactionEnd::RollBack => transaction.rollback().await?,
        }
        Ok([of_runs?, of_events?])
    }
}

conformance_suite!(OnDisk);
staging_suite!(OnDisk);
model_test!(OnDisk);

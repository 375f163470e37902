//! Every case of the suite on a SQLite store whose every write loses its first reply and is made again.

#![allow(clippy::expect_used)]

use std::sync::Arc;

use riqle_jobs_conformance::{Harness, LostReplies, conformance_suite};
use riqle_jobs_core::{ManualClock, Store, async_trait};
use riqle_jobs_sqlite::Sqlite;
use tempfile::TempDir;

struct OnDiskWithLostReplies {
    folder: TempDir,
    store: Sqlite,
    clock: ManualClock,
}

async fn open(folder: &TempDir, clock: &ManualClock) -> Sqlite {
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    Sqlite::options(&url).clock(clock).open().await.expect("the store opens")
}

#[async_trait]
impl Harness for OnDiskWithLostReplies {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let clock = ManualClock::new();
        let store = open(&folder, &clock).await;
        Self { folder, store, clock }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(LostReplies::new(Arc::new(self.store.clone())))
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        Arc::new(LostReplies::new(Arc::new(open(&self.folder, &self.clock).await)))
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

conformance_suite!(OnDiskWithLostReplies);

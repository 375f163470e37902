//! The PostgreSQL store, held to what every store owes.

mod support;

use std::sync::Arc;

use riqle_jobs_conformance::{
    Harness, StagingHarness, TransactionEnd, conformance_suite, model_test, staging_suite,
};
use riqle_jobs_core::{
    Database, DatabaseTransaction, Error, ManualClock, NewRun, Staging, Store, Wake, async_trait,
    store::NewEvent,
};
use riqle_jobs_postgres::Postgres;

use crate::support::Schema;

struct OnServer {
    store: Postgres,
    clock: ManualClock,
    schema: Schema,
}

#[async_trait]
impl Harness for OnServer {
    async fn start() -> Self {
        let schema = Schema::new();
        let clock = ManualClock::new();
        let store = schema.open(&clock).await;
        Self { store, clock, schema }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        Arc::new(self.schema.open(&self.clock).await)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

#[async_trait]
impl StagingHarness for OnServer {
    fn staging(&self) -> Arc<dyn Staging> {
        Arc::new(self.store.clone())
    }

    async fn second_staging(&self) -> Arc<dyn Staging> {
        Arc::new(self.schema.open(&self.clock).await)
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

conformance_suite!(OnServer);
staging_suite!(OnServer);
model_test!(OnServer);

//! The PostgreSQL store, every write of it losing its first reply and made again.

mod support;

use std::sync::Arc;

use riqle_jobs_conformance::{Harness, LostReplies, conformance_suite};
use riqle_jobs_core::{ManualClock, Store, async_trait};
use riqle_jobs_postgres::Postgres;

use crate::support::Schema;

struct OnServerWithLostReplies {
    store: Postgres,
    clock: ManualClock,
    schema: Schema,
}

#[async_trait]
impl Harness for OnServerWithLostReplies {
    async fn start() -> Self {
        let schema = Schema::new();
        let clock = ManualClock::new();
        let store = schema.open(&clock).await;
        Self { store, clock, schema }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(LostReplies::new(Arc::new(self.store.clone())))
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        Arc::new(LostReplies::new(Arc::new(self.schema.open(&self.clock).await)))
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

conformance_suite!(OnServerWithLostReplies);

//! The Redis store, every write of it losing its first reply and made again.

mod support;

use std::sync::Arc;

use riqle_jobs_conformance::{Harness, LostReplies, conformance_suite};
use riqle_jobs_core::{ManualClock, Store, async_trait};
use riqle_jobs_redis::Redis;

use crate::support::Prefix;

struct OnServerWithLostReplies {
    store: Redis,
    clock: ManualClock,
    prefix: Prefix,
}

#[async_trait]
impl Harness for OnServerWithLostReplies {
    async fn start() -> Self {
        let (prefix, clock) = (Prefix::on_server(), ManualClock::new());
        let store = prefix.open(&clock).await;
        Self { store, clock, prefix }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(LostReplies::new(Arc::new(self.store.clone())))
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        Arc::new(LostReplies::new(Arc::new(self.prefix.open(&self.clock).await)))
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

conformance_suite!(OnServerWithLostReplies);

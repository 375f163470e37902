//! The memory store, held to what every store owes.

use std::sync::Arc;

use riqle_jobs_conformance::{Harness, conformance_suite, model_test};
use riqle_jobs_core::{ManualClock, Memory, Store, async_trait};

struct InMemory {
    store: Memory,
    clock: ManualClock,
}

#[async_trait]
impl Harness for InMemory {
    async fn start() -> Self {
        let clock = ManualClock::new();
        Self { store: Memory::with_clock(&clock), clock }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        self.store()
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

conformance_suite!(InMemory);
model_test!(InMemory);

//! Every case of the suite on a memory store whose every write loses its first reply and is made again.

use std::sync::Arc;

use riqle_jobs_conformance::{Harness, LostReplies, conformance_suite, model_test};
use riqle_jobs_core::{ManualClock, Memory, Store, async_trait};

struct MemoryWithLostReplies {
    store: Memory,
    clock: ManualClock,
}

#[async_trait]
impl Harness for MemoryWithLostReplies {
    async fn start() -> Self {
        let clock = ManualClock::new();
        Self { store: Memory::with_clock(&clock), clock }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(LostReplies::new(Arc::new(self.store.clone())))
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        self.store()
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

conformance_suite!(MemoryWithLostReplies);
model_test!(MemoryWithLostReplies);

//! The model test finds a store that differs.

use std::sync::Arc;

use riqle_jobs_conformance::{Fault, Harness, Unreliable, random_operations_match_memory};
use riqle_jobs_core::{ManualClock, Memory, Store, async_trait};

/// A memory store that says nothing of some calls.
struct Flawed {
    store: Memory,
    clock: ManualClock,
}

#[async_trait]
impl Harness for Flawed {
    async fn start() -> Self {
        let clock = ManualClock::new();
        Self { store: Memory::with_clock(&clock), clock }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(Unreliable::new(Arc::new(self.store.clone()), |operation| {
            (operation == "discard").then_some(Fault::After)
        }))
    }

    async fn second_handle(&self) -> Arc<dyn Store> {
        self.store()
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

#[tokio::test]
#[should_panic(expected = "the answer differs from the memory store's")]
async fn a_store_that_answers_otherwise_is_found() {
    random_operations_match_memory(&Flawed::start().await, 1, 2_000).await;
}

/// A run that no operation brought.
#[tokio::test]
#[should_panic(expected = "differs from the memory store's")]
async fn a_store_whose_state_differs_is_found() {
    let flawed = Flawed::start().await;
    let run = riqle_jobs_core::NewRun::named("unknown", riqle_jobs_core::Payload::from_json_text("1"))
        .queue("mail")
        .priority(riqle_jobs_core::Priority::LOW);
    assert!(flawed.store().enqueue(vec![run]).await.is_ok());
    random_operations_match_memory(&flawed, 1, 100).await;
}

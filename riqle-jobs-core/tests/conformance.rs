//! The memory store, held to what every store owes.

use std::sync::Arc;

use riqle_jobs_conformance::{
    Harness, MemoryStaging, StagingHarness, TransactionEnd, conformance_suite, model_test, staging_suite,
};
use riqle_jobs_core::{
    Error, Hint, Limits, ManualClock, Memory, NewRun, Staging, Store, Wake, WakeSender, async_trait,
    events::check_events,
    store::{NewEvent, Staged},
};

struct InMemory {
    store: Memory,
    staging: MemoryStaging,
    clock: ManualClock,
}

#[async_trait]
impl Harness for InMemory {
    async fn start() -> Self {
        let clock = ManualClock::new();
        let staging = MemoryStaging::new(&clock);
        Self { store: Memory::with_clock(&clock), staging, clock }
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

/// The double that stands for a staging in core's tests, held to what it stands for.
#[async_trait]
impl StagingHarness for InMemory {
    fn staging(&self) -> Arc<dyn Staging> {
        Arc::new(self.staging.clone())
    }

    async fn second_staging(&self) -> Arc<dyn Staging> {
        self.staging()
    }

    async fn stage(
        &self,
        runs: Vec<NewRun>,
        events: Vec<NewEvent>,
        end: TransactionEnd,
    ) -> Result<[Wake; 2], Error> {
        Limits::default().check_runs("stage", &runs)?;
        check_events(&events, Limits::default())?;
        if end == TransactionEnd::RollBack {
            return Ok([(); 2].map(|()| WakeSender::default().wake(Hint::Staged)));
        }
        let runs: Vec<Staged> = runs.into_iter().map(Staged::run).collect::<Result<_, _>>()?;
        let events: Vec<Staged> = events.into_iter().map(Staged::event).collect::<Result<_, _>>()?;
        Ok([self.staging.stage(runs), self.staging.stage(events)])
    }
}

conformance_suite!(InMemory);
staging_suite!(InMemory);
model_test!(InMemory);

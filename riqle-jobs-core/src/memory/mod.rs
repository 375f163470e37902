//! The store in memory. It keeps every promise of a store but outliving its process, and is the model that the
//! other stores are compared with.

mod audit;
mod due;
mod email_log;
mod inspect;
mod lists;
mod metrics;
mod names;
mod notes;
mod operate;
mod queue;
mod queues;
mod registry;
mod run;
mod unique;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use self::{
    audit::Actions,
    due::DueRuns,
    email_log::Emails,
    lists::{Lists, Shelf},
    metrics::Metrics,
    names::Names,
    registry::Known,
    run::StoredRun,
    unique::UniqueKeys,
};
use crate::{Clock, Limits, RunId, WakeSender, store::Pause};

/// A store in this process's memory: for tests, and for work that may be lost with the process.
///
/// A handle: clones share what is stored.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), riqle_jobs_core::Error> {
/// use riqle_jobs_core::{Inspect, Memory, NewRun, Payload, Priority, Queue};
///
/// let store = Memory::new();
/// let run = NewRun::with_payload("greet", "default", Priority::DEFAULT, Payload::json("Ada")?);
/// let id = run.id;
/// store.enqueue(vec![run]).await?;
/// assert!(store.run(id).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    wake: WakeSender,
    clock: Clock,
    limits: Limits,
}

impl Memory {
    /// An empty store on the machine's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that takes its time from `clock`, such as a `&ManualClock`.
    pub fn with_clock(clock: impl Into<Clock>) -> Self {
        Self { clock: clock.into(), ..Self::default() }
    }

    /// Sets what this handle, and clones made of it from now on, accept.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state and the time, taken together so that a later change never shows an earlier time.
    fn begin(&self) -> (MutexGuard<'_, State>, Timestamp) {
        let state = self.state();
        let now = self.clock.local_now();
        (state, now)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    runs: BTreeMap<RunId, StoredRun>,
    due: DueRuns,
    lists: Lists,
    names: Names,
    unique: UniqueKeys,
    paused: BTreeMap<String, Pause>,
    known: Known,
    metrics: Metrics,
    emails: Emails,
    actions: Actions,
}

impl State {
    /// Keeps a new run and files it.
    fn insert(&mut self, id: RunId, run: StoredRun) {
        self.due.insert(id, &run);
        self.lists.insert(id, &run);
        self.names.insert(id, &run);
        self.runs.insert(id, run);
    }

    /// Changes a run and files it anew.
    fn change(&mut self, id: RunId, change: impl FnOnce(&mut StoredRun)) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let (shelf, error) = (Shelf::of(run), run.error_fingerprint.clone());
        self.due.remove(id, run);
        change(run);
        self.names.error_changed(id, error, run);
        self.due.insert(id, run);
        if Shelf::of(run) != shelf {
            self.lists.remove(id, run, shelf);
            self.lists.insert(id, run);
        }
        if run.state.is_ended() {
            self.unique.run_ended(id, run);
        }
    }

    fn delete(&mut self, id: RunId) {
        let Some(run) = self.runs.remove(&id) else { return };
        self.due.remove(id, &run);
        self.lists.remove(id, &run, Shelf::of(&run));
        self.names.remove(id, &run);
    }
}

//! The store in memory. It keeps every promise of a store except surviving its process, and is the model that
//! the other stores are tested against.

mod audit;
#[cfg(test)]
mod clock_tests;
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
mod schedules;
#[cfg(test)]
mod snapshot;
mod unique;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

#[cfg(test)]
pub(crate) use self::snapshot::Snapshot;
use self::{
    audit::Actions,
    due::DueRuns,
    email_log::Emails,
    lists::{Lists, Shelf},
    metrics::Metrics,
    names::Names,
    registry::Known,
    run::StoredRun,
    schedules::AllSchedules,
    unique::UniqueKeys,
};
use crate::{
    AsStore, Clock, Limits, RunId, RunState, Store, WakeSender, from_millis,
    store::{MachineClock, Pause, SteadyTime},
};

/// A store in this process's memory: for tests, and for work that may be lost with the process.
///
/// A handle: clones share what is stored. Its time is the machine's, but for steps of that clock by more than a minute:
/// only runs that are due at a given time follow those.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), riqle_jobs_core::Error> {
/// use riqle_jobs_core::{Inspect, Memory, NewRun, Payload, Priority, Queue};
///
/// let store = Memory::new();
/// let run = NewRun::named("greet", Payload::json("Ada")?);
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
    machine: MachineClock,
    limits: Limits,
}

impl AsStore for Memory {
    type Database = ();

    fn as_store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    fn database(&self) {}
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

    /// An empty store on a machine's clock.
    #[cfg(any(test, riqle_simulation))]
    pub fn on_machine(machine: MachineClock) -> Self {
        Self { machine, ..Self::default() }
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
        let mut state = self.state();
        let now = match self.clock.manual() {
            Some(clock) => clock.now(),
            None => state.now(&self.machine),
        };
        (state, now)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[derive(Clone, Default)]
struct State {
    /// `None`: not asked for yet, or a manual clock's.
    time: Option<SteadyTime>,
    runs: BTreeMap<RunId, StoredRun>,
    due: DueRuns,
    lists: Lists,
    names: Names,
    unique: UniqueKeys,
    schedules: AllSchedules,
    paused: BTreeMap<String, Pause>,
    known: Known,
    metrics: Metrics,
    emails: Emails,
    actions: Actions,
}

impl State {
    /// The time, after what the machine's clock was set by since it was last asked for.
    fn now(&mut self, machine: &MachineClock) -> Timestamp {
        let time = *self.time.get_or_insert_with(|| SteadyTime::starting(machine.read()));
        let readings = machine.read_for(time);
        if time.is_outdated(readings) {
            let noted = time.noted(readings);
            self.time = Some(noted);
            if noted.offset != time.offset {
                self.follow_the_clock();
            }
        }
        self.time.unwrap_or(time).now(readings)
    }

    /// Runs that are due at a given time keep to the machine's clock.
    fn follow_the_clock(&mut self) {
        let waits = |run: &StoredRun| run.state == RunState::Pending && run.at.is_some();
        let ids: Vec<_> = self.runs.iter().filter(|(_, run)| waits(run)).map(|(id, _)| *id).collect();
        for id in ids {
            let offset = self.offset();
            self.change(id, |run| {
                if let Some(at) = run.at {
                    run.due_at = from_millis(at.as_millisecond().saturating_add(offset));
                }
            });
        }
    }

    /// How far the store's time is ahead of the machine's, in milliseconds.
    fn offset(&self) -> i64 {
        self.time.map_or(0, |time| time.offset)
    }

    /// Keeps a new run and files it.
    fn insert(&mut self, id: RunId, run: StoredRun) {
        self.due.insert(id, &run);
        self.lists.insert(id, &run);
        self.names.insert(id, &run);
        self.schedules.run_lives(id, &run);
        self.runs.insert(id, run);
    }

    /// Changes a run and files it again.
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
            self.schedules.run_ended(id, run);
        }
    }

    fn delete(&mut self, id: RunId) {
        let Some(run) = self.runs.remove(&id) else { return };
        self.due.remove(id, &run);
        self.lists.remove(id, &run, Shelf::of(&run));
        self.names.remove(id, &run);
    }
}

//! A process: what it does reaches the world only while it is up, and through faults.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use riqle_jobs_conformance::{
    Effect, Intercepted, Interceptor,
    history::{History, Recorded},
    workload::{ProviderFaults, Surroundings},
};
use riqle_jobs_core::{
    Enqueued, Error, ErrorKind, LeaseAnswer, LeaseConnection, LeaseRef, NewRun, Settlement, StepSave, Store,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::world::{Faults, LEASE, World, lock};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// As by SIGSTOP.
    Stopped,
    /// As by SIGKILL.
    Dead,
}

/// A process of the simulation.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) world: Arc<World>,
    state: watch::Sender<State>,
    /// How many of its calls did not go well.
    failed: AtomicUsize,
    /// When its slowest call has ended.
    slow_until: Mutex<Option<Instant>>,
}

impl Process {
    pub(crate) fn new(name: impl Into<String>, world: &Arc<World>) -> Arc<Self> {
        let (state, failed) = (watch::Sender::new(State::Up), AtomicUsize::new(0));
        Arc::new(Self {
            name: name.into(),
            world: Arc::clone(world),
            state,
            failed,
            slow_until: Mutex::default(),
        })
    }

    /// Its handle of the store.
    pub(crate) fn store(self: &Arc<Self>) -> Recorded {
        let store: Arc<dyn Store> = Arc::new(self.world.store.clone());
        let way = Intercepted(Way { inner: store, process: Arc::clone(self) });
        self.world.history.of(self.name.clone(), Arc::new(way))
    }

    /// Resolves once the process is up; never, where it is dead.
    pub(crate) async fn gate(&self) {
        let mut state = self.state.subscribe();
        loop {
            match *state.borrow_and_update() {
                State::Up => return,
                State::Stopped => {}
                State::Dead => break,
            }
            if state.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }

    /// As by kill -9: nothing of it reaches the world any more but what is on its way.
    pub(crate) fn kill(&self) {
        self.world.tell(format!("{} is killed", self.name));
        self.state.send_replace(State::Dead);
    }

    /// As by SIGSTOP, and SIGCONT after a time.
    pub(crate) async fn stop_for(&self, time: Duration) {
        self.world.tell(format!("{} is stopped for {time:?}", self.name));
        self.state.send_replace(State::Stopped);
        sleep(time).await;
        self.state.send_if_modified(|state| {
            let is_stopped = *state == State::Stopped;
            if is_stopped {
                *state = State::Up;
            }
            is_stopped
        });
    }

    /// Whether a call of it takes long.
    pub(crate) fn is_slow(&self) -> bool {
        lock(&self.slow_until).is_some_and(|until| Instant::now() < until)
    }

    /// How many of its calls did not go well so far.
    pub(crate) fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Surroundings for Process {
    fn process(&self) -> &str {
        &self.name
    }

    fn history(&self) -> &History {
        &self.world.history
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    fn below(&self, end: usize) -> usize {
        self.world.below(end)
    }

    fn provider(&self) -> ProviderFaults {
        let Faults { fails, loses_reply, is_slow, .. } = self.world.faults();
        ProviderFaults { fails, loses_reply, is_misconfigured: true, is_slow }
    }

    fn is_new_to_provider(&self, key: &str) -> bool {
        self.world.is_new_to_provider(key)
    }

    fn went_wrong(&self, what: String) {
        self.world.went_wrong(what);
    }

    async fn gate(&self) {
        Process::gate(self).await;
    }
}

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Well,
    FailsBefore,
    LosesReply,
    Late,
    Doubled,
}

/// A process's way to the store.
#[derive(Clone)]
pub(crate) struct Way {
    inner: Arc<dyn Store>,
    process: Arc<Process>,
}

impl Way {
    fn fate(&self, operation: &'static str, effect: Effect) -> Fate {
        let world = &self.process.world;
        let faults = world.faults();
        let is_write = effect == Effect::Write;
        if world.is_away() || world.percent(faults.fails) {
            return Fate::FailsBefore;
        }
        if world.percent(faults.loses_reply) {
            return Fate::LosesReply;
        }
        if is_write && LATE.contains(&operation) && world.percent(faults.is_late) {
            return Fate::Late;
        }
        if is_write && LATE.contains(&operation) && world.percent(faults.is_doubled) {
            return Fate::Doubled;
        }
        Fate::Well
    }

    async fn travel(&self) {
        let world = &self.process.world;
        let is_slow = world.below(1_000) < world.faults().is_slow;
        let most = if is_slow { 2 * LEASE.as_millis() as usize } else { 4 };
        let lasts = world.up_to(most);
        if is_slow {
            self.process.failed.fetch_add(1, Ordering::Relaxed);
            let mut slow_until = lock(&self.process.slow_until);
            *slow_until = (*slow_until).max(Some(Instant::now() + lasts));
        }
        sleep(lasts).await;
        // So that not all happens at whole milliseconds in the order of calls.
        for _ in 0..world.below(3) {
            tokio::task::yield_now().await;
        }
    }

    /// A call that may arrive late or twice.
    async fn write<T, A, F>(&self, operation: &'static str, call: F) -> Result<T, Error>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, Error>> + Send + 'static,
        F: Fn(Arc<dyn Store>) -> A + Send + Sync + 'static,
    {
        self.process.gate().await;
        let fate = self.fate(operation, Effect::Write);
        self.travel().await;
        let lost = || Error::new(ErrorKind::Unavailable, operation, "the reply was lost");
        let answer = match fate {
            Fate::FailsBefore => {
                Err(Error::new(ErrorKind::Unavailable, operation, "the store was not reached"))
            }
            Fate::Well => call(Arc::clone(&self.inner)).await,
            Fate::LosesReply => call(Arc::clone(&self.inner)).await.and_then(|_| Err(lost())),
            Fate::Doubled => {
                let first = call(Arc::clone(&self.inner)).await;
                drop(call(Arc::clone(&self.inner)).await);
                first
            }
            Fate::Late => {
                let (inner, after) =
                    (Arc::clone(&self.inner), self.process.world.up_to(2 * LEASE.as_millis() as usize));
                tokio::spawn(async move {
                    sleep(after).await;
                    drop(call(inner).await);
                });
                Err(lost())
            }
        };
        self.arrive(operation, fate).await;
        answer
    }

    async fn arrive(&self, operation: &'static str, fate: Fate) {
        self.travel().await;
        if fate != Fate::Well {
            self.process.failed.fetch_add(1, Ordering::Relaxed);
            self.process.world.tell(format!("{}: {operation} {fate:?}", self.process.name));
        }
        self.process.gate().await;
    }
}

/// Calls of an effect that is the same however often they are made.
const LATE: [&str; 5] = ["enqueue", "extend", "save_steps", "settle", "cancel"];

#[async_trait]
impl Interceptor for Way {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    async fn call<T, A, F>(&self, operation: &'static str, effect: Effect, call: F) -> Result<T, Error>
    where
        T: Send,
        A: Future<Output = Result<T, Error>> + Send,
        F: Fn() -> A + Send + Sync,
    {
        self.process.gate().await;
        let fate = self.fate(operation, effect);
        self.travel().await;
        let answer = match fate {
            Fate::FailsBefore => {
                Err(Error::new(ErrorKind::Unavailable, operation, "the store was not reached"))
            }
            Fate::LosesReply => call()
                .await
                .and_then(|_| Err(Error::new(ErrorKind::Unavailable, operation, "the reply was lost"))),
            Fate::Well | Fate::Late | Fate::Doubled => call().await,
        };
        self.arrive(operation, fate).await;
        answer
    }

    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
        Ok(Box::new(WayOfLeases(self.clone())))
    }

    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        self.write("enqueue", move |store| {
            let runs = runs.clone();
            async move { store.enqueue(runs).await }
        })
        .await
    }

    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error> {
        self.write("extend", move |store| {
            let leases = leases.clone();
            async move { store.extend(leases, lease).await }
        })
        .await
    }

    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error> {
        self.write("save_steps", move |store| {
            let steps = steps.clone();
            async move { store.save_steps(steps).await }
        })
        .await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        self.write("settle", move |store| {
            let settlements = settlements.clone();
            async move { store.settle(settlements).await }
        })
        .await
    }
}

struct WayOfLeases(Way);

#[async_trait]
impl LeaseConnection for WayOfLeases {
    async fn extend(
        &mut self,
        leases: Vec<LeaseRef>,
        lease: Duration,
    ) -> Result<Vec<Option<LeaseAnswer>>, Error> {
        let answers = Interceptor::extend(&self.0, leases, lease).await?;
        Ok(answers.into_iter().map(Some).collect())
    }
}

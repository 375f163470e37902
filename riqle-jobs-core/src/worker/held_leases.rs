//! The leases that a worker holds: claimed and not yet settled.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{LeaseAnswer, LeaseRef, LeaseToken, RunId, StopReason, outside::Instant, run::Cancellation};

/// The leases that this worker holds: claimed and not yet settled.
#[derive(Default)]
pub(super) struct HeldLeases {
    held: Mutex<BTreeMap<(RunId, LeaseToken), Held>>,
    /// How many leases were let go so far.
    ended: AtomicU64,
    /// Told when none is held any more.
    pub(super) none_left: Notify,
}

struct Held {
    lease: LeaseRef,
    cancellation: Arc<Cancellation>,
    extended: Instant,
}

impl HeldLeases {
    /// Holds a lease of `length` that was claimed at `claimed`, by the monotonic clock.
    pub(super) fn hold(&self, lease: &LeaseRef, claimed: Instant, length: Duration) -> Arc<Cancellation> {
        let cancellation = Arc::new(Cancellation::default());
        cancellation.extend_to(claimed.checked_add(length));
        let held = Held { lease: lease.clone(), cancellation: Arc::clone(&cancellation), extended: claimed };
        self.held().insert((lease.run, lease.token), held);
        cancellation
    }

    pub(super) fn let_go(&self, lease: &LeaseRef) {
        let left = {
            let mut held = self.held();
            held.remove(&(lease.run, lease.token));
            held.len()
        };
        self.ended.fetch_add(1, Ordering::Release);
        if left == 0 {
            self.none_left.notify_one();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held().len()
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// What was not extended for so long.
    pub(super) fn older_than(&self, age: Duration) -> Vec<LeaseRef> {
        self.held()
            .values()
            .filter(|held| held.cancellation.lost().is_none() && held.extended.elapsed() >= age)
            .map(|held| held.lease.clone())
            .collect()
    }

    /// Notes what an extension by `length`, begun at `begun`, answered.
    pub(super) fn extended(&self, lease: &LeaseRef, begun: Instant, length: Duration, answer: LeaseAnswer) {
        let mut leases = self.held();
        // It may have been settled meanwhile; then a lost lease means nothing.
        let Some(held) = leases.get_mut(&(lease.run, lease.token)) else { return };
        match answer {
            LeaseAnswer::Done => {
                held.extended = begun;
                held.cancellation.extend_to(begun.checked_add(length));
            }
            LeaseAnswer::LeaseLost => held.cancellation.fire(StopReason::LeaseLost),
            LeaseAnswer::CancelRequested => held.cancellation.fire(StopReason::Cancelled),
        }
    }

    pub(super) fn run_was_cancelled(&self, run: RunId) {
        for held in self.held().values().filter(|held| held.lease.run == run) {
            held.cancellation.fire(StopReason::Cancelled);
        }
    }

    pub(super) fn shutdown(&self) {
        for held in self.held().values() {
            held.cancellation.fire(StopReason::Shutdown);
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<(RunId, LeaseToken), Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

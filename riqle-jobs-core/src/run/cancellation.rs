//! Why a body should stop, and how it is told.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::Notify;

use crate::outside::Instant;

/// Why a body should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Another claim has the run; nothing more can be written.
    LeaseLost,
    /// The run was cancelled; nothing more can be written.
    Cancelled,
    /// The attempt is over, or the run is dead whatever the body returns: no more steps can start.
    Ended,
    /// The worker is stopping; there is a grace time to finish or [give back](crate::JobError::give_back).
    Shutdown,
}

impl StopReason {
    /// The strongest first.
    const ALL: [Self; 4] = [Self::LeaseLost, Self::Cancelled, Self::Ended, Self::Shutdown];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

const LOST: u8 = StopReason::LeaseLost.bit() | StopReason::Cancelled.bit();
const OVER: u8 = LOST | StopReason::Ended.bit();

/// Fires once for each reason; the strongest is reported.
#[derive(Default)]
pub(crate) struct Cancellation {
    /// A bit for each reason that has fired.
    fired: AtomicU8,
    /// Until when the lease surely holds, by the monotonic clock; `None`: it is not tracked.
    held_until: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Cancellation {
    /// The lease surely holds until then.
    pub(crate) fn extend_to(&self, until: Option<Instant>) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        self.changed.notify_waiters();
    }

    pub(crate) fn fire(&self, reason: StopReason) {
        self.fired.fetch_or(reason.bit(), Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// The strongest reason to stop.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        StopReason::ALL.into_iter().find(|reason| self.has_fired(reason.bit()))
    }

    /// The reason for which nothing more can be written.
    pub(crate) fn lost(&self) -> Option<StopReason> {
        self.reason().filter(|reason| reason.bit() & LOST != 0)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_fired(StopReason::Ended.bit())
    }

    /// Resolves when the body should stop.
    pub(crate) async fn until_fired(&self) {
        self.until(|| self.has_fired(u8::MAX)).await;
    }

    /// Resolves when nothing more can be written.
    pub(crate) async fn until_lost(&self) {
        self.until(|| self.has_fired(LOST)).await;
    }

    /// Resolves when no more steps can start.
    pub(crate) async fn until_over(&self) {
        self.until(|| self.has_fired(OVER)).await;
    }

    /// Whether the lease surely holds.
    pub(crate) fn is_certain(&self) -> bool {
        let until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| until > Instant::now())
    }

    /// Returns at once, unless the process has slept past its lease: then once it is known whether the lease
    /// still holds.
    pub(crate) async fn until_certain(&self) {
        self.until(|| self.is_certain() || self.has_fired(OVER)).await;
    }

    fn has_fired(&self, bits: u8) -> bool {
        self.fired.load(Ordering::SeqCst) & bits != 0
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds() {
                return;
            }
            changed.await;
        }
    }
}

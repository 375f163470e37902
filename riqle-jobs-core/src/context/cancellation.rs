use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why a body should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Another claim has taken the run; nothing more can be written.
    LeaseLost,
    /// The run was cancelled; nothing more can be written.
    Cancelled,
    /// The attempt is over, or the run is dead whatever the body returns: no step begins any more.
    Ended,
    /// The worker stops; there is a grace time to finish or [give back](crate::JobError::give_back).
    Shutdown,
}

/// Fires once for each reason; the hardest is told.
#[derive(Default)]
pub(crate) struct Cancellation {
    pub(super) token: CancellationToken,
    shutdown: OnceLock<()>,
    lost: OnceLock<StopReason>,
    lost_token: CancellationToken,
    ended: CancellationToken,
    /// Until when the lease surely holds, by the monotonic clock; `None`: nobody counts.
    held_until: Mutex<Option<Instant>>,
    extended: Notify,
}

impl Cancellation {
    /// The lease surely holds until then.
    pub(crate) fn extend_to(&self, until: Option<Instant>) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        self.extended.notify_waiters();
    }

    /// Whether the lease surely holds.
    pub(crate) fn is_certain(&self) -> bool {
        let until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| until > Instant::now())
    }

    /// Returns at once, unless the process has slept past its lease: then once it is known whether it still holds.
    pub(crate) async fn until_certain(&self) {
        loop {
            let extended = self.extended.notified();
            if self.is_certain() {
                return;
            }
            tokio::select! {
                () = extended => {}
                () = self.until_lost() => return,
                () = self.until_ended() => return,
            }
        }
    }

    pub(crate) fn fire(&self, reason: StopReason) {
        match reason {
            StopReason::Shutdown => {
                let _ = self.shutdown.set(());
            }
            StopReason::Ended => self.ended.cancel(),
            StopReason::LeaseLost | StopReason::Cancelled => {
                let _ = self.lost.set(reason);
                self.lost_token.cancel();
            }
        }
        self.token.cancel();
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        let ended = self.has_ended().then_some(StopReason::Ended);
        let shutdown = self.shutdown.get().map(|()| StopReason::Shutdown);
        self.lost.get().copied().or(ended).or(shutdown)
    }

    /// The reason for which nothing more can be written.
    pub(crate) fn lost(&self) -> Option<StopReason> {
        self.lost.get().copied()
    }

    pub(crate) async fn until_lost(&self) {
        self.lost_token.cancelled().await;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(crate) async fn until_ended(&self) {
        self.ended.cancelled().await;
    }
}

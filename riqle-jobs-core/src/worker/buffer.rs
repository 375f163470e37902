use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, Semaphore};

use crate::{ClaimedRun, context::Cancellation};

/// Claimed runs that wait for a free slot.
///
/// Runs are claimed ahead only while attempts are short, so that what waits here is a moment's work: a long run
/// claims no neighbours that another worker could run.
pub(super) struct Buffer {
    waiting: Mutex<VecDeque<HeldRun>>,
    ready: Semaphore,
    idle_slots: AtomicUsize,
    /// How long an attempt takes, smoothed, in nanoseconds; 0 before the first.
    pace: AtomicUsize,
    /// When a slot last became free, in milliseconds since `begun`.
    freed_at: AtomicU64,
    begun: Instant,
    concurrency: usize,
    /// Told when there may be room again.
    pub(super) room: Notify,
}

/// A claimed run with the means to stop it.
pub(super) struct HeldRun {
    pub(super) run: ClaimedRun,
    pub(super) cancellation: Arc<Cancellation>,
    pub(super) since: Instant,
}

/// What may wait here, as time: claimed ahead is at most so much work.
const AHEAD: Duration = Duration::from_millis(50);
const MOST_AHEAD: usize = 1_000;

impl Buffer {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            ready: Semaphore::new(0),
            idle_slots: AtomicUsize::new(concurrency),
            pace: AtomicUsize::new(0),
            freed_at: AtomicU64::new(0),
            begun: Instant::now(),
            concurrency,
            room: Notify::new(),
        }
    }

    pub(super) fn push(&self, runs: Vec<HeldRun>) {
        let count = runs.len();
        self.waiting().extend(runs);
        self.ready.add_permits(count);
    }

    /// The next run for a slot; `None` once closed.
    pub(super) async fn pop(&self) -> Option<HeldRun> {
        self.ready.acquire().await.ok()?.forget();
        let (run, left) = {
            let mut waiting = self.waiting();
            (waiting.pop_front(), waiting.len())
        };
        self.idle_slots.fetch_sub(1, Ordering::Relaxed);
        if left <= self.ahead() / 2 {
            self.room.notify_one();
        }
        run
    }

    /// A slot's attempt has ended after `took`.
    pub(super) fn slot_is_free(&self, took: Duration) {
        let nanos = usize::try_from(took.as_nanos()).unwrap_or(usize::MAX).clamp(1, usize::MAX / 16);
        let before = self.pace.load(Ordering::Relaxed);
        // Slots race here; a lost sample does not matter.
        let pace = if before == 0 { nanos } else { (before * 7 + nanos) / 8 };
        self.pace.store(pace.max(1), Ordering::Relaxed);
        self.freed_at.store(self.millis_since_begun(), Ordering::Relaxed);
        self.idle_slots.fetch_add(1, Ordering::Relaxed);
        if self.waiting().len() <= self.ahead() / 2 {
            self.room.notify_one();
        }
    }

    /// How many runs to claim now; 0 while enough wait.
    pub(super) fn wanted(&self) -> usize {
        let ahead = self.ahead();
        let waiting = self.waiting().len();
        if waiting > ahead / 2 {
            return 0;
        }
        (self.idle_slots.load(Ordering::Relaxed) + ahead).saturating_sub(waiting)
    }

    /// Takes all that wait, if the oldest has waited longer than `longest`.
    pub(super) fn take_stale(&self, longest: Duration) -> Vec<HeldRun> {
        let mut waiting = self.waiting();
        if waiting.front().is_none_or(|oldest| oldest.since.elapsed() < longest) {
            return Vec::new();
        }
        self.take(&mut waiting)
    }

    /// Closes: slots that wait end, and what waited is handed back.
    pub(super) fn close(&self) -> Vec<HeldRun> {
        self.ready.close();
        self.waiting().drain(..).collect()
    }

    /// Only as many as permits can be taken back for; a slot that has one already pops its run.
    fn take(&self, waiting: &mut VecDeque<HeldRun>) -> Vec<HeldRun> {
        let mut taken = Vec::new();
        while let Ok(permit) = self.ready.try_acquire() {
            permit.forget();
            taken.extend(waiting.pop_back());
        }
        taken
    }

    /// Nothing where no slot has become free for that time: what runs now is longer than what ran before.
    fn ahead(&self) -> usize {
        let pace = self.pace.load(Ordering::Relaxed);
        let silence = self.millis_since_begun().saturating_sub(self.freed_at.load(Ordering::Relaxed));
        if pace == 0 || u128::from(silence) > AHEAD.as_millis() {
            return 0;
        }
        let rounds = usize::try_from(AHEAD.as_nanos()).unwrap_or(usize::MAX) / pace;
        rounds.saturating_mul(self.concurrency).min(MOST_AHEAD)
    }

    fn millis_since_begun(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<HeldRun>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_after_short_ones_claims_no_neighbours() {
        let mut buffer = Buffer::new(1);
        buffer.slot_is_free(Duration::from_micros(100));
        buffer.idle_slots.store(0, Ordering::Relaxed);
        buffer.freed_at.store(u64::MAX, Ordering::Relaxed);
        assert!(buffer.wanted() > 1, "short runs are claimed ahead");
        // The run that took the slot has been at it for a second.
        buffer.begun -= Duration::from_secs(1);
        buffer.freed_at.store(0, Ordering::Relaxed);
        assert_eq!(buffer.wanted(), 0);
    }
}

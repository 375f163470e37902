//! Claimed runs that wait for a free slot, and how many are claimed ahead.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, Semaphore};

use super::queue_slots::QueueSlot;
use crate::{ClaimedRun, outside::Instant, run::Cancellation, store::WorkerOrder};

/// Claimed runs that wait for a free slot.
///
/// As many runs are claimed ahead as slots became free within the last moment, so that what waits here is a moment's
/// work: long runs claim no neighbours that another worker could run.
pub(super) struct Buffer {
    waiting: Mutex<VecDeque<HeldRun>>,
    ready: Semaphore,
    idle_slots: AtomicUsize,
    freed: Mutex<Freed>,
    /// Whether none are to be claimed, by an operator's order.
    drains: AtomicBool,
    begun: Instant,
    /// Told when there may be room again.
    pub(super) room: Arc<Notify>,
}

/// A claimed run with the means to stop it.
pub(super) struct HeldRun {
    pub(super) run: ClaimedRun,
    pub(super) cancellation: Arc<Cancellation>,
    pub(super) since: Instant,
    /// Held until the attempt has ended.
    pub(super) slot: Option<QueueSlot>,
}

/// Half of the time whose work may wait here.
const SPAN: Duration = Duration::from_millis(25);
const MOST_AHEAD: usize = 1_000;

/// How many slots became free in the running span and in the one before.
#[derive(Debug, Default)]
struct Freed {
    span: u128,
    now: usize,
    before: usize,
}

impl Freed {
    /// Of both spans, as of `span`.
    fn count(&mut self, span: u128) -> usize {
        match span.saturating_sub(self.span) {
            0 => {}
            1 => (self.before, self.now) = (self.now, 0),
            _ => (self.before, self.now) = (0, 0),
        }
        self.span = self.span.max(span);
        self.before + self.now
    }
}

impl Buffer {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            ready: Semaphore::new(0),
            idle_slots: AtomicUsize::new(concurrency),
            freed: Mutex::default(),
            drains: AtomicBool::new(false),
            begun: Instant::now(),
            room: Arc::default(),
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

    /// A slot's attempt has ended.
    pub(super) fn slot_is_free(&self) {
        let ahead = {
            let mut freed = self.freed();
            freed.count(self.span());
            freed.now += 1;
            (freed.before + freed.now).min(MOST_AHEAD)
        };
        self.idle_slots.fetch_add(1, Ordering::Relaxed);
        if self.waiting().len() <= ahead / 2 {
            self.room.notify_one();
        }
    }

    /// Heeds an order: what waits here is run in any case.
    pub(super) fn heed(&self, order: WorkerOrder) {
        let drains = order == WorkerOrder::Drain;
        if self.drains.swap(drains, Ordering::Relaxed) && !drains {
            self.room.notify_one();
        }
    }

    /// How many runs to claim now; 0 while enough wait, or if the worker drains.
    pub(super) fn wanted(&self) -> usize {
        if self.drains.load(Ordering::Relaxed) {
            return 0;
        }
        let ahead = self.ahead();
        let waiting = self.waiting().len();
        if waiting > ahead / 2 {
            return 0;
        }
        (self.idle_slots() + ahead).saturating_sub(waiting)
    }

    /// Takes all that wait, if the oldest has waited longer than `longest`.
    pub(super) fn take_stale(&self, longest: Duration) -> Vec<HeldRun> {
        let mut waiting = self.waiting();
        if waiting.front().is_none_or(|oldest| oldest.since.elapsed() < longest) {
            return Vec::new();
        }
        self.take(&mut waiting)
    }

    /// How many slots have no run.
    pub(super) fn idle_slots(&self) -> usize {
        self.idle_slots.load(Ordering::Relaxed)
    }

    /// Whether any wait.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// How many wait, of each queue.
    pub(super) fn waiting_by_queue(&self) -> BTreeMap<String, u32> {
        let mut queues = BTreeMap::new();
        for held in self.waiting().iter() {
            *queues.entry(held.run.lease.queue.to_string()).or_default() += 1;
        }
        queues
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

    fn ahead(&self) -> usize {
        self.freed().count(self.span()).min(MOST_AHEAD)
    }

    fn span(&self) -> u128 {
        self.begun.elapsed().as_nanos() / SPAN.as_nanos()
    }

    fn freed(&self) -> MutexGuard<'_, Freed> {
        self.freed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<HeldRun>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{ClaimRequest, LeaseToken, Memory, NewRun, Payload, Queue, WorkerId};

    #[test]
    fn slots_that_became_free_count_for_two_spans() {
        let mut freed = Freed::default();
        assert_eq!(freed.count(7), 0);
        freed.now += 300;
        assert_eq!(freed.count(7), 300);
        assert_eq!(freed.count(8), 300);
        freed.now += 2;
        assert_eq!(freed.count(9), 2);
        assert_eq!(freed.count(11), 0);
    }

    #[tokio::test]
    async fn what_waits_for_a_slot_is_counted_by_queue_and_what_has_one_is_not() {
        let store = Memory::new();
        let buffer = Buffer::new(2);
        for queue in ["email", "reports", "email"] {
            let run = NewRun::named("greet", Payload::from_json_text("1")).queue(queue);
            store.enqueue(vec![run]).await.unwrap();
            let request = ClaimRequest {
                queue: queue.to_owned(),
                jobs: ["greet".to_owned()].into(),
                limit: 1,
                lease: Duration::from_secs(30),
                token: LeaseToken::new(),
                worker: WorkerId::new(),
            };
            let run = store.claim(request).await.unwrap().runs.remove(0);
            buffer.push(vec![HeldRun {
                run,
                cancellation: Arc::default(),
                since: Instant::now(),
                slot: None,
            }]);
        }
        let queues = |email| [("email".to_owned(), email), ("reports".to_owned(), 1)].into();
        assert_eq!((buffer.idle_slots(), buffer.waiting_by_queue()), (2, queues(2)));
        buffer.pop().await.unwrap();
        assert_eq!((buffer.idle_slots(), buffer.waiting_by_queue()), (1, queues(1)));
    }

    #[test]
    fn a_long_run_after_short_ones_claims_no_neighbours() {
        let mut buffer = Buffer::new(1);
        for _ in 0..100 {
            buffer.slot_is_free();
        }
        buffer.idle_slots.store(0, Ordering::Relaxed);
        // The run that took the slot has been at it for a second.
        buffer.begun -= Duration::from_secs(1);
        assert_eq!(buffer.wanted(), 0);
    }
}

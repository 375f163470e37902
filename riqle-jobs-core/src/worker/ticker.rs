//! Looks at the schedules of a worker's jobs when they are due. Each worker does so; who comes second finds nothing to do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Settings, running::Shared, tick_failures::TickFailures};
use crate::{
    Clock, Error, Hint, Store, WakeUps,
    backoff::{Backoff, jittered},
    outside::{Instant, sleep_until},
    store::{JobDeclaration, Repeated},
};

/// Where others were faster each time, or have it locked, it is looked again after so long.
pub(super) const OTHERS_WRITE: Duration = Duration::from_millis(20);
/// So often in a row, until none counts as due.
pub(super) const MOST_HELD: u32 = 10;

/// Ticks the schedules of a worker's jobs.
pub(super) struct Ticker {
    store: Arc<dyn Store>,
    clock: Clock,
    hints: WakeUps,
    queues: Vec<QueueView>,
    failures: Arc<TickFailures>,
    poll: Duration,
    seed: u64,
    polls: u64,
}

pub(super) struct QueueView {
    pub(super) name: String,
    pub(super) jobs: Arc<[String]>,
    pub(super) declarations: BTreeMap<String, JobDeclaration>,
    look_at: Instant,
    /// When the next one is due, by the store's clock.
    due: Option<Timestamp>,
    backoff: Backoff,
    /// Schedules that can't be ticked.
    pub(super) failing: Repeated,
    /// Ticks whose runs are refused.
    pub(super) refused: Repeated,
}

impl Ticker {
    pub(super) fn new(shared: &Shared, settings: &Settings) -> Self {
        let store = Arc::clone(&shared.store);
        let seed = settings.id.as_uuid().as_u64_pair().1;
        let mut queues = Vec::new();
        for (name, jobs) in shared.jobs_by_queue() {
            let of_queue = shared
                .jobs
                .values()
                .map(|running| running.job.declaration.clone())
                .filter(|job| job.queue == name);
            queues.push(QueueView {
                jobs: jobs.into(),
                declarations: of_queue.map(|job| (job.name.clone(), job)).collect(),
                name,
                look_at: Instant::now(),
                due: None,
                backoff: Backoff::new(seed.wrapping_add(queues.len() as u64)),
                failing: Repeated::new(),
                refused: Repeated::new(),
            });
        }
        // Before the first look, so that no hint falls between.
        let hints = store.wake_ups();
        let (clock, failures) = (store.clock(), Arc::clone(&shared.tick_failures));
        Self { clock, store, hints, queues, failures, poll: settings.poll, seed, polls: 0 }
    }

    /// Until it is dropped.
    pub(super) async fn keep_ticking(mut self) {
        loop {
            while let Some(hint) = self.hints.try_next() {
                self.note(hint);
            }
            // Who has waited longest, so that none starves behind one that always has something due.
            let first = (0..self.queues.len()).min_by_key(|index| self.queues[*index].look_at);
            match first.filter(|index| self.queues[*index].look_at <= Instant::now()) {
                Some(index) => self.look(index).await,
                None => self.wait().await,
            }
        }
    }

    /// Until none is due. Answers whether it started any run.
    pub(super) async fn until_none_is_due(&mut self) -> Result<bool, Error> {
        let mut any = false;
        for view in &mut self.queues {
            let mut held = 0;
            // What others keep to themselves is not waited for.
            while held < MOST_HELD {
                let due = view.due(&*self.store).await?;
                if due.schedules.is_empty() {
                    break;
                }
                let ticked = view.tick(&*self.store, &self.failures, due).await?;
                any |= ticked.started;
                if ticked.wrote {
                    held = 0;
                } else {
                    held += 1;
                    sleep_until(Instant::now() + OTHERS_WRITE).await;
                }
            }
        }
        Ok(any)
    }

    async fn look(&mut self, index: usize) {
        self.polls += 1;
        let poll = jittered(self.poll, self.seed.wrapping_add(self.polls));
        let moves_by_itself = self.clock.manual().is_none();
        let view = &mut self.queues[index];
        let looked = async {
            let due = view.due(&*self.store).await?;
            let (now, looked_at) = (due.now, Instant::now());
            let (any, mut next_due, mut wrote) = (!due.schedules.is_empty(), due.next_due, false);
            if any {
                let ticked = view.tick(&*self.store, &self.failures, due).await?;
                next_due = next_due.into_iter().chain(ticked.next_due).min();
                wrote = ticked.wrote;
            }
            Ok::<_, Error>((any && !wrote, next_due, now, looked_at))
        };
        match looked.await {
            Ok((others_write, next_due, now, looked_at)) => {
                view.backoff.succeeded("tick the schedules", Some(&view.name));
                view.due = next_due.filter(|_| !others_write);
                let due_in =
                    next_due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
                view.look_at = match due_in {
                    _ if others_write => Instant::now() + OTHERS_WRITE,
                    // Behind the other queues, and whether the clock moves or not.
                    Some(Duration::ZERO) => Instant::now(),
                    Some(due_in) if moves_by_itself => looked_at + due_in.min(poll),
                    _ => looked_at + poll,
                };
            }
            Err(error) => {
                view.backoff.log("tick the schedules", Some(&view.name), &error);
                self.failures.note(format!("queue {:?}: {error}", view.name));
                view.look_at = Instant::now() + view.backoff.next_delay();
            }
        }
    }

    async fn wait(&mut self) {
        let until = self.queues.iter().map(|view| view.look_at).min();
        let until = until.unwrap_or_else(|| Instant::now() + self.poll);
        let due = self.queues.iter().filter_map(|view| view.due).min();
        let clock = self.clock.clone();
        let manual_due = async {
            match (clock.manual(), due) {
                (Some(clock), Some(due)) => clock.reaches(due).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            hint = self.hints.next() => self.note(hint),
            () = sleep_until(until) => {}
            () = manual_due => self.look_at(|view| view.due.is_some() && view.due <= due),
        }
    }

    fn note(&mut self, hint: Hint) {
        match hint {
            Hint::Schedules(Some(queue)) => self.look_at(|view| view.name == queue),
            // Where hints were missed, too.
            Hint::Schedules(None) | Hint::Due(None) => self.look_at(|_| true),
            _ => {}
        }
    }

    fn look_at(&mut self, which: impl Fn(&QueueView) -> bool) {
        for view in self.queues.iter_mut().filter(|view| which(view)) {
            view.look_at = Instant::now();
            view.due = None;
        }
    }
}

//! Claims runs from the worker's queues in turn, and sleeps until the next is due.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tracing::Instrument;

use super::{Settings, Shutdown, buffer::HeldRun, running::Shared};
use crate::{
    ClaimRequest, Claimed, ClaimedRun, Clock, Error, Hint, LeaseToken, Store, WakeUps,
    backoff::{Backoff, jittered},
    outside::{Instant, sleep_until},
    trace::spans,
};

/// Claimed runs that no slot has taken for so long go back, to workers with free slots.
const LONGEST_AHEAD: Duration = Duration::from_secs(1);
const MOST_AT_ONCE: usize = 1_000;

/// Keeps the buffer filled: takes the worker's queues in turn, and sleeps until the next run is due.
pub(super) struct ClaimLoop {
    shared: Arc<Shared>,
    settings: Settings,
    clock: Clock,
    hints: WakeUps,
    queues: Vec<QueueView>,
    /// The queue whose turn it is.
    turn: usize,
    polls: u64,
}

/// What the loop knows of a queue.
struct QueueView {
    name: Arc<str>,
    jobs: Arc<[String]>,
    /// When to claim again.
    look_at: Instant,
    /// When the next run is due, by the store's clock.
    due: Option<Timestamp>,
    /// How many leases had been let go when a claim last found nothing due.
    nothing_due_after: Option<u64>,
    /// Claims whose answer never came: what they hold is to be given back.
    unanswered: Vec<LeaseToken>,
    /// Each queue may stand on a server of its own.
    backoff: Backoff,
}

impl ClaimLoop {
    pub(super) fn new(shared: Arc<Shared>, settings: Settings) -> Self {
        let mut queues: Vec<QueueView> = Vec::new();
        let seed = settings.id.as_uuid().as_u64_pair().0;
        for (queue, jobs) in shared.jobs_by_queue() {
            queues.push(QueueView {
                name: queue.into(),
                jobs: jobs.into(),
                look_at: Instant::now(),
                due: None,
                nothing_due_after: None,
                unanswered: Vec::new(),
                backoff: Backoff::new(seed.wrapping_add(queues.len() as u64)),
            });
        }
        // Interest is registered before the first look, so no hint falls between.
        let hints = shared.store.wake_ups();
        Self { clock: shared.store.clock(), shared, settings, hints, queues, turn: 0, polls: 0 }
    }

    /// Claims until stopping begins.
    pub(super) async fn until_stopped(&mut self, shutdown: &Shutdown) {
        while !self.step(Some(shutdown), false).await {}
    }

    /// Claims until nothing is due and nothing is held.
    pub(super) async fn until_idle(&mut self) {
        while !self.step(None, true).await {}
    }

    /// Gives back what claims without an answer may hold.
    pub(super) async fn give_back_unanswered(&mut self) -> Result<(), Error> {
        let mut all = Ok(());
        for view in &mut self.queues {
            all = all.and(view.give_back_unanswered(&*self.shared.store).await);
        }
        all
    }

    /// One claim or one wait; true at the end.
    async fn step(&mut self, shutdown: Option<&Shutdown>, until_idle: bool) -> bool {
        while let Some(hint) = self.hints.try_next() {
            self.note(hint);
        }
        self.give_back_stale().await;
        if until_idle && self.is_idle() {
            return true;
        }
        let wanted = self.shared.buffer.wanted();
        let ready = self.next_ready();
        let stopped = async {
            match shutdown {
                Some(shutdown) => shutdown.stopping().await,
                None => std::future::pending().await,
            }
        };
        match ready {
            Some(index) if wanted > 0 => {
                let token = LeaseToken::new();
                let free = self.shared.queue_slots.free(&self.queues[index].name);
                let request = self.request(index, wanted.min(free), token);
                let ended_before = self.shared.held.ended();
                let begun = Instant::now();
                let (store, metrics) = (Arc::clone(&self.shared.store), Arc::clone(&self.shared.process));
                let view = &mut self.queues[index];
                let claim = async {
                    view.give_back_unanswered(&*store).await?;
                    view.unanswered.push(token);
                    let span = spans::claim(&request);
                    let answer = metrics.claim.timed(store.claim(request)).instrument(span.clone()).await;
                    spans::claimed(&span, &answer);
                    answer
                };
                tokio::select! {
                    biased;
                    claimed = claim => self.claimed(index, begun, ended_before, claimed),
                    () = stopped => return true,
                }
                false
            }
            _ => {
                // Without a free slot a due queue waits for room, not for time; runs that wait for a slot go back in time.
                let ahead = Instant::now() + LONGEST_AHEAD;
                let until = match wanted > 0 {
                    true if self.shared.buffer.has_waiting() => self.earliest_look().min(ahead),
                    true => self.earliest_look(),
                    false => ahead,
                };
                let due = self.earliest_due().filter(|_| wanted > 0);
                let clock = self.clock.clone();
                let manual_due = async {
                    match (clock.manual(), due) {
                        (Some(clock), Some(due)) => clock.reaches(due).await,
                        _ => std::future::pending().await,
                    }
                };
                let shared = Arc::clone(&self.shared);
                tokio::select! {
                    () = stopped => return true,
                    hint = self.hints.next() => self.note(hint),
                    () = shared.buffer.room.notified() => {}
                    () = shared.held.none_left.notified(), if until_idle => self.look_again_where_unsure(),
                    () = sleep_until(until) => {}
                    () = manual_due => self.look_where_due(due),
                }
                false
            }
        }
    }

    fn request(&self, index: usize, wanted: usize, token: LeaseToken) -> ClaimRequest {
        let view = &self.queues[index];
        ClaimRequest {
            queue: view.name.to_string(),
            jobs: Arc::clone(&view.jobs),
            limit: wanted.min(MOST_AT_ONCE),
            lease: self.settings.lease,
            token,
            worker: self.settings.id,
        }
    }

    fn claimed(&mut self, index: usize, begun: Instant, ended_before: u64, claimed: Result<Claimed, Error>) {
        self.turn = (index + 1) % self.queues.len();
        let view = &mut self.queues[index];
        match claimed {
            Ok(claimed) => {
                view.unanswered.clear();
                view.backoff.succeeded("claim", Some(&view.name));
                self.shared.claim_failures.succeeded(&view.name);
                self.take(index, begun, ended_before, claimed);
            }
            Err(error) => {
                view.backoff.log("claim", Some(&view.name), &error);
                self.shared.claim_failures.failed(&view.name, &error);
                // Not slept here, so that a stop is heard and the other queues have their turn.
                view.look_at = Instant::now() + view.backoff.next_delay();
            }
        }
    }

    fn take(&mut self, index: usize, begun: Instant, ended_before: u64, claimed: Claimed) {
        let Claimed { runs, next_due, now } = claimed;
        let nothing = runs.is_empty();
        let hold = |run: ClaimedRun| HeldRun {
            cancellation: self.shared.held.hold(&run.lease, begun, self.settings.lease),
            slot: self.shared.queue_slots.take(&run.lease.queue),
            run,
            since: begun,
        };
        let runs: Vec<HeldRun> = runs.into_iter().map(hold).collect();
        self.shared.counters.claimed(runs.len());
        self.shared.buffer.push(runs);
        let poll = self.jittered_poll();
        let view = &mut self.queues[index];
        view.due = next_due;
        let due_in =
            next_due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO));
        view.nothing_due_after = (nothing && due_in != Some(Duration::ZERO)).then_some(ended_before);
        view.look_at = Instant::now()
            + match due_in {
                // Others hold what is due; a short pause rather than a spin.
                Some(Duration::ZERO) if nothing => Duration::from_millis(5),
                // A manual clock moves by itself to no due time.
                Some(due_in) if self.clock.manual().is_none() => due_in.min(poll),
                Some(Duration::ZERO) => Duration::ZERO,
                _ => poll,
            };
    }

    fn note(&mut self, hint: Hint) {
        match hint {
            Hint::Due(None) => self.look_at_all(),
            Hint::Due(Some(queue)) => {
                for view in self.queues.iter_mut().filter(|view| *view.name == *queue) {
                    view.look_at = Instant::now();
                    view.nothing_due_after = None;
                }
            }
            Hint::Cancelled(run) => self.shared.held.run_was_cancelled(run),
            Hint::Staged | Hint::Schedules(_) => {}
        }
    }

    fn look_at_all(&mut self) {
        for view in &mut self.queues {
            view.look_at = Instant::now();
            view.nothing_due_after = None;
        }
    }

    fn look_where_due(&mut self, due: Option<Timestamp>) {
        for view in self.queues.iter_mut().filter(|view| view.due.is_some() && view.due <= due) {
            view.look_at = Instant::now();
            view.nothing_due_after = None;
        }
    }

    fn look_again_where_unsure(&mut self) {
        let ended = self.shared.held.ended();
        for view in self.queues.iter_mut().filter(|view| view.nothing_due_after != Some(ended)) {
            view.look_at = Instant::now();
        }
    }

    fn is_idle(&mut self) -> bool {
        if self.shared.held.len() > 0 {
            return false;
        }
        self.look_again_where_unsure();
        let ended = self.shared.held.ended();
        self.queues.iter().all(|view| view.nothing_due_after == Some(ended))
    }

    /// The first queue from the turn on that is to be looked at.
    fn next_ready(&self) -> Option<usize> {
        let now = Instant::now();
        let count = self.queues.len();
        let is_ready = |view: &QueueView| view.look_at <= now && self.has_room(view);
        (0..count).map(|step| (self.turn + step) % count).find(|index| is_ready(&self.queues[*index]))
    }

    fn earliest_look(&self) -> Instant {
        let poll = Instant::now() + self.settings.poll;
        self.with_room().map(|view| view.look_at).min().unwrap_or(poll)
    }

    fn earliest_due(&self) -> Option<Timestamp> {
        self.with_room().filter_map(|view| view.due).min()
    }

    fn with_room(&self) -> impl Iterator<Item = &QueueView> {
        self.queues.iter().filter(|view| self.has_room(view))
    }

    fn has_room(&self, view: &QueueView) -> bool {
        self.shared.queue_slots.free(&view.name) > 0
    }

    /// ±20%, so that workers that were started together don't look together.
    fn jittered_poll(&mut self) -> Duration {
        self.polls += 1;
        let seed = self.settings.id.as_uuid().as_u64_pair().0.wrapping_add(self.polls);
        jittered(self.settings.poll, seed)
    }

    async fn give_back_stale(&self) {
        for held in self.shared.buffer.take_stale(LONGEST_AHEAD) {
            self.shared.settler.give_back(&held.run).await;
        }
    }
}

impl QueueView {
    async fn give_back_unanswered(&mut self, store: &dyn Store) -> Result<(), Error> {
        while let Some(token) = self.unanswered.last() {
            store.give_back(&self.name, *token).await?;
            self.unanswered.pop();
        }
        Ok(())
    }
}

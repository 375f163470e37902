//! Moves what was staged in an application's database into the store that its jobs run on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    AsStaging, AsStore, Error, ErrorKind, Hint, LeaseToken, Pace, RunFilter, Shutdown, Staging, Store,
    WakeUps,
    backoff::{Backoff, jittered},
    jobs::{events, on_all_to_the_end, operator::RunAction, schedules::make},
    limits::{ERROR_BYTES, clean_text},
    store::{StagedItem, StagedNumber, StagedRequest, TakenStaged},
};

/// Items moved together; few, so that a relay that dies holds up little.
const MOST_AT_ONCE: usize = 500;
const BYTES_AT_ONCE: usize = 8 << 20;
/// How long items taken by a dead relay wait for another.
const LEASE: Duration = Duration::from_secs(10);
/// Between two looks at what may be forgotten.
const FORGETS_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long a round may continue once stopping has begun.
const GRACE: Duration = Duration::from_secs(5);

/// Moves runs and events that an application staged in transactions of its own SQL database into the store that
/// its jobs run on. It needs no job and no worker: it may run in any process that reaches both, and in several
/// at once.
///
/// Each item arrives once: it is enqueued under the id it was staged with, then removed; a crash in between
/// repeats the enqueue, which changes nothing. This holds as long as the target store remembers the id: an
/// event's for 24 h or longer, a run's until it is pruned. While either store is unavailable the relay waits,
/// with jittered backoff.
///
/// Delays count from the staging. A unique key and its period start on arrival: a run whose key is taken there
/// by then joins the holder, as an enqueue would, and does not exist under its own id. With another input it is
/// refused. Refused items are set aside with their errors, for [`Staging::refused_staged`], and hold nothing
/// up.
///
/// Items arrive in the order in which they were staged, queue by queue in batches; concurrent relays, and
/// transactions that commit late, may mix it. A cancel is done once everything staged before it has arrived, and
/// what was staged after it waits for that.
///
/// ```no_run
/// # use riqle_jobs_core::{Error, Memory, Relay, Staging};
/// # async fn start<S: Staging + Clone + 'static>(database: S, store: Memory) -> Result<(), Error> {
/// Relay::new(&database, &store).run().await
/// # }
/// ```
pub struct Relay {
    staging: Arc<dyn Staging>,
    target: Arc<dyn Target>,
    token: LeaseToken,
    poll: Duration,
}

impl Relay {
    /// A relay from the database where the application stages to the store that its jobs run on.
    pub fn new(staging: &impl AsStaging, store: &impl AsStore) -> Self {
        Self::between(staging.as_staging(), Arc::new(store.as_store()))
    }

    pub(crate) fn between(staging: Arc<dyn Staging>, target: Arc<dyn Target>) -> Self {
        Self { staging, target, token: LeaseToken::new(), poll: Duration::from_secs(1) }
    }

    /// How often it polls for items whose hint was lost, ±20%. Default 1 s, at least 1 ms.
    #[must_use]
    pub fn poll_interval(mut self, poll: Duration) -> Self {
        self.poll = poll.clamp(Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
        self
    }

    /// Runs until the process is told to stop: SIGTERM or Ctrl-C ends it gracefully, a second one at once. Items in
    /// flight are finished, for at most 5 s.
    ///
    /// # Errors
    /// `Misconfigured` if the signal handler can't be set.
    pub async fn run(&self) -> Result<(), Error> {
        self.run_with(&Shutdown::on_signals()?).await
    }

    /// Runs until `stop` resolves, then ends gracefully.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(&self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let shutdown = Shutdown::new();
        shutdown.fired_by(stop, self.run_with(&shutdown)).await
    }

    /// Runs until `shutdown` says so.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with(&self, shutdown: &Shutdown) -> Result<(), Error> {
        tokio::select! {
            () = self.relay(shutdown) => {}
            () = shutdown.stopping_now() => {}
        }
        Ok(())
    }

    async fn relay(&self, shutdown: &Shutdown) {
        // Interest is registered before the first look, so no hint falls between.
        let mut hints = self.staging.staging_wake_ups();
        let mut answered = Answered::default();
        let seed = self.token.as_uuid().as_u64_pair().0;
        let (mut backoff, mut polls) = (Backoff::new(seed), 0);
        let mut forgot: Option<Instant> = None;
        loop {
            if forgot.is_none_or(|at| at.elapsed() >= FORGETS_EVERY) {
                forgot = Some(Instant::now());
                if let Err(error) = self.staging.forget_kept_steps().await {
                    tracing::warn!(%error, "can't delete old step results; will retry in an hour");
                }
            }
            let ended = {
                let round = self.round(&mut answered);
                tokio::pin!(round);
                tokio::select! {
                    ended = &mut round => ended,
                    () = shutdown.stopping() => {
                        // Not dropped half way: what it has taken would wait for the end of the lease.
                        let _ = timeout(GRACE, round).await;
                        return;
                    }
                }
            };
            let (pause, is_idle) = match ended {
                Ok(0) => {
                    backoff.succeeded("relay", None);
                    polls += 1;
                    (jittered(self.poll, seed.wrapping_add(polls)), true)
                }
                Ok(_) => {
                    backoff.succeeded("relay", None);
                    continue;
                }
                Err(error) => {
                    backoff.log("relay", None, &error);
                    if answered.in_this_round > 0 {
                        backoff.reset();
                    }
                    (backoff.next_delay(), false)
                }
            };
            tokio::select! {
                () = shutdown.stopping() => return,
                () = sleep(pause) => {}
                () = staged(&mut hints), if is_idle => {}
            }
        }
    }

    /// Moves items until none is staged: for tests, and for processes that are started for one round.
    ///
    /// # Errors
    /// The first error of either store; what was moved until then stays moved.
    pub async fn run_until_idle(&self) -> Result<(), Error> {
        let mut answered = Answered::default();
        while self.round(&mut answered).await? > 0 {}
        Ok(())
    }

    /// One batch, and more while a queue is unavailable that the others need not wait for; returns how many
    /// items were taken.
    pub(crate) async fn round(&self, answered: &mut Answered) -> Result<usize, Error> {
        answered.in_this_round = 0;
        self.record(answered).await?;
        let (mut after, mut count, mut moved) = (None, 0, Ok(()));
        let mut away = BTreeSet::new();
        loop {
            let taken = self.staging.take_staged(self.request(after)).await?;
            after = taken.last().map(|last| last.number);
            count += taken.len();
            let mut is_held_up = false;
            for part in parts(&taken, answered) {
                match part {
                    Part::Groups(groups) => {
                        for (queue, group) in groups {
                            if away.contains(&queue) {
                                continue;
                            }
                            if let Err(error) = self.hand_over(group, answered).await {
                                moved = moved.and(Err(error));
                                away.insert(queue);
                            }
                        }
                    }
                    // It must not miss what was staged before it, nor hit what was staged after it.
                    Part::Cancel(..) if !away.is_empty() => is_held_up = true,
                    Part::Cancel(number, filter) => {
                        if let Err(error) = self.cancel(number, *filter, answered).await {
                            moved = moved.and(Err(error));
                        }
                        // Removed before anything behind it moves, and what is behind it is taken anew: a repeat would hit
                        // that, too, and the cancel may have outlasted the lease.
                        is_held_up = true;
                    }
                }
                if is_held_up {
                    break;
                }
            }
            self.record(answered).await?;
            if away.is_empty() || after.is_none() || is_held_up {
                return moved.map(|()| count);
            }
        }
    }

    fn request(&self, after: Option<StagedNumber>) -> StagedRequest {
        StagedRequest { token: self.token, after, limit: MOST_AT_ONCE, bytes: BYTES_AT_ONCE, lease: LEASE }
    }

    /// Hands a group to the store: whole, and if something in it is refused, half by half down to that item.
    async fn hand_over(&self, group: Group, answered: &mut Answered) -> Result<(), Error> {
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            match self.target.take(&part).await {
                Ok(()) => answered.arrive(&part),
                Err(error) if is_away(&error) => return Err(error),
                Err(error) => {
                    let second = part.split_off(part.len().div_ceil(2));
                    match part.first() {
                        Some((number, _)) if second.is_empty() => answered.refuse(*number, error),
                        _ => parts.extend([second, part]),
                    }
                }
            }
        }
        Ok(())
    }

    async fn cancel(
        &self,
        number: StagedNumber,
        filter: RunFilter,
        answered: &mut Answered,
    ) -> Result<(), Error> {
        match self.target.cancel(filter).await {
            Ok(runs) => {
                tracing::debug!(number = number.0, runs, "a staged cancel was done");
                answered.arrived.push(number);
                answered.in_this_round += 1;
                Ok(())
            }
            Err(error) if is_away(&error) => Err(error),
            Err(error) => {
                answered.refuse(number, error);
                Ok(())
            }
        }
    }

    /// Tells the staging database what the store answered. What can't be told is kept for the next time.
    async fn record(&self, answered: &mut Answered) -> Result<(), Error> {
        if !answered.arrived.is_empty() {
            self.staging.remove_staged(answered.arrived.clone()).await?;
            answered.arrived.clear();
        }
        while let Some((number, error)) = answered.refused.last() {
            self.staging.refuse_staged(*number, error).await?;
            answered.refused.pop();
        }
        Ok(())
    }
}

/// Where a relay moves items to: a store.
#[async_trait]
pub(crate) trait Target: Send + Sync {
    /// Stores what is not stored yet of a part.
    async fn take(&self, part: &Group) -> Result<(), Error>;

    /// Cancels the runs that a filter lists; answers how many.
    async fn cancel(&self, filter: RunFilter) -> Result<u64, Error>;
}

#[async_trait]
impl Target for Arc<dyn Store> {
    async fn take(&self, part: &Group) -> Result<(), Error> {
        let (mut runs, mut new_events) = (Vec::new(), Vec::new());
        for (_, item) in part {
            match item {
                StagedItem::Run(run) => runs.push(run.clone()),
                StagedItem::Event(event) => new_events.push(event.clone()),
                // Again, where what follows is refused: that changes nothing.
                StagedItem::Schedule(new) => make(&**self, new).await?,
                // Alone in its part.
                StagedItem::Cancel(_) => {}
            }
        }
        if !new_events.is_empty() {
            events::send(&**self, new_events).await?;
        }
        if !runs.is_empty() {
            let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
            for (run, answer) in ids.into_iter().zip(self.enqueue(runs).await?) {
                if answer.id() != run {
                    tracing::debug!(%run, holder = %answer.id(), "a staged run's unique key is taken; it joins the holder");
                }
            }
        }
        Ok(())
    }

    async fn cancel(&self, filter: RunFilter) -> Result<u64, Error> {
        on_all_to_the_end(&**self, RunAction::Cancel, filter, Pace::per_second(u32::MAX))
            .await
            .map(|report| report.done)
    }
}

/// What the store answered and the staging database does not know yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Answered {
    arrived: Vec<StagedNumber>,
    refused: Vec<(StagedNumber, String)>,
    /// Items that moved on, though others may not have.
    pub(crate) in_this_round: usize,
}

impl Answered {
    fn arrive(&mut self, part: &Group) {
        self.arrived.extend(part.iter().map(|(number, _)| *number));
        self.in_this_round += part.len();
    }

    fn refuse(&mut self, number: StagedNumber, error: Error) {
        tracing::error!(number = number.0, %error, "a staged item was refused; it is set aside");
        self.refused.push((number, clean_text(&error.to_string(), ERROR_BYTES)));
    }
}

/// What is handed over in one call, in the order of staging.
pub(crate) type Group = Vec<(StagedNumber, StagedItem)>;

/// What is moved before the next part is begun.
enum Part {
    /// The runs of each queue, and the events, since a call is atomic within one queue only.
    Groups(BTreeMap<Option<String>, Group>),
    Cancel(StagedNumber, Box<RunFilter>),
}

/// What was taken, divided at the cancels. What can't be read is refused.
fn parts(taken: &[TakenStaged], answered: &mut Answered) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut groups: BTreeMap<Option<String>, Group> = BTreeMap::new();
    for staged in taken {
        match staged.item() {
            Ok(StagedItem::Cancel(filter)) => {
                parts.extend([
                    Part::Groups(std::mem::take(&mut groups)),
                    Part::Cancel(staged.number, Box::new(filter)),
                ]);
            }
            Ok(StagedItem::Run(run)) => {
                let group = groups.entry(Some(run.queue.clone())).or_default();
                group.push((staged.number, StagedItem::Run(run)));
            }
            Ok(event) => groups.entry(None).or_default().push((staged.number, event)),
            Err(error) => answered.refuse(staged.number, error),
        }
    }
    parts.push(Part::Groups(groups));
    parts
}

/// Whether the store is at fault, or how it was opened, and not what was handed to it.
fn is_away(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Conflict | ErrorKind::NotFound)
}

/// Resolves once something may have been staged.
async fn staged(hints: &mut WakeUps) {
    // `Due` of any queue is what stands for hints that were missed.
    while !matches!(hints.next().await, Hint::Staged | Hint::Due(None)) {}
}

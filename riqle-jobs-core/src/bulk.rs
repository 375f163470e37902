//! One operation on many runs.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::{Error, ErrorKind, Replay, ReplayFrom, Run, RunFilter, RunId, RunState, Store, backoff::Backoff};

/// How fast a bulk operation goes, by the machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    per_second: u32,
}

impl Pace {
    /// At most so many runs a second, at least one.
    pub fn per_second(runs: u32) -> Self {
        Self { per_second: runs.max(1) }
    }

    /// How long after the start the run with this number, from 0, has its turn.
    fn turn_of(self, number: u64) -> Duration {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Default for Pace {
    /// 100 runs a second.
    fn default() -> Self {
        Self::per_second(100)
    }
}

/// What a bulk operation has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkReport {
    /// Runs that it was done to, now or by a call at the same time.
    pub done: u64,
    /// Runs that were left as they are, in the order in which they were met.
    pub skipped: Vec<Skipped>,
}

/// A run that a bulk operation left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The run.
    pub run: RunId,
    /// Why: `Conflict` where its unique key is taken, `Rejected` or `NotFound` where somebody else was faster.
    pub kind: ErrorKind,
    /// Why, for people.
    pub problem: String,
}

/// A page of runs; small, so that what others do meanwhile is seen.
const PAGE: usize = 200;
/// How often a call to a store that is away is made, all in all.
const TRIES: u32 = 6;

pub(crate) async fn replay_all(
    store: &dyn Store,
    filter: RunFilter,
    pace: Pace,
) -> Result<BulkReport, Error> {
    for_each(store, filter, &[RunState::Dead], pace, |run| {
        store.replay(run.id, run.id.of_replay(), Replay::from(ReplayFrom::FailedStep))
    })
    .await
}

pub(crate) async fn discard_all(
    store: &dyn Store,
    filter: RunFilter,
    pace: Pace,
) -> Result<BulkReport, Error> {
    for_each(store, filter, &[RunState::Dead], pace, |run| store.discard(run.id)).await
}

pub(crate) async fn cancel_all(
    store: &dyn Store,
    filter: RunFilter,
    pace: Pace,
) -> Result<BulkReport, Error> {
    let states = [RunState::Pending, RunState::Running, RunState::Waiting];
    for_each(store, filter, &states, pace, |run| cancel(store, run.id)).await
}

/// Ends a run that has not ended; its emails that wait to be sent are given up.
pub(crate) async fn cancel(store: &dyn Store, id: RunId) -> Result<(), Error> {
    store.cancel(id).await?;
    store.fail_emails_of_run(id, "the run was cancelled").await
}

pub(crate) async fn run_all_now(
    store: &dyn Store,
    filter: RunFilter,
    pace: Pace,
) -> Result<BulkReport, Error> {
    for_each(store, filter, &[RunState::Pending, RunState::Waiting], pace, |run| store.run_now(run.id)).await
}

/// By falling id, so that runs which come meanwhile, replays among them, are not met. Of the filter's states these count.
async fn for_each<F>(
    store: &dyn Store,
    filter: RunFilter,
    states: &[RunState],
    pace: Pace,
    operation: impl Fn(&Run) -> F,
) -> Result<BulkReport, Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let asked = |state: &RunState| filter.states.is_empty() || filter.states.contains(state);
    let states: Vec<_> = states.iter().copied().filter(asked).collect();
    if states.is_empty() {
        return Ok(BulkReport::default());
    }
    let most = if filter.limit == 0 { usize::MAX } else { filter.limit };
    let mut page = RunFilter { states, ..filter };
    let mut report = BulkReport::default();
    let (begun, mut met) = (Instant::now(), 0_usize);
    while met < most {
        page.limit = PAGE.min(most - met);
        let runs = patiently(|| store.runs(page.clone())).await?;
        for run in &runs {
            tokio::time::sleep_until((begun + pace.turn_of(met as u64)).into()).await;
            met += 1;
            match patiently(|| operation(run)).await {
                Ok(()) => report.done += 1,
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    let problem = error.message().to_owned();
                    report.skipped.push(Skipped { run: run.id, kind: error.kind(), problem });
                }
            }
        }
        if runs.len() < page.limit {
            break;
        }
        page.before = runs.last().map(|run| run.id);
    }
    Ok(report)
}

/// Waits for a store that is away, for some seconds.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut backoff = Backoff::new(u64::from(TRIES));
    for _ in 1..TRIES {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Unavailable => backoff.wait().await,
            other => return other,
        }
    }
    call().await
}

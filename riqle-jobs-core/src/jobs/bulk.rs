//! One operation on many runs.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::operator::RunAction;
use crate::{
    Error, ErrorKind, Replay, ReplayFrom, RunFilter, RunId, Shutdown, Store,
    backoff::Backoff,
    store::rules::{CANCELLED, Operation, Pages},
};

/// How fast a bulk operation runs, by the machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub(super) per_second: u32,
}

impl Pace {
    /// At most `runs` per second; 0 counts as 1.
    pub fn per_second(runs: u32) -> Self {
        Self { per_second: runs.max(1) }
    }

    /// How long after a run the next one has its turn.
    fn step(self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }
}

impl Default for Pace {
    /// 100 runs per second.
    fn default() -> Self {
        Self::per_second(100)
    }
}

/// What a bulk operation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkReport {
    /// Runs that it acted on, or that a concurrent call did.
    pub done: u64,
    /// Runs that it skipped.
    pub skips: u64,
    /// The first 100 skipped runs, in the order they were met.
    pub skipped: Vec<Skipped>,
}

/// How many skipped runs a report lists.
const SKIPPED_NAMED: usize = 100;

impl BulkReport {
    /// Counts a skipped run.
    pub fn skip(&mut self, run: RunId, error: &Error) {
        self.skips += 1;
        if self.skipped.len() < SKIPPED_NAMED {
            self.skipped.push(Skipped { run, kind: error.kind(), problem: error.message().to_owned() });
        }
    }

    /// `7 done, 1 skipped`.
    pub(super) fn counts(&self) -> String {
        match self.skips {
            0 => format!("{} done", self.done),
            skips => format!("{} done, {skips} skipped", self.done),
        }
    }

    /// Adds what another call has done after this one.
    pub fn add(&mut self, more: BulkReport) {
        self.done += more.done;
        self.skips += more.skips;
        let room = SKIPPED_NAMED.saturating_sub(self.skipped.len());
        self.skipped.extend(more.skipped.into_iter().take(room));
    }
}

/// A run that a bulk operation skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The run.
    pub run: RunId,
    /// Why: `Conflict` if its unique key is taken, `Rejected` or `NotFound` if another caller was faster.
    pub kind: ErrorKind,
    /// Why, for display.
    pub problem: String,
}

/// How long to wait for an unavailable store.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much lost time is made up for.
const MADE_UP: Duration = Duration::from_millis(100);

/// Does `action` to the runs that match `filter`; ends early, between two runs, once `stop` fires. `told` hears of each run.
pub(crate) async fn on_all(
    store: &dyn Store,
    action: RunAction,
    filter: RunFilter,
    pace: Pace,
    stop: &Shutdown,
    told: &mut (dyn FnMut(&BulkReport) + Send),
) -> Result<BulkReport, Error> {
    let mut pages = Pages::of(filter, action.states());
    let mut report = BulkReport::default();
    let mut turn = Instant::now();
    while let Some(page) = pages.page() {
        let runs = patiently(|| store.runs(page.clone())).await.map_err(|error| after(&report, error))?;
        for run in &runs {
            tokio::select! {
                biased;
                () = stop.stopping() => return Err(interrupted(&report)),
                () = tokio::time::sleep_until(turn) => {}
            }
            // A store that stood still is not overrun afterwards.
            turn = (turn + pace.step()).max(Instant::now() - MADE_UP);
            match patiently(|| on_one(store, action, run.id)).await {
                Ok(()) => report.done += 1,
                Err(error) if Operation::passes_over(&error) => report.skip(run.id, &error),
                Err(error) => return Err(after(&report, error)),
            }
            told(&report);
        }
        pages.met(&runs);
    }
    Ok(report)
}

fn interrupted(report: &BulkReport) -> Error {
    let message = format!("interrupted after {}; it is safe to repeat", report.counts());
    Error::new(ErrorKind::Unavailable, "act", message)
}

/// As [`on_all`], to the end.
pub(crate) async fn on_all_to_the_end(
    store: &dyn Store,
    action: RunAction,
    filter: RunFilter,
    pace: Pace,
) -> Result<BulkReport, Error> {
    on_all(store, action, filter, pace, &Shutdown::new(), &mut |_| {}).await
}

/// Does `action` to a run.
pub(crate) async fn on_one(store: &dyn Store, action: RunAction, id: RunId) -> Result<(), Error> {
    match action {
        RunAction::Replay => store.replay(id, id.of_replay(), Replay::from(ReplayFrom::FailedStep)).await,
        RunAction::Discard => store.discard(id).await,
        RunAction::Cancel => cancel(store, id).await,
        RunAction::RunNow => store.run_now(id).await,
    }
}

/// Cancels a run that has not ended; its emails still to be sent are given up.
pub(crate) async fn cancel(store: &dyn Store, id: RunId) -> Result<(), Error> {
    store.cancel(id).await?;
    store.fail_emails_of_run(id, CANCELLED).await
}

/// An error that says what was done before it, and nothing else about the store; the rest is its cause.
fn after(report: &BulkReport, error: Error) -> Error {
    let why = match error.kind() {
        ErrorKind::Unavailable => "the store is still unavailable",
        _ => "the store failed",
    };
    let message = format!("stopped after {}: {why}", report.counts());
    Error::new(error.kind(), error.operation(), message).caused_by(error)
}

/// Waits for an unavailable store.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let gives_up = Instant::now() + PATIENCE;
    let mut backoff = Backoff::new(RunId::new().as_uuid().as_u64_pair().1);
    loop {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && Instant::now() < gives_up => {
                backoff.wait().await;
            }
            other => return other,
        }
    }
}

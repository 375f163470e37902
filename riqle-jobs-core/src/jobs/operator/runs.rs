//! What is done to runs: to one, to each of some, or to all that match a filter.

use tokio::sync::oneshot;
use tracing::warn;

use super::{Done, Operator, RunAction, of_panic, record_end, rejected, shown};
use crate::{
    ActionId, BulkReport, Error, ErrorKind, Jobs, Pace, Replay, ReplayFrom, RunFilter, RunId, Shutdown,
    jobs::bulk,
    store::{ActionKind, NewAction, rules::Operation},
};

/// The most runs named one by one.
const MOST_NAMED: usize = 500;
/// So many in a record, so that it names each.
const NAMED_IN_A_RECORD: usize = 25;
/// The most skipped runs that an outcome names.
const MOST_SKIPPED: usize = 3;

impl Operator {
    /// Starts a dead or cancelled run again; the outcome is the new run's id.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` for a step that the run has not saved, and as [`Operate::replay`](crate::Operate::replay).
    pub async fn replay(&self, run: RunId, how: Replay) -> Result<Done, Error> {
        let store = self.jobs.store();
        if let ReplayFrom::Step(path) = &how.from {
            store.run(run).await.map_err(shown)?.ok_or_else(|| no_run("replay", run))?;
            if !store.steps(run).await.map_err(shown)?.iter().any(|step| step.path == *path) {
                return Err(rejected("replay", "the run has no saved step with this name"));
            }
        }
        let from = match &how.from {
            ReplayFrom::FailedStep => "the failed step".to_owned(),
            ReplayFrom::Start => "the start".to_owned(),
            ReplayFrom::Step(step) => format!("step {step}"),
        };
        let edited = if how.input.is_some() { ", with edited input" } else { "" };
        let detail = format!("from {from}{edited}");
        self.recorded(ActionKind::Replay, &format!("run {run}"), &detail, move |jobs| async move {
            jobs.replay(run, how).await.map(|new_run| new_run.to_string())
        })
        .await
    }

    /// Does `action` to a run.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` if it does not apply to the run as it is; `Unavailable`.
    pub async fn on_run(&self, action: RunAction, run: RunId) -> Result<Done, Error> {
        self.recorded(action.kind(), &format!("run {run}"), "", move |jobs| async move {
            on_one(&jobs, action, run).await.map(|()| String::new())
        })
        .await
    }

    /// Does `action` to each of at most 500 runs, and counts those that it does not apply to as skipped. It stops early, between
    /// two runs, once `stop` fires. Every 25 runs have a record; the answer names the last.
    ///
    /// # Errors
    /// `Rejected` for no run or too many; `Unavailable` if the store is, or if it was stopped, with what was done before, which
    /// stays done.
    pub async fn on_runs(
        &self,
        action: RunAction,
        runs: Vec<RunId>,
        stop: &Shutdown,
    ) -> Result<(Done, BulkReport), Error> {
        match runs.len() {
            0 => return Err(rejected("act", "no run is selected")),
            1..=MOST_NAMED => {}
            _ => {
                let message = format!("at most {MOST_NAMED} runs can be selected one by one");
                return Err(rejected("act", message));
            }
        }
        let (operator, stop) = (self.clone(), stop.clone());
        let all = tokio::spawn(async move {
            let (mut done, mut report) = (None, BulkReport::default());
            for runs in runs.chunks(NAMED_IN_A_RECORD) {
                let subject = format!("{} run{}", runs.len(), if runs.len() == 1 { "" } else { "s" });
                let names: Vec<_> = runs.iter().map(RunId::to_string).collect();
                let (runs, stop) = (runs.to_vec(), stop.clone());
                let (told_of, told_by) = oneshot::channel();
                let act = move |jobs: Jobs| async move {
                    let (report, stopped) = on_each(&jobs, action, &runs, &stop).await;
                    let why = stopped.as_ref().map(|error| error.message().to_owned());
                    let done = match stopped {
                        None => Ok(outcome(&report)),
                        Some(error) => Err(stopped_after(&report, None, error)),
                    };
                    let _ = told_of.send((report, why));
                    done
                };
                let recorded =
                    operator.recorded_as_said(action.kind(), &subject, &names.join(", "), act).await;
                let (more, why) = told_by.await.unwrap_or_default();
                report.add(more);
                match recorded {
                    Ok(recorded) => done = Some(recorded),
                    // What the portions before it did is done, too.
                    Err(error) => return Err(stopped_after(&report, why, error)),
                }
            }
            let Some(done) = done else { return Err(rejected("act", "no run is selected")) };
            Ok((Done { outcome: outcome(&report), ..done }, report))
        });
        all.await.unwrap_or_else(|panicked| Err(of_panic(&panicked)))
    }

    /// Records that `action` is about to be done to all runs that match `filter`, no faster than `pace`;
    /// [`Underway::carry_out`] does it.
    ///
    /// # Errors
    /// As [`RunAction::narrow`]; `Unavailable`.
    pub async fn begin_on_all(
        &self,
        action: RunAction,
        filter: RunFilter,
        pace: Pace,
    ) -> Result<Underway, Error> {
        let words = filter.to_string();
        let subject = if words.is_empty() { "all runs".to_owned() } else { format!("all runs with {words}") };
        let filter = action.narrow(filter)?;
        let record = self.action(action.kind(), &subject, &format!("at most {} per second", pace.per_second));
        self.jobs.store().record_action(record.clone()).await.map_err(shown)?;
        Ok(Underway { jobs: self.jobs.clone(), record, action, filter, pace })
    }
}

/// An action on all runs that match a filter; recorded, and not yet begun.
#[must_use = "nothing is done before it is carried out"]
pub struct Underway {
    jobs: Jobs,
    record: NewAction,
    action: RunAction,
    filter: RunFilter,
    pace: Pace,
}

impl Underway {
    /// The id of its record.
    pub fn id(&self) -> ActionId {
        self.record.id
    }

    /// Carries it out and records the outcome; `told` hears of each run. It stops early, between two runs, once `stop` fires.
    /// After an error it is safe to begin again: what was done stays done, and is not done twice.
    ///
    /// # Errors
    /// With how far it came: `Unavailable` if it was stopped, or the store stays unavailable for half a minute; `Corrupt`.
    pub async fn carry_out(
        self,
        stop: &Shutdown,
        mut told: impl FnMut(&BulkReport) + Send,
    ) -> Result<BulkReport, Error> {
        let store = &**self.jobs.store();
        let done = bulk::on_all(store, self.action, self.filter, self.pace, stop, &mut told).await;
        if let Err(error) = &done {
            warn!(%error, action = %self.record.id, "an action on all matches stopped early");
        }
        let ended = done.as_ref().map(outcome);
        record_end(&self.jobs, &self.record, ended.as_deref().map_err(|error| *error)).await;
        done
    }
}

/// What was done, and why it stopped.
async fn on_each(
    jobs: &Jobs,
    action: RunAction,
    runs: &[RunId],
    stop: &Shutdown,
) -> (BulkReport, Option<Error>) {
    let mut report = BulkReport::default();
    for run in runs {
        if stop.is_stopping() {
            let error = Error::new(ErrorKind::Unavailable, "act", "interrupted; it is safe to repeat");
            return (report, Some(error));
        }
        match on_one(jobs, action, *run).await {
            Ok(()) => report.done += 1,
            Err(error) if Operation::passes_over(&error) => report.skip(*run, &shown(error)),
            Err(error) => return (report, Some(shown(error))),
        }
    }
    (report, None)
}

/// A missing one is not found, whatever the action.
async fn on_one(jobs: &Jobs, action: RunAction, run: RunId) -> Result<(), Error> {
    if action == RunAction::Discard && jobs.store().run(run).await?.is_none() {
        return Err(no_run("discard", run));
    }
    bulk::on_one(&**jobs.store(), action, run).await
}

fn no_run(operation: &'static str, run: RunId) -> Error {
    Error::new(ErrorKind::NotFound, operation, format!("no run {run}"))
}

/// Why it stopped, and what was done before; `why` where the error says that already.
fn stopped_after(report: &BulkReport, why: Option<String>, error: Error) -> Error {
    if report.done + report.skips == 0 {
        return error;
    }
    let why = why.unwrap_or_else(|| error.message().to_owned());
    let message = format!("stopped after {}: {why}", outcome(report));
    Error::new(error.kind(), error.operation(), message).caused_by(error)
}

/// The outcome, for display.
fn outcome(report: &BulkReport) -> String {
    if report.skips == 0 {
        return report.counts();
    }
    let problems: Vec<_> =
        report.skipped.iter().take(MOST_SKIPPED).map(|skipped| skipped.problem.as_str()).collect();
    format!("{}: {}", report.counts(), problems.join("; "))
}

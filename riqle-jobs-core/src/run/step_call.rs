//! One call of a step: its saved result is returned, or it is executed and saved.

use std::{
    future::Future,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{
    RunContext, StepPath,
    current_step::{CURRENT_STEP, CurrentStep, StepKind},
    steps::{Clash, Frame, Place, StepNumber, StepResult, stopped},
};
use crate::{
    Error, ErrorKind, JobError, LeaseAnswer, Payload, StepSave, UnreadableStep, outside::Instant,
    trace::spans, worker::panic_hook,
};

impl Clash {
    fn message(self, path: &StepPath, outer: Option<&StepPath>, at: Place) -> String {
        let name = path.name();
        let keyed = format_args!("`run.keyed(&item.id).step({name:?}, …)`");
        let again = |first: Place, what: &str| {
            let place = if first == at { String::new() } else { format!(", called at {first},") };
            format!(
                "step {:?}{place} {what} in this body, and is called again at {at}: give each item a key, \
                 {keyed}; to repeat a block after an error, call `run.again()`",
                path.as_str()
            )
        };
        let within = |outer: Option<&StepPath>| match outer {
            Some(outer) => format!("in step {:?}", outer.as_str()),
            None => "in the body".to_owned(),
        };
        match self {
            Clash::StillRuns(first) => again(first, "is still running"),
            Clash::RanAlready(first) => again(first, "already ran"),
            Clash::CalledElsewhere(first_outer, first) => format!(
                "step {:?} is called {} at {at}, and was called {} at {first}: a name is one step of a run, wherever \
                 it is called; give it a key, {keyed}",
                path.as_str(),
                within(outer),
                within(first_outer.as_ref())
            ),
        }
    }
}

/// One call of a step, from its name to its result. The step may be called again once this is dropped without one.
pub(super) struct StepCall {
    step: CurrentStep,
    number: StepNumber,
    frame: Arc<Frame>,
    /// Whether the body has the result.
    has_result: bool,
}

/// What is known of a step when the body calls it.
pub(super) enum Found<T> {
    /// Its result is saved.
    Saved(T),
    /// It is to be run.
    New {
        /// Whether its result takes the place of a saved one that can't be read: [`StepSave::replaces`].
        replaces: bool,
        /// Whether a transaction that may have been committed holds its result.
        unsure: bool,
    },
}

impl StepCall {
    /// Begins a call, unless this body has the step's result or is at it already, and finds what is saved of it, waiting for
    /// a result on its way.
    pub(super) async fn begin<T: DeserializeOwned>(
        run: RunContext,
        path: Result<StepPath, Error>,
        kind: StepKind,
        at: Place,
    ) -> Result<(Self, Found<T>), JobError> {
        match Self::try_begin(run, path, kind, at) {
            Ok((call, known)) => {
                let found = call.find(known).await?;
                Ok((call, found))
            }
            Err(error) => {
                // A body that swallows the error and calls again must not keep its thread from everything else.
                tokio::task::yield_now().await;
                Err(error)
            }
        }
    }

    fn try_begin(
        run: RunContext,
        path: Result<StepPath, Error>,
        kind: StepKind,
        at: Place,
    ) -> Result<(Self, Option<StepResult>), JobError> {
        run.check_goes_on()?;
        let path = path.map_err(JobError::dead)?;
        let within = CurrentStep::get();
        let around =
            || iter::successors(within.as_ref(), |step| step.outer()).filter(|step| step.is_of(&run));
        let outer = around().next().map(CurrentStep::path);
        let frame = around().find_map(|step| step.frame_for(&run)).unwrap_or(&run.frame);
        if let Some(around) = around().find(|step| step.is_in_transaction()) {
            return Err(run.inner.steps.doom(format_args!(
                "step {:?} is called at {at} within `step_in` of {:?}, whose transaction keeps it from being saved: \
                 call it before",
                path.as_str(),
                around.path().as_str()
            )));
        }
        match run.inner.steps.begin_call(frame, &path, outer, at) {
            Ok((number, known)) => {
                let frame = Arc::clone(frame);
                let step = CurrentStep::new(run, path, kind, within);
                Ok((Self { step, number, frame, has_result: false }, known))
            }
            Err(clash) => Err(run.inner.steps.doom(clash.message(&path, outer, at))),
        }
    }

    async fn find<T: DeserializeOwned>(&self, known: Option<StepResult>) -> Result<Found<T>, JobError> {
        let cancellation = &self.run().inner.cancellation;
        let result = match known {
            Some(StepResult::Saving) => {
                let result = tokio::select! {
                    result = self.run().inner.steps.until_not_saving(self.number) => result,
                    () = cancellation.until_lost() => None,
                };
                self.run().check_goes_on()?;
                result
            }
            known => known,
        };
        let found = match result {
            None => Found::New { replaces: false, unsure: false },
            Some(StepResult::Unsure) => Found::New { replaces: false, unsure: true },
            Some(StepResult::Saving | StepResult::Dropped) => return Err(stopped().into()),
            Some(StepResult::Saved(saved)) => self.read(&saved)?,
        };
        // Another claim may have saved this very step meanwhile.
        if matches!(found, Found::New { .. }) && !cancellation.is_certain() {
            cancellation.until_certain().await;
            self.run().check_goes_on()?;
        }
        Ok(found)
    }

    /// Reads what is saved.
    pub(super) fn read<T: DeserializeOwned>(&self, saved: &Payload) -> Result<Found<T>, JobError> {
        match (saved.decode(), self.run().inner.unreadable_step) {
            (Ok(value), _) => Ok(Found::Saved(value)),
            (Err(error), UnreadableStep::Fail) => {
                Err(JobError::dead(format_args!("saved result of step {:?}: {error}", self.path().as_str())))
            }
            (Err(error), UnreadableStep::RunAgain) => {
                let (run, job) = (self.run().id(), self.run().job());
                tracing::warn!(%run, job, step = %self.path(), %error, "a saved result can't be read; the step runs again");
                Ok(Found::New { replaces: true, unsure: false })
            }
        }
    }

    /// Runs the step's own code.
    pub(super) async fn execute<T>(
        &self,
        code: impl Future<Output = Result<T, JobError>>,
    ) -> Result<T, JobError> {
        let (span, begun) = (spans::step(self.path()), Instant::now());
        let result = CURRENT_STEP.scope(self.step.clone(), code).instrument(span.clone()).await;
        self.run().inner.worker.metrics.step(begun.elapsed());
        result.map_err(|error| {
            spans::step_failed(&span, &error);
            error.context(format_args!("step {:?}", self.path().as_str()))
        })
    }

    /// Writes a result as it is saved, and reads it back: what the body gets is what later attempts will get. A result that
    /// can't be saved makes the run dead, since what the step did would be done again.
    pub(super) fn write<T: Serialize + DeserializeOwned>(&self, value: &T) -> Result<(Payload, T), JobError> {
        let written = catch_unwind(AssertUnwindSafe(|| Payload::json_of(value))).unwrap_or_else(|payload| {
            Err(Error::new(ErrorKind::Rejected, "encode", panic_hook::describe(payload)))
        });
        let written = written.and_then(|(written, value)| {
            self.run().inner.worker.limits.check_result("step result", &written)?;
            Ok((written, value))
        });
        written.map_err(|error| self.not_saved(&error))
    }

    /// Ends the run, which has the effect of a step and can't save its result.
    pub(super) fn not_saved(&self, error: &Error) -> JobError {
        self.run().inner.steps.not_saved(self.path(), error)
    }

    /// Saves a result under the lease.
    pub(super) async fn save(&self, result: Payload, begun: Instant, replaces: bool) -> Result<(), JobError> {
        let (caller, answered) = oneshot::channel();
        let inner = &self.run().inner;
        let save = self.to_save(result, begun, replaces);
        inner.worker.saver.save(inner.steps.begin_save(self.number(), save, caller));
        let answer = tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| stopped())??,
            () = inner.cancellation.until_lost() => LeaseAnswer::LeaseLost,
        };
        self.run().note_answer(answer)
    }

    /// What to save of a result.
    pub(super) fn to_save(&self, result: Payload, begun: Instant, replaces: bool) -> StepSave {
        let lease = self.run().inner.lease.clone();
        StepSave { lease, path: self.path().clone(), result, took: begun.elapsed(), replaces }
    }

    pub(super) fn run(&self) -> &RunContext {
        self.step.run()
    }

    pub(super) fn path(&self) -> &StepPath {
        self.step.path()
    }

    pub(super) fn number(&self) -> StepNumber {
        self.number
    }

    /// The body has the result.
    pub(super) fn have<T>(mut self, value: T) -> T {
        self.has_result = true;
        value
    }
}

impl Drop for StepCall {
    fn drop(&mut self) {
        self.run().inner.steps.end_call(&self.frame, self.number, self.has_result);
    }
}

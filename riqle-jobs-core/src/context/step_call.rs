use std::{future::Future, time::Instant};

use serde::{Serialize, de::DeserializeOwned};
use tracing::Instrument;

use super::{
    RunContext, StepPath,
    current_step::{CURRENT_STEP, CurrentStep},
    steps::{Frame, Place, StepResult, stopped},
};
use crate::{JobError, Payload, StepSave, UnreadableStep};
use std::sync::Arc;

/// One call of a step, from its name to its result. The step may be called again once this is dropped without one.
pub(super) struct StepCall {
    run: RunContext,
    path: StepPath,
    at: Place,
    frame: Arc<Frame>,
}

/// Where a step stands when the body calls it.
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
    /// Begins a call, unless this body has the step's result or is at it already.
    pub(super) fn begin(run: RunContext, name: &str, at: Place) -> Result<Self, JobError> {
        run.check_goes_on()?;
        let path = run.keys.path(name).map_err(JobError::dead)?;
        let frame = CurrentStep::frame_for(&run.frame);
        let (first, what) = match (frame.had(&path), run.inner.steps.begin_call(&path, at)) {
            (None, Ok(())) => return Ok(Self { run, path, at, frame }),
            (Some(first), begun) => {
                if begun.is_ok() {
                    run.inner.steps.end_call(&path);
                }
                (first, "ran")
            }
            (None, Err(first)) => (first, "is running"),
        };
        let (place, call) =
            (if first == at { String::new() } else { format!(", called at {first},") }, &path);
        run.inner.steps.doom(format_args!(
            "step {:?}{place} {what} already in this body, and is called again at {at}: for other items give a key, \
             `run.keyed(&item.id).step({name:?}, …)`; to repeat a block after an error, `run.again()`",
            call.as_str()
        ));
        run.check_goes_on()?;
        Err(JobError::dead("a step is called twice"))
    }

    /// Finds the saved result, waiting for one on its way.
    pub(super) async fn find<T: DeserializeOwned>(&self) -> Result<Found<T>, JobError> {
        let cancellation = &self.run.inner.cancellation;
        let result = tokio::select! {
            result = self.run.inner.steps.result(&self.path) => result,
            () = cancellation.until_lost() => None,
        };
        self.run.check_goes_on()?;
        let found = match result {
            None => Found::New { replaces: false, unsure: false },
            Some(StepResult::Unsure) => Found::New { replaces: false, unsure: true },
            Some(StepResult::Saving | StepResult::Dropped) => return Err(stopped().into()),
            Some(StepResult::Saved(saved)) => self.read(&saved)?,
        };
        // Another claim may have saved this very step meanwhile.
        if matches!(found, Found::New { .. }) {
            cancellation.until_certain().await;
            self.run.check_goes_on()?;
        }
        Ok(found)
    }

    fn read<T: DeserializeOwned>(&self, saved: &Payload) -> Result<Found<T>, JobError> {
        match (saved.decode(), self.run.inner.unreadable_step) {
            (Ok(value), _) => Ok(Found::Saved(value)),
            (Err(error), UnreadableStep::Fail) => {
                Err(JobError::dead(format_args!("saved result of step {:?}: {error}", self.path.as_str())))
            }
            (Err(error), UnreadableStep::RunAgain) => {
                tracing::warn!(step = %self.path, %error, "a saved result can't be read; the step runs again");
                Ok(Found::New { replaces: true, unsure: false })
            }
        }
    }

    /// Runs the step's own code.
    pub(super) async fn execute<T>(
        &self,
        code: impl Future<Output = Result<T, JobError>>,
    ) -> Result<T, JobError> {
        let current = CurrentStep::new(self.run.clone(), self.path.clone());
        let span = tracing::info_span!("step", step = %self.path);
        let result = CURRENT_STEP.scope(current, code).instrument(span).await;
        result.map_err(|error| error.context(format_args!("step {:?}", self.path.as_str())))
    }

    /// Writes a result as it is saved, and reads it back: what the body gets is what later attempts will get. A result that
    /// can't be saved makes the run dead, since what the step did would be done again.
    pub(super) fn write<T: Serialize + DeserializeOwned>(&self, value: &T) -> Result<(Payload, T), JobError> {
        let written = Payload::json_of(value).and_then(|(written, value)| {
            self.run.inner.limits.check_result("step result", &written)?;
            Ok((written, value))
        });
        written.map_err(|error| {
            let step = self.path.as_str();
            self.run
                .inner
                .steps
                .doom(format_args!("step {step:?} was run, and its result can't be saved: {error}"));
            JobError::dead(format_args!("step {step:?}: {error}"))
        })
    }

    /// What to save of a result.
    pub(super) fn to_save(&self, result: Payload, begun: Instant, replaces: bool) -> StepSave {
        StepSave {
            lease: self.run.inner.lease.clone(),
            name: self.path.as_str().to_owned(),
            result,
            took: begun.elapsed(),
            replaces,
        }
    }

    pub(super) fn run(&self) -> &RunContext {
        &self.run
    }

    pub(super) fn path(&self) -> &StepPath {
        &self.path
    }

    /// The body has the result.
    pub(super) fn have<T>(self, value: T) -> T {
        self.frame.have(self.path.clone(), self.at);
        value
    }
}

impl Drop for StepCall {
    fn drop(&mut self) {
        self.run.inner.steps.end_call(&self.path);
    }
}

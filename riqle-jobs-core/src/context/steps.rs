use std::{
    collections::HashMap,
    fmt,
    panic::Location,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::{Notify, oneshot};

use super::{Cancellation, StepPath, StopReason};
use crate::{Error, ErrorKind, JobError, LeaseAnswer, Payload, SavedStep, StepSave};

/// Where in the application's code a step is called.
pub(super) type Place = &'static Location<'static>;

/// What one claim of a run knows of its steps, shared by all its contexts.
pub(crate) struct RunSteps {
    state: Mutex<State>,
    /// Told when a call or a save has ended.
    ended: Notify,
    doom: OnceLock<String>,
    cancellation: Arc<Cancellation>,
}

#[derive(Default)]
struct State {
    results: HashMap<StepPath, StepResult>,
    calls: HashMap<StepPath, Place>,
    /// In which step each was called first, if in any, and where.
    outers: HashMap<StepPath, (Option<StepPath>, Place)>,
    saves_in_flight: usize,
}

/// What has become of a step's result.
#[derive(Clone)]
pub(super) enum StepResult {
    /// The store has it.
    Saved(Payload),
    /// It is on its way to the store.
    Saving,
    /// The transaction that holds it may or may not have been committed.
    Unsure,
    /// The worker stopped before the store had it.
    Dropped,
}

impl RunSteps {
    pub(super) fn of(saved: &[SavedStep], cancellation: Arc<Cancellation>) -> Arc<Self> {
        let result =
            |step: &SavedStep| (StepPath::from_stored(&step.name), StepResult::Saved(step.result.clone()));
        let state = State { results: saved.iter().map(result).collect(), ..State::default() };
        Arc::new(Self { state: Mutex::new(state), ended: Notify::new(), doom: OnceLock::new(), cancellation })
    }

    /// Dead at once, whatever the body returns: an attempt more would be wrong in the same way, or do again what was done.
    /// Answers the error that every later step repeats: the first doom's.
    pub(super) fn doom(&self, message: impl fmt::Display) -> JobError {
        let message = self.doom.get_or_init(|| message.to_string());
        self.cancellation.fire(StopReason::Ended);
        JobError::dead(message)
    }

    /// A step had its effect, and its result can't be saved.
    pub(super) fn not_saved(&self, path: &StepPath, error: &Error) -> JobError {
        self.doom(format_args!("step {:?} ran, but its result can't be saved: {error}", path.as_str()))
    }

    /// Why the run is dead, whatever its body returns.
    pub(crate) fn doomed(&self) -> Option<&str> {
        self.doom.get().map(String::as_str)
    }

    /// Begins a call; answers where another call of the same step is that has not ended.
    pub(super) fn begin_call(&self, path: &StepPath, at: Place) -> Result<(), Place> {
        let mut state = self.state();
        if let Some(other) = state.calls.get(path) {
            return Err(other);
        }
        state.calls.insert(path.clone(), at);
        Ok(())
    }

    pub(super) fn end_call(&self, path: &StepPath) {
        self.state().calls.remove(path);
        self.ended.notify_waiters();
    }

    /// Notes the step in which another one is called; answers in which it was called before, where that is not the same.
    pub(super) fn note_outer(
        &self,
        path: &StepPath,
        outer: Option<StepPath>,
        at: Place,
    ) -> Result<(), (Option<StepPath>, Place)> {
        let mut state = self.state();
        match state.outers.get(path) {
            Some((first, _)) if *first == outer => Ok(()),
            Some(first) => Err(first.clone()),
            None => {
                state.outers.insert(path.clone(), (outer, at));
                Ok(())
            }
        }
    }

    /// What is known of a step's result; waits while it is on its way to the store.
    pub(super) async fn result(&self, path: &StepPath) -> Option<StepResult> {
        loop {
            let ended = self.ended.notified();
            let result = self.state().results.get(path).cloned();
            match result {
                Some(StepResult::Saving) => ended.await,
                other => return other,
            }
        }
    }

    /// Notes a result that a transaction holds: unsure before it commits, saved after.
    pub(super) fn note(&self, path: &StepPath, result: StepResult) {
        self.state().results.insert(path.clone(), result);
    }

    /// Begins a save, of which its caller hears by `caller`, where it still waits.
    pub(super) fn begin_save(
        self: &Arc<Self>,
        path: &StepPath,
        step: StepSave,
        caller: oneshot::Sender<Result<LeaseAnswer, Error>>,
    ) -> Save {
        let mut state = self.state();
        state.results.insert(path.clone(), StepResult::Saving);
        state.saves_in_flight += 1;
        Save { step, path: path.clone(), steps: Arc::clone(self), caller: Some(caller) }
    }

    /// Resolves once no result is on its way to the store.
    pub(crate) async fn until_saved(&self) {
        self.until(|state| state.saves_in_flight == 0).await;
    }

    /// Resolves once no step is running, in whatever task.
    pub(crate) async fn until_none_runs(&self) {
        self.until(|state| state.calls.is_empty()).await;
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let ended = self.ended.notified();
            if holds(&self.state()) {
                return;
            }
            ended.await;
        }
    }

    fn lost(&self, path: &StepPath, reason: StopReason) {
        self.cancellation.fire(reason);
        self.end_save(path, StepResult::Dropped);
    }

    fn end_save(&self, path: &StepPath, result: StepResult) {
        {
            let mut state = self.state();
            state.saves_in_flight = state.saves_in_flight.saturating_sub(1);
            state.results.insert(path.clone(), result);
        }
        self.ended.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step's result on its way to the store: it gets there while the lease holds, whether or not its caller still waits.
pub(crate) struct Save {
    pub(crate) step: StepSave,
    path: StepPath,
    steps: Arc<RunSteps>,
    caller: Option<oneshot::Sender<Result<LeaseAnswer, Error>>>,
}

impl Save {
    /// Ends with what the store has answered.
    pub(crate) fn end(mut self, answer: Result<LeaseAnswer, Error>) {
        let Some(caller) = self.caller.take() else { return };
        match &answer {
            Ok(LeaseAnswer::Done) => {
                let result = std::mem::replace(&mut self.step.result, Payload::from_json_text(""));
                self.steps.end_save(&self.path, StepResult::Saved(result));
            }
            // Whoever asks next is told of the lease first.
            Ok(LeaseAnswer::LeaseLost) => self.steps.lost(&self.path, StopReason::LeaseLost),
            Ok(LeaseAnswer::CancelRequested) => self.steps.lost(&self.path, StopReason::Cancelled),
            Err(error) => {
                let _ = self.steps.not_saved(&self.path, error);
                self.steps.end_save(&self.path, StepResult::Dropped);
            }
        }
        let _ = caller.send(answer);
    }
}

impl Drop for Save {
    fn drop(&mut self) {
        if let Some(caller) = self.caller.take() {
            self.steps.end_save(&self.path, StepResult::Dropped);
            let _ = caller.send(Err(stopped()));
        }
    }
}

/// The worker stopped before the result was saved.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "save_steps", "the worker has stopped")
}

/// The steps of which a body, or one execution of a step, has a result.
#[derive(Default)]
pub(crate) struct Frame {
    had: Mutex<HashMap<StepPath, Place>>,
}

impl Frame {
    /// Where the call was that gave the result.
    pub(super) fn had(&self, path: &StepPath) -> Option<Place> {
        self.all().get(path).copied()
    }

    pub(super) fn have(&self, path: StepPath, at: Place) {
        self.all().insert(path, at);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<StepPath, Place>> {
        self.had.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

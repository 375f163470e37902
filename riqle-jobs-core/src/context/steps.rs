use std::{
    collections::{BTreeMap, btree_map::Entry},
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
    steps: BTreeMap<StepPath, StepState>,
    /// Calls that have not ended.
    calls: usize,
    saves_in_flight: usize,
}

#[derive(Default)]
struct StepState {
    result: Option<StepResult>,
    /// Where the call is that has not ended.
    call: Option<Place>,
    /// In which step it was called first, if in any, and where.
    first: Option<(Option<StepPath>, Place)>,
}

/// Why a step can't be called.
pub(super) enum Clash {
    /// Another call of it has not ended.
    StillRuns(Place),
    /// The body, or the execution of the step that it is in, has its result already.
    RanAlready(Place),
    /// It was called in another step, or in the body (`None`).
    CalledElsewhere(Option<StepPath>, Place),
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
        let known = |step: &SavedStep| {
            let result = Some(StepResult::Saved(step.result.clone()));
            (StepPath::from_stored(&step.name), StepState { result, ..StepState::default() })
        };
        let state = State { steps: saved.iter().map(known).collect(), ..State::default() };
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

    /// Begins a call, which is in the frame from here on; answers what is known of the step's result.
    pub(super) fn begin_call(
        &self,
        frame: &Frame,
        path: &StepPath,
        outer: Option<&StepPath>,
        at: Place,
    ) -> Result<Option<StepResult>, Clash> {
        let mut state = self.state();
        let step = state.steps.entry(path.clone()).or_default();
        if let Some(other) = step.call {
            return Err(Clash::StillRuns(other));
        }
        match &step.first {
            None => step.first = Some((outer.cloned(), at)),
            Some((first, _)) if first.as_ref() == outer => {}
            Some((first, place)) => return Err(Clash::CalledElsewhere(first.clone(), place)),
        }
        match frame.called().entry(path.clone()) {
            Entry::Occupied(other) => return Err(Clash::RanAlready(other.get())),
            Entry::Vacant(place) => place.insert(at),
        };
        step.call = Some(at);
        let result = step.result.clone();
        state.calls += 1;
        Ok(result)
    }

    /// Ends a call. Of one without a result the frame knows nothing any more.
    pub(super) fn end_call(&self, frame: &Frame, path: &StepPath, has_result: bool) {
        {
            let mut state = self.state();
            if !has_result {
                frame.called().remove(path);
            }
            if let Some(step) = state.steps.get_mut(path) {
                step.call = None;
            }
            state.calls = state.calls.saturating_sub(1);
        }
        self.ended.notify_waiters();
    }

    /// What has become of a result that was on its way to the store.
    pub(super) async fn until_not_saving(&self, path: &StepPath) -> Option<StepResult> {
        loop {
            let ended = self.ended.notified();
            let result = self.state().steps.get(path).and_then(|step| step.result.clone());
            match result {
                Some(StepResult::Saving) => ended.await,
                other => return other,
            }
        }
    }

    /// Notes a result that a transaction holds: unsure before it commits, saved after.
    pub(super) fn note(&self, path: &StepPath, result: StepResult) {
        self.state().set_result(path, result);
    }

    /// Begins a save, of which its caller hears by `caller`, where it still waits.
    pub(super) fn begin_save(
        self: &Arc<Self>,
        step: StepSave,
        caller: oneshot::Sender<Result<LeaseAnswer, Error>>,
    ) -> Save {
        let mut state = self.state();
        state.set_result(&step.path, StepResult::Saving);
        state.saves_in_flight += 1;
        Save { step, steps: Arc::clone(self), caller: Some(caller) }
    }

    /// Resolves once no result is on its way to the store.
    pub(crate) async fn until_saved(&self) {
        self.until(|state| state.saves_in_flight == 0).await;
    }

    /// Resolves once no step is running, in whatever task.
    pub(crate) async fn until_none_runs(&self) {
        self.until(|state| state.calls == 0).await;
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
            state.set_result(path, result);
        }
        self.ended.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set_result(&mut self, path: &StepPath, result: StepResult) {
        self.steps.entry(path.clone()).or_default().result = Some(result);
    }
}

/// A step's result on its way to the store: it gets there while the lease holds, whether or not its caller still waits.
pub(crate) struct Save {
    pub(crate) step: StepSave,
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
                self.steps.end_save(&self.step.path, StepResult::Saved(result));
            }
            // Whoever asks next is told of the lease first.
            Ok(LeaseAnswer::LeaseLost) => self.steps.lost(&self.step.path, StopReason::LeaseLost),
            Ok(LeaseAnswer::CancelRequested) => self.steps.lost(&self.step.path, StopReason::Cancelled),
            Err(error) => {
                let _ = self.steps.not_saved(&self.step.path, error);
                self.steps.end_save(&self.step.path, StepResult::Dropped);
            }
        }
        let _ = caller.send(answer);
    }
}

impl Drop for Save {
    fn drop(&mut self) {
        if let Some(caller) = self.caller.take() {
            self.steps.end_save(&self.step.path, StepResult::Dropped);
            let _ = caller.send(Err(stopped()));
        }
    }
}

/// The worker stopped before the result was saved.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "save_steps", "the worker has stopped")
}

/// The steps that a body, or one execution of a step, has called: those that are running, and those of which it has a result.
#[derive(Default)]
pub(crate) struct Frame {
    called: Mutex<BTreeMap<StepPath, Place>>,
}

impl Frame {
    fn called(&self) -> MutexGuard<'_, BTreeMap<StepPath, Place>> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What one claim of a run knows of its steps: results, open calls, and names that clash.

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
    numbers: BTreeMap<StepPath, StepNumber>,
    /// By their numbers.
    steps: Vec<StepState>,
    /// Calls that have not ended.
    calls: usize,
    saves_in_flight: usize,
}

/// A step's place among those that this claim knows.
pub(super) type StepNumber = usize;

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
    /// The body, or the execution of the step that it is in, already has its result.
    RanAlready(Place),
    /// It was called in another step, or in the body (`None`).
    CalledElsewhere(Option<StepPath>, Place),
}

/// The state of a step's result.
#[derive(Clone)]
pub(super) enum StepResult {
    /// The store has it.
    Saved(Payload),
    /// It is in flight to the store.
    Saving,
    /// The transaction that holds it may or may not have been committed.
    Unsure,
    /// The worker stopped before the store had it.
    Dropped,
}

impl RunSteps {
    pub(super) fn of(saved: &[SavedStep], cancellation: Arc<Cancellation>) -> Arc<Self> {
        let mut state = State::default();
        for step in saved {
            state.step(&step.path).1.result = Some(StepResult::Saved(step.result.clone()));
        }
        Arc::new(Self { state: Mutex::new(state), ended: Notify::new(), doom: OnceLock::new(), cancellation })
    }

    /// Dead at once, whatever the body returns: another attempt would fail in the same way, or repeat what was
    /// done. Returns the error that every later step repeats: that of the first doom.
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

    /// Begins a call, which is in the frame from here on; returns the step's number, and what is known of its
    /// result.
    pub(super) fn begin_call(
        &self,
        frame: &Frame,
        path: &StepPath,
        outer: Option<&StepPath>,
        at: Place,
    ) -> Result<(StepNumber, Option<StepResult>), Clash> {
        let mut state = self.state();
        let (number, step) = state.step(path);
        if let Some(other) = step.call {
            return Err(Clash::StillRuns(other));
        }
        match &step.first {
            None => step.first = Some((outer.cloned(), at)),
            Some((first, _)) if first.as_ref() == outer => {}
            Some((first, place)) => return Err(Clash::CalledElsewhere(first.clone(), place)),
        }
        match frame.called().entry(number) {
            Entry::Occupied(other) => return Err(Clash::RanAlready(other.get())),
            Entry::Vacant(place) => place.insert(at),
        };
        step.call = Some(at);
        let result = step.result.clone();
        state.calls += 1;
        Ok((number, result))
    }

    /// Ends a call. The frame forgets one without a result.
    pub(super) fn end_call(&self, frame: &Frame, number: StepNumber, has_result: bool) {
        {
            let mut state = self.state();
            if !has_result {
                frame.called().remove(&number);
            }
            state.steps[number].call = None;
            state.calls = state.calls.saturating_sub(1);
        }
        self.ended.notify_waiters();
    }

    /// The outcome of a result that was in flight to the store.
    pub(super) async fn until_not_saving(&self, number: StepNumber) -> Option<StepResult> {
        loop {
            let ended = self.ended.notified();
            let result = self.state().steps[number].result.clone();
            match result {
                Some(StepResult::Saving) => ended.await,
                other => return other,
            }
        }
    }

    /// Notes a result that a transaction holds: unsure before it commits, saved after.
    pub(super) fn note(&self, number: StepNumber, result: StepResult) {
        self.state().steps[number].result = Some(result);
    }

    /// Begins a save, whose outcome `caller` receives if it still waits.
    pub(super) fn begin_save(
        self: &Arc<Self>,
        number: StepNumber,
        step: StepSave,
        caller: oneshot::Sender<Result<LeaseAnswer, Error>>,
    ) -> Save {
        let mut state = self.state();
        state.steps[number].result = Some(StepResult::Saving);
        state.saves_in_flight += 1;
        Save { step, number, steps: Arc::clone(self), caller: Some(caller) }
    }

    /// Resolves once no result is in flight to the store.
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

    fn lost(&self, number: StepNumber, reason: StopReason) {
        self.cancellation.fire(reason);
        self.end_save(number, StepResult::Dropped);
    }

    fn end_save(&self, number: StepNumber, result: StepResult) {
        {
            let mut state = self.state();
            state.saves_in_flight = state.saves_in_flight.saturating_sub(1);
            state.steps[number].result = Some(result);
        }
        self.ended.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A step with its number, known from here on.
    fn step(&mut self, path: &StepPath) -> (StepNumber, &mut StepState) {
        let number = match self.numbers.get(path) {
            Some(number) => *number,
            None => {
                self.numbers.insert(path.clone(), self.steps.len());
                self.steps.push(StepState::default());
                self.steps.len() - 1
            }
        };
        (number, &mut self.steps[number])
    }
}

/// A step's result in flight to the store: it gets there while the lease holds, whether or not its caller still
/// waits.
pub(crate) struct Save {
    pub(crate) step: StepSave,
    number: StepNumber,
    steps: Arc<RunSteps>,
    caller: Option<oneshot::Sender<Result<LeaseAnswer, Error>>>,
}

impl Save {
    /// Ends with what the store answered.
    pub(crate) fn end(mut self, answer: Result<LeaseAnswer, Error>) {
        let Some(caller) = self.caller.take() else { return };
        match &answer {
            Ok(LeaseAnswer::Done) => {
                let result = std::mem::replace(&mut self.step.result, Payload::from_json_text(""));
                self.steps.end_save(self.number, StepResult::Saved(result));
            }
            // Whoever asks next is told of the lease first.
            Ok(LeaseAnswer::LeaseLost) => self.steps.lost(self.number, StopReason::LeaseLost),
            Ok(LeaseAnswer::CancelRequested) => self.steps.lost(self.number, StopReason::Cancelled),
            Err(error) => {
                let _ = self.steps.not_saved(&self.step.path, error);
                self.steps.end_save(self.number, StepResult::Dropped);
            }
        }
        let _ = caller.send(answer);
    }
}

impl Drop for Save {
    fn drop(&mut self) {
        if let Some(caller) = self.caller.take() {
            self.steps.end_save(self.number, StepResult::Dropped);
            let _ = caller.send(Err(stopped()));
        }
    }
}

/// The worker stopped before the result was saved.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "save_steps", "the worker has stopped")
}

/// The steps that a body, or one execution of a step, has called: those that are running, and those whose
/// result it has.
#[derive(Default)]
pub(crate) struct Frame {
    called: Mutex<BTreeMap<StepNumber, Place>>,
}

impl Frame {
    fn called(&self) -> MutexGuard<'_, BTreeMap<StepNumber, Place>> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

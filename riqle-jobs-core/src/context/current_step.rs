use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{RunContext, StepPath, steps::Frame};
use crate::Email;

tokio::task_local! {
    pub(crate) static CURRENT_STEP: CurrentStep;
}

/// One execution of a step, in which the current task is: for [`Sender`](crate::Sender)'s idempotency key, and for the names
/// of the steps within.
#[derive(Clone)]
pub(crate) struct CurrentStep {
    execution: Arc<Execution>,
}

struct Execution {
    run: RunContext,
    path: StepPath,
    kind: StepKind,
    /// Of the steps that are called within it through the context that it was called through.
    frame: Arc<Frame>,
    sent: Mutex<HashMap<String, SentEmail>>,
    /// The execution that this one is in.
    outer: Option<CurrentStep>,
}

/// How a step is saved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// By itself.
    Apart,
    /// In a transaction, which keeps other writes from the store meanwhile.
    InTransaction,
}

/// What an execution of a step has begun to send under a key.
#[derive(Default)]
struct SentEmail {
    /// `None`: a recorded one, which was not rendered again.
    email: Option<Email>,
    has_receipt: bool,
}

impl CurrentStep {
    pub(super) fn new(run: RunContext, path: StepPath, kind: StepKind) -> Self {
        let outer = Self::get();
        let (frame, sent) = (Arc::default(), Mutex::default());
        Self { execution: Arc::new(Execution { run, path, kind, frame, sent, outer }) }
    }

    pub(crate) fn get() -> Option<Self> {
        CURRENT_STEP.try_with(Clone::clone).ok()
    }

    /// The names in which a step is counted that is called through `run`: those of the innermost execution that was called
    /// through a context with the same frame.
    pub(super) fn frame_for(run: &RunContext) -> Arc<Frame> {
        let within = Self::around(run).find(|step| Arc::ptr_eq(&step.execution.run.frame, &run.frame));
        within.map_or_else(|| Arc::clone(&run.frame), |step| Arc::clone(&step.execution.frame))
    }

    /// The executions of steps of a run that the current task is in, innermost first.
    pub(super) fn around(run: &RunContext) -> impl Iterator<Item = CurrentStep> {
        let all = std::iter::successors(Self::get(), |step| step.execution.outer.clone());
        all.filter(|step| Arc::ptr_eq(&step.execution.run.inner, &run.inner))
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.execution.kind == StepKind::InTransaction
    }

    pub(crate) fn run(&self) -> &RunContext {
        &self.execution.run
    }

    pub(crate) fn path(&self) -> &StepPath {
        &self.execution.path
    }

    /// Notes the email that this execution has begun to send under a key.
    pub(crate) fn note_email(&self, key: &str, email: &Email) {
        self.sent().entry(key.to_owned()).or_default().email = Some(email.clone());
    }

    /// Notes that the email under a key has gone out.
    pub(crate) fn note_receipt(&self, key: &str) {
        self.sent().entry(key.to_owned()).or_default().has_receipt = true;
    }

    /// Whether this execution has sent another email under the key, for which this one would be taken.
    pub(crate) fn sent_other_than(&self, key: &str, email: &Email) -> bool {
        self.sent().get(key).is_some_and(|sent| sent.email.as_ref() != Some(email))
    }

    /// Whether the email under a key has gone out in this execution.
    pub(crate) fn has_receipt(&self, key: &str) -> bool {
        self.sent().get(key).is_some_and(|sent| sent.has_receipt)
    }

    fn sent(&self) -> MutexGuard<'_, HashMap<String, SentEmail>> {
        self.execution.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

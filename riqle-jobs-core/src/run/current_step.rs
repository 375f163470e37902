//! The step that the current task is in, and the emails sent within it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
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
    frame: OnceLock<Arc<Frame>>,
    sent: Mutex<BTreeMap<String, SentEmail>>,
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
    pub(super) fn new(run: RunContext, path: StepPath, kind: StepKind, outer: Option<CurrentStep>) -> Self {
        let (frame, sent) = (OnceLock::new(), Mutex::default());
        Self { execution: Arc::new(Execution { run, path, kind, frame, sent, outer }) }
    }

    pub(crate) fn get() -> Option<Self> {
        CURRENT_STEP.try_with(Clone::clone).ok()
    }

    /// The execution that this one is in.
    pub(super) fn outer(&self) -> Option<&CurrentStep> {
        self.execution.outer.as_ref()
    }

    /// Whether it is of this claim of a run.
    pub(super) fn is_of(&self, run: &RunContext) -> bool {
        Arc::ptr_eq(&self.execution.run.inner, &run.inner)
    }

    /// The steps that are called within it, if through a context like that it was called through.
    pub(super) fn frame_for(&self, run: &RunContext) -> Option<&Arc<Frame>> {
        let is_alike = Arc::ptr_eq(&self.execution.run.frame, &run.frame);
        is_alike.then(|| self.execution.frame.get_or_init(Arc::default))
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

    fn sent(&self) -> MutexGuard<'_, BTreeMap<String, SentEmail>> {
        self.execution.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

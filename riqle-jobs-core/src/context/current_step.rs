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
    /// Of the steps that are called within it through the context that it was called through.
    frame: Arc<Frame>,
    sent: Mutex<HashMap<String, SentEmail>>,
    /// The execution that this one is in.
    outer: Option<CurrentStep>,
}

/// What an execution of a step has begun to send under a key.
#[derive(Default)]
struct SentEmail {
    /// `None`: a recorded one, which was not rendered again.
    email: Option<Email>,
    has_receipt: bool,
}

impl CurrentStep {
    pub(super) fn new(run: RunContext, path: StepPath) -> Self {
        let outer = Self::get();
        let (frame, sent) = (Arc::default(), Mutex::default());
        Self { execution: Arc::new(Execution { run, path, frame, sent, outer }) }
    }

    pub(crate) fn get() -> Option<Self> {
        CURRENT_STEP.try_with(Clone::clone).ok()
    }

    /// The names in which a step is counted that is called through a context with `frame`: those of the innermost execution
    /// that was called through such a context.
    pub(super) fn frame_for(frame: &Arc<Frame>) -> Arc<Frame> {
        let mut current = Self::get();
        while let Some(step) = current {
            if Arc::ptr_eq(&step.execution.run.frame, frame) {
                return Arc::clone(&step.execution.frame);
            }
            current = step.execution.outer.clone();
        }
        Arc::clone(frame)
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

//! The application's hooks for dead runs, retries and alerts, and what they are told.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{metrics::Measured, panic_hook};
use crate::{Ending, LeaseRef, Reason, RunId, Settlement};

type Hook<T> = Option<Arc<dyn Fn(&T) + Send + Sync>>;

/// The application's hooks; each is called at most once per event, since a process can die before the call.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) dead: Hook<RunReport>,
    pub(super) retry: Hook<RunReport>,
    pub(super) alert: Hook<Alert>,
}

/// A run whose attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// The job's name.
    pub job: String,
    /// Its queue.
    pub queue: String,
    /// The application's own name for what it is about.
    pub reference: Option<String>,
    /// The attempt that failed, from 1.
    pub attempt: u32,
    /// Its error, with the chain of causes.
    pub error: String,
    /// The wait until the next attempt, if there is one.
    pub delay: Option<Duration>,
    /// Why the run is dead, if it is.
    pub reason: Option<Reason>,
}

/// Something that a human must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alert {
    /// The run that hit it.
    pub run: RunId,
    /// The job's name.
    pub job: String,
    /// What is wrong.
    pub error: String,
}

/// What a report needs to know about a run.
pub(super) struct Subject {
    pub(super) job: String,
    pub(super) reference: Option<String>,
    pub(super) alert: bool,
    pub(super) measured: Option<Measured>,
}

impl Hooks {
    /// Reports a stored settlement.
    pub(super) fn settled(&self, settlement: &Settlement, subject: &Subject) {
        let LeaseRef { queue, run, .. } = &settlement.lease;
        let error = settlement.error.clone().unwrap_or_default();
        if subject.alert {
            call(&self.alert, || Alert { run: *run, job: subject.job.clone(), error: error.clone() });
        }
        let report = |delay, reason| RunReport {
            run: *run,
            job: subject.job.clone(),
            queue: queue.to_string(),
            reference: subject.reference.clone(),
            attempt: settlement.attempt,
            error: error.clone(),
            delay,
            reason,
        };
        match &settlement.ending {
            Ending::Dead { reason } => call(&self.dead, || report(None, Some(*reason))),
            Ending::Again { after } if settlement.outcome == crate::AttemptOutcome::Failed => {
                call(&self.retry, || report(Some(*after), None));
            }
            _ => {}
        }
    }
}

/// A hook is the application's; its panic stops nothing.
fn call<T>(hook: &Hook<T>, report: impl FnOnce() -> T) {
    if let Some(hook) = hook {
        let report = report();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(&report))) {
            let panic = panic_hook::describe(payload);
            tracing::error!(panic, "a worker hook panicked");
        }
    }
}

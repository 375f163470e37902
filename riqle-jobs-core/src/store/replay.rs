//! How a run is replayed: from which step, and with which input.

use crate::{Payload, SavedStep, StepPath};

/// How a run is replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Where it resumes.
    pub from: ReplayFrom,
    /// The new run's input, if not the old one's. Kept steps have seen the old one.
    pub input: Option<Payload>,
}

impl Replay {
    /// Gives the new run another input.
    #[must_use]
    pub fn with_input(mut self, input: Payload) -> Self {
        self.input = Some(input);
        self
    }
}

impl From<ReplayFrom> for Replay {
    fn from(from: ReplayFrom) -> Self {
        Self { from, input: None }
    }
}

/// Where a replay resumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReplayFrom {
    /// Keeps every saved step, so it resumes at the failed one.
    #[default]
    FailedStep,
    /// Keeps no steps.
    Start,
    /// Keeps the steps that were saved before this one: by its name, or keys and name.
    Step(StepPath),
}

impl ReplayFrom {
    /// Which of the saved steps, in order of saving, the new run begins with.
    pub fn kept_steps<'a>(&self, saved: &'a [SavedStep]) -> &'a [SavedStep] {
        match self {
            ReplayFrom::FailedStep => saved,
            ReplayFrom::Start => &[],
            ReplayFrom::Step(path) => {
                let is_it = |step: &SavedStep| step.path == *path;
                let kept = saved.iter().position(is_it).unwrap_or(saved.len());
                &saved[..kept]
            }
        }
    }
}

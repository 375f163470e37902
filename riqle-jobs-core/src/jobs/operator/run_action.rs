//! What can be done to one run or to many.

use crate::{
    Error, RunFilter, RunState,
    state::closed_set,
    store::{ActionKind, rules::Operation},
};

closed_set! {
    /// What can be done to one run or to many.
    RunAction {
        /// Replay dead letters, from the failed step.
        Replay = "replay",
        /// Delete dead letters.
        Discard = "discard",
        /// Cancel runs that have not ended.
        Cancel = "cancel",
        /// Make due now the runs that wait for their time.
        RunNow = "run-now",
    }
}

impl RunAction {
    /// On a button, or at the start of a question.
    pub const fn name(self) -> &'static str {
        match self {
            RunAction::Replay => "Replay",
            RunAction::Discard => "Discard",
            RunAction::Cancel => "Cancel",
            RunAction::RunNow => "Run now",
        }
    }

    /// Whether it can't be undone.
    pub const fn is_final(self) -> bool {
        matches!(self, RunAction::Discard | RunAction::Cancel)
    }

    /// As it is recorded.
    pub const fn kind(self) -> ActionKind {
        match self {
            RunAction::Replay => ActionKind::Replay,
            RunAction::Discard => ActionKind::Discard,
            RunAction::Cancel => ActionKind::Cancel,
            RunAction::RunNow => ActionKind::RunNow,
        }
    }

    /// The states of runs that it is done to. Of many, dead letters are replayed; a cancelled run is replayed by itself.
    pub const fn states(self) -> &'static [RunState] {
        match self {
            RunAction::Replay => &[RunState::Dead],
            RunAction::Discard => Operation::Discard.states(),
            RunAction::Cancel => Operation::Cancel.states(),
            RunAction::RunNow => Operation::RunNow.states(),
        }
    }

    /// The runs that a filter lists and that it applies to.
    ///
    /// # Errors
    /// `Rejected` if there can be none.
    pub fn narrow(self, filter: RunFilter) -> Result<RunFilter, Error> {
        let asked = |state: &RunState| filter.states.is_empty() || filter.states.contains(state);
        let states: Vec<_> = self.states().iter().copied().filter(asked).collect();
        match states.is_empty() {
            true => {
                Err(super::rejected("act", format!("{} does not apply to runs in this state", self.name())))
            }
            false => Ok(filter.states(states)),
        }
    }
}

//! What an operator may do to a run: for stores, bulk operations and the dashboard.

use jiff::Timestamp;

use crate::{Error, ErrorKind, Reason, Run, RunId, RunState};

/// Why the emails of a cancelled run that wait to be sent are given up.
pub const CANCELLED: &str = "the run was cancelled";

/// What an operator does to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Starts a dead or cancelled run again, as another run.
    Replay {
        /// The other run.
        new_run: RunId,
    },
    /// Deletes a dead letter.
    Discard,
    /// Ends a run that has not ended.
    Cancel,
    /// Makes a run due now.
    RunNow,
}

/// Whether there is anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Do it.
    Do,
    /// Already done: the same call was made before, or the run is already in that state.
    Done,
}

/// What the rules need to know about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id.
    pub id: RunId,
    /// Its state.
    pub state: RunState,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// When it is due.
    pub due_at: Timestamp,
    /// The run that replays it.
    pub replayed_by: Option<RunId>,
}

impl From<&Run> for Standing {
    fn from(run: &Run) -> Self {
        let Run { id, state, reason, due_at, replayed_by, .. } = *run;
        Self { id, state, reason, due_at, replayed_by }
    }
}

impl Operation {
    /// The states of runs that it applies to.
    pub const fn states(self) -> &'static [RunState] {
        match self {
            Operation::Replay { .. } => &[RunState::Dead, RunState::Cancelled],
            Operation::Discard => &[RunState::Dead],
            Operation::Cancel => &[RunState::Pending, RunState::Running, RunState::Waiting],
            Operation::RunNow => &[RunState::Pending, RunState::Waiting],
        }
    }

    /// Whether it applies to a run at `now`, by the store's clock. The store itself checks whether a replay's
    /// id and unique key are free.
    ///
    /// # Errors
    /// `Rejected`, with the run and what is in the way.
    pub fn check(self, run: &Standing, now: Timestamp) -> Result<Todo, Error> {
        let is_done = match self {
            Operation::Replay { new_run } => run.replayed_by == Some(new_run),
            Operation::Discard => false,
            Operation::Cancel => run.reason == Some(Reason::CancelledByOperator),
            Operation::RunNow => run.state == RunState::Pending && run.due_at <= now,
        };
        if is_done {
            return Ok(Todo::Done);
        }
        let is_of_an_end = matches!(self, Operation::Replay { .. } | Operation::Discard);
        if let Some(by) = run.replayed_by.filter(|_| is_of_an_end) {
            return Err(self.rejected(run.id, format_args!("was replayed by run {by}")));
        }
        if self.states().contains(&run.state) {
            return Ok(Todo::Do);
        }
        let expected = match self {
            Operation::Replay { .. } => ", neither dead nor cancelled",
            Operation::Discard => ", not a dead letter",
            Operation::Cancel => " already",
            Operation::RunNow => "",
        };
        Err(self.rejected(run.id, format_args!("is {}{expected}", run.state)))
    }

    /// Whether a bulk operation skips a run for this error, which is the run's own: it has ended, or is gone, since it was
    /// listed, its unique key is taken, or it can't be read.
    pub fn passes_over(error: &Error) -> bool {
        use ErrorKind::{Conflict, Corrupt, NotFound, Rejected};
        matches!(error.kind(), Rejected | NotFound | Conflict | Corrupt)
    }

    /// The error for what only the store can see.
    pub fn rejected(self, run: RunId, problem: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Rejected, self.name(), format!("run {run} {problem}"))
    }

    /// The method of [`Operate`](crate::Operate).
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Replay { .. } => "replay",
            Operation::Discard => "discard",
            Operation::Cancel => "cancel",
            Operation::RunNow => "run_now",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_millis;

    const NOW: i64 = 1_767_225_600_000;

    fn standing(state: RunState) -> Standing {
        let (id, due_at) = (RunId::new(), from_millis(NOW + 1_000));
        Standing { id, state, reason: None, due_at, replayed_by: None }
    }

    fn answer(operation: Operation, run: &Standing) -> String {
        match operation.check(run, from_millis(NOW)) {
            Ok(todo) => format!("{todo:?}"),
            Err(error) => error.message().replace(&run.id.to_string(), "X"),
        }
    }

    #[test]
    fn each_operation_has_its_states() {
        let new_run = RunId::new();
        for operation in
            [Operation::Replay { new_run }, Operation::Discard, Operation::Cancel, Operation::RunNow]
        {
            for state in RunState::ALL {
                let expected = operation.states().contains(state);
                assert_eq!(answer(operation, &standing(*state)) == "Do", expected, "{operation:?} {state}");
            }
        }
        let succeeded = standing(RunState::Succeeded);
        assert_eq!(
            answer(Operation::Replay { new_run }, &succeeded),
            "run X is succeeded, neither dead nor cancelled"
        );
        assert_eq!(answer(Operation::Discard, &succeeded), "run X is succeeded, not a dead letter");
        assert_eq!(answer(Operation::Cancel, &succeeded), "run X is succeeded already");
        assert_eq!(answer(Operation::RunNow, &succeeded), "run X is succeeded");
    }

    #[test]
    fn what_was_done_is_done_and_a_replay_is_made_once() {
        let (new_run, other) = (RunId::new(), RunId::new());
        let replayed = Standing { replayed_by: Some(new_run), ..standing(RunState::Dead) };
        assert_eq!(answer(Operation::Replay { new_run }, &replayed), "Done");
        let refused = format!("run X was replayed by run {new_run}");
        assert_eq!(answer(Operation::Replay { new_run: other }, &replayed), refused);
        assert_eq!(answer(Operation::Discard, &replayed), refused);
        let reason = Some(Reason::CancelledByOperator);
        assert_eq!(answer(Operation::Cancel, &Standing { reason, ..standing(RunState::Cancelled) }), "Done");
        let due_at = from_millis(NOW);
        assert_eq!(answer(Operation::RunNow, &Standing { due_at, ..standing(RunState::Pending) }), "Done");
        assert_eq!(answer(Operation::RunNow, &Standing { due_at, ..standing(RunState::Waiting) }), "Do");
    }
}

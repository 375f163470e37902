//! What any operation owes to any run, whoever asks for it and in whatever order.

use super::store::{Answer, End, Fact, Operation, Token};
use crate::{AttemptOutcome, LeaseAnswer, Run, RunState};

/// Checks what an operation has made of every run.
pub(super) fn check(
    operation: Operation,
    answer: Answer,
    (runs, facts): (&[Run], &[Fact]),
    (runs_after, facts_after): (&[Run], &[Fact]),
) -> Result<(), String> {
    if runs.len() != runs_after.len() {
        return Err("a run has vanished".to_owned());
    }
    for (run, old) in runs.iter().enumerate() {
        let change = Change {
            operation,
            answer,
            run,
            old,
            new: &runs_after[run],
            was: facts[run],
            is: facts_after[run],
        };
        change.check().map_err(|law| format!("{law} (run {run})"))?;
    }
    Ok(())
}

struct Change<'a> {
    operation: Operation,
    answer: Answer,
    run: usize,
    old: &'a Run,
    new: &'a Run,
    was: Fact,
    is: Fact,
}

impl Change<'_> {
    fn check(&self) -> Result<(), &'static str> {
        self.what_is_kept()?;
        self.what_is_counted()?;
        match self.operation {
            Operation::Claim { token, .. } => self.claim(token),
            Operation::GiveBack { token } => {
                holds(!self.now_has(token), "a run that was given back is still held")
            }
            Operation::Extend { run, token } if self.is_of(run) => self.extension(token),
            Operation::SaveStep { run, token } if self.is_of(run) => self.step(token),
            Operation::Settle { run, token, end, .. } if self.is_of(run) => self.settlement(token, end),
            Operation::Cancel { run } if self.is_of(run) => {
                holds(self.new.state == RunState::Cancelled, "a cancelled run is not cancelled")
            }
            _ => Ok(()),
        }
    }

    fn what_is_kept(&self) -> Result<(), &'static str> {
        let is_same = self.is_same();
        holds(is_same || !self.old.state.is_ended(), "a run that has ended was changed")?;
        let is_legal = self.old.state == self.new.state || self.old.state.may_become(self.new.state);
        holds(is_legal, "a run has made a move that is not legal")?;
        holds(self.is.has_step || !self.was.has_step, "a saved step has vanished")?;
        let may_change = match self.operation {
            Operation::Claim { .. } => self.given(),
            Operation::GiveBack { token } => self.had(token),
            Operation::Extend { run, token }
            | Operation::SaveStep { run, token }
            | Operation::Settle { run, token, .. } => self.is_of(run) && self.had(token),
            Operation::Cancel { run } | Operation::LeaseRunsOut { run } => self.is_of(run),
        };
        holds(is_same || may_change, "what does not hold a run has written to it")
    }

    /// The end of a claim is counted once: by its settlement, as a crash, or not at all.
    fn what_is_counted(&self) -> Result<(), &'static str> {
        let has_ended = self.was.lease.is_some_and(|(token, _)| !self.now_has(token));
        let recorded = match self.operation {
            Operation::Claim { .. } if has_ended => Some(AttemptOutcome::Crashed),
            Operation::Settle { end, .. } if has_ended => Some(end.outcome()),
            _ => None,
        };
        let crashes = u32::from(has_ended && matches!(self.operation, Operation::Claim { .. }));
        let failures = u32::from(recorded == Some(AttemptOutcome::Failed));
        holds(self.new.crashes - self.old.crashes == crashes, "crashes are not counted right")?;
        holds(self.new.failures == self.old.failures + failures, "failures are not counted right")?;
        for outcome in AttemptOutcome::ALL {
            let count = |run: &Run| run.attempts.iter().filter(|attempt| attempt.outcome == *outcome).count();
            let more = usize::from(recorded == Some(*outcome));
            holds(count(self.new) == count(self.old) + more, "an attempt is not recorded once")?;
        }
        Ok(())
    }

    fn claim(&self, token: Token) -> Result<(), &'static str> {
        holds(self.now_has(token) == self.given(), "a claim holds what it was not given")?;
        if !self.given() {
            return Ok(());
        }
        holds(self.was.lease.is_none_or(|(_, is_live)| !is_live), "two claims hold a run at once")?;
        holds(self.is.lease == Some((token, true)), "a run was given without a lease")
    }

    fn extension(&self, token: Token) -> Result<(), &'static str> {
        holds(self.is_done() == self.had(token), "an extension is not answered right")?;
        holds(!self.is_done() || self.is.lease == Some((token, true)), "an extended lease does not hold")
    }

    fn step(&self, token: Token) -> Result<(), &'static str> {
        holds(self.is_done() == self.had(token), "the saving of a step is not answered right")?;
        holds(!self.is_done() || self.is.has_step, "a step is said to be saved and is not")
    }

    fn settlement(&self, token: Token, end: End) -> Result<(), &'static str> {
        let was_settled = !self.had(token) && self.was.settled == Some(token);
        holds(self.is_done() == (self.had(token) || was_settled), "a settlement is not answered right")?;
        if !self.had(token) {
            return Ok(());
        }
        holds(self.is.settled == Some(token) && self.is.lease.is_none(), "a settled run is still held")?;
        let is_right = match (end, self.new.state) {
            (End::Succeeds, state) => state == RunState::Succeeded,
            (End::Fails, state) => matches!(state, RunState::Pending | RunState::Dead),
            (End::IsGivenBack, state) => state == RunState::Pending,
            (End::CrashedTooOften, state) => state == RunState::Dead,
        };
        holds(is_right, "a settlement has led to another state")
    }

    fn is_of(&self, run: u8) -> bool {
        usize::from(run) == self.run
    }

    /// Whether this claim gives the run out.
    fn given(&self) -> bool {
        matches!(self.answer, Answer::Runs(runs) if runs[self.run].is_some())
    }

    fn is_done(&self) -> bool {
        self.answer == Answer::Lease(LeaseAnswer::Done)
    }

    fn is_same(&self) -> bool {
        self.old == self.new && self.was == self.is
    }

    fn had(&self, token: Token) -> bool {
        self.was.lease.is_some_and(|(holder, _)| holder == token)
    }

    fn now_has(&self, token: Token) -> bool {
        self.is.lease.is_some_and(|(holder, _)| holder == token)
    }
}

impl End {
    const fn outcome(self) -> AttemptOutcome {
        match self {
            End::Succeeds => AttemptOutcome::Succeeded,
            End::Fails => AttemptOutcome::Failed,
            End::IsGivenBack => AttemptOutcome::GivenBack,
            End::CrashedTooOften => AttemptOutcome::Crashed,
        }
    }
}

fn holds(law: bool, broken: &'static str) -> Result<(), &'static str> {
    if law { Ok(()) } else { Err(broken) }
}

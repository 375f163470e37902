//! How a run stands, and what a call makes of it: where an answer does not fit, the rule that it breaks.

use std::{collections::BTreeMap, hash::Hash};

use riqle_jobs_core::{LeaseToken, RunState};

use super::{
    entry::{Fenced, Seen, Taken},
    operation::{Act, Failover, LostClaim, Operation},
    verdict::Rule,
};

/// Stores keep times in whole milliseconds and cut off the rest, so what is due in a second may come that much earlier.
const CUT_OFF: u64 = 1_000;

/// How a run stands after some of its calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Standing {
    phase: Phase,
    /// The saved results, each with the line that saved it; `None`: taken over from a run that was replayed, not yet seen.
    steps: Option<BTreeMap<String, (String, usize)>>,
    failures: u32,
    crashes: u32,
    /// The claim under which it was settled last.
    settled_by: Option<LeaseToken>,
    /// The claim that held it when an operator cancelled it.
    cancelled: Option<LeaseToken>,
    /// The line that brought it here.
    since: usize,
    /// Before this it is not due again.
    due_from: u64,
    /// How it stood before each of its latest effects that a failover may make forgotten, and when that call ended.
    forgettable: Vec<(Standing, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Absent,
    Pending,
    /// The lease lasts until then at least.
    Running {
        token: LeaseToken,
        until: u64,
    },
    Ended(RunState),
    Gone,
}

/// What a run's calls can't tell of its queue.
pub(super) struct Around<'a> {
    pub(super) lost_claims: &'a [Vec<LostClaim>],
    pub(super) prunes: &'a [usize],
    pub(super) failovers: &'a [Failover],
}

impl Around<'_> {
    /// A master that was replaced, and has not heard of it, answers claims and extensions out of what it had.
    fn may_be_of_a_replaced_master(&self, operation: &Operation) -> bool {
        let waits_for_no_replica = matches!(operation.act, Act::Claim { .. } | Act::Extend { .. });
        let called = operation.called;
        waits_for_no_replica
            && self.failovers.iter().any(|over| over.since <= called.at && called.line < over.until.line)
    }
}

/// An answer that does not fit, and the line with which it does not go together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misfit {
    pub(super) rule: Rule,
    pub(super) with: usize,
}

type Next = Result<Standing, Misfit>;

impl Standing {
    pub(super) fn absent() -> Self {
        Self {
            phase: Phase::Absent,
            steps: Some(BTreeMap::new()),
            failures: 0,
            crashes: 0,
            settled_by: None,
            cancelled: None,
            since: 0,
            due_from: 0,
            forgettable: Vec::new(),
        }
    }

    /// Where the call has its effect now. Before it, where a failover may make it forgotten, is kept.
    pub(super) fn after(&self, operation: &Operation, around: &Around<'_>) -> Next {
        if let Act::Forget { effects, since, .. } = operation.act {
            return Ok(self.without_the_latest(effects, since));
        }
        let mut next = match self.then(operation, around) {
            Err(_) if around.may_be_of_a_replaced_master(operation) => return Ok(self.clone()),
            then => then?,
        };
        if around.failovers.is_empty() {
            return Ok(next);
        }
        let may_be_forgotten = around.failovers.iter().any(|over| over.is_beside(operation));
        if operation.is_kept() || (next != *self && !may_be_forgotten) {
            // Nothing before it is forgotten but together with it.
            next.forgettable.clear();
        } else if next != *self {
            next.forgettable.push((Self { forgettable: Vec::new(), ..self.clone() }, operation.ended_at()));
        }
        Ok(next)
    }

    /// As it is, where one of them had ended before the failover began.
    fn without_the_latest(&self, effects: usize, since: u64) -> Self {
        let kept = self.forgettable.len().checked_sub(effects).map(|kept| self.forgettable.split_at(kept));
        match kept {
            Some((earlier, latest @ [(before, _), ..]))
                if latest.iter().all(|(_, ended)| *ended >= since) =>
            {
                Self { forgettable: earlier.to_vec(), ..before.clone() }
            }
            _ => self.clone(),
        }
    }

    fn then(&self, operation: &Operation, around: &Around<'_>) -> Next {
        match &operation.act {
            Act::Enqueue { is_new } => self.enqueued(operation, *is_new, around),
            Act::IsThere => match self.phase {
                Phase::Absent => self.misfit(Rule::NothingFromNowhere),
                _ => Ok(self.clone()),
            },
            Act::Claim { token, lease, queue, taken } => {
                let lost = around.lost_claims.get(*queue).map_or(&[][..], Vec::as_slice);
                self.claimed(operation, *token, *lease, taken, lost)
            }
            Act::GiveBack { token } => Ok(match self.is_held_by(*token) {
                true => self.to(Phase::Pending, operation),
                false => self.clone(),
            }),
            Act::Extend { token, lease, answer } => {
                self.fenced(operation, *token, Some(*answer), around, |run| {
                    run.phase =
                        Phase::Running { token: *token, until: operation.called.at.saturating_add(*lease) };
                })
            }
            Act::Save { token, path, result, replaces, answer } => {
                self.fenced(operation, *token, *answer, around, |run| {
                    let Some(steps) = &mut run.steps else { return };
                    let saved = (result.clone(), operation.called.line);
                    match steps.get_mut(path) {
                        Some(_) if !replaces => {}
                        Some(step) => *step = saved,
                        None => drop(steps.insert(path.clone(), saved)),
                    }
                })
            }
            // One that is repeated is done already.
            Act::Settle { token, answer: Some(Fenced::Done), .. }
                if !self.is_held_by(*token) && self.settled_by == Some(*token) =>
            {
                Ok(self.clone())
            }
            Act::Settle { token, state, failures, after, answer } => {
                self.fenced(operation, *token, *answer, around, |run| {
                    run.settled_by = Some(*token);
                    run.since = operation.called.line;
                    run.phase = match state.is_ended() {
                        true => Phase::Ended(*state),
                        false => Phase::Pending,
                    };
                    run.failures = failures.unwrap_or(run.failures);
                    run.due_from = operation.called.at.saturating_add(*after).saturating_sub(CUT_OFF);
                })
            }
            Act::Cancel { is_done } => self.cancelled(operation, *is_done),
            Act::RunNow => Ok(Self { due_from: 0, ..self.clone() }),
            Act::Replay => match self.phase {
                Phase::Ended(RunState::Dead | RunState::Cancelled) => Ok(self.clone()),
                Phase::Absent => self.misfit(Rule::NothingFromNowhere),
                _ => self.misfit(Rule::EndedOnce),
            },
            Act::Begin => Ok(match self.phase {
                Phase::Absent => Self { steps: None, ..self.to(Phase::Pending, operation) },
                _ => self.clone(),
            }),
            Act::Discard => match self.phase {
                Phase::Ended(RunState::Dead) => Ok(self.to(Phase::Gone, operation)),
                Phase::Ended(_) if self.may_be_deleted(operation, around) => {
                    Ok(self.to(Phase::Gone, operation))
                }
                // There is nothing to discard.
                Phase::Gone | Phase::Absent => Ok(self.clone()),
                _ => self.misfit(Rule::EndedOnce),
            },
            Act::Look { seen } => self.seen(operation, seen.as_ref(), around),
            Act::Forget { .. } => Ok(self.clone()),
        }
    }

    fn to(&self, phase: Phase, operation: &Operation) -> Self {
        Self { phase, since: operation.called.line, ..self.clone() }
    }

    fn misfit(&self, rule: Rule) -> Next {
        Err(Misfit { rule, with: self.since })
    }

    fn is_held_by(&self, token: LeaseToken) -> bool {
        matches!(self.phase, Phase::Running { token: holder, .. } if holder == token)
    }

    /// A repeat changes nothing, for as long as the store remembers the run.
    fn enqueued(&self, operation: &Operation, is_new: Option<bool>, around: &Around<'_>) -> Next {
        let is_forgotten = match self.phase {
            Phase::Gone => true,
            Phase::Ended(_) => self.may_be_deleted(operation, around),
            _ => false,
        };
        let begins = || Self { phase: Phase::Pending, since: operation.called.line, ..Self::absent() };
        match (self.phase, is_new) {
            // A store that repeats by itself may find its own first try.
            (Phase::Absent, _) => Ok(begins()),
            (_, Some(true) | None) if is_forgotten => Ok(begins()),
            (_, Some(false) | None) => Ok(self.clone()),
            (_, Some(true)) => self.misfit(Rule::NothingVanishes),
        }
    }

    /// Whether others that have ended were deleted by then.
    fn may_be_deleted(&self, operation: &Operation, around: &Around<'_>) -> bool {
        let latest = operation.answered.map_or(usize::MAX, |answered| answered.line);
        around.prunes.iter().any(|line| *line < latest)
    }

    fn claimed(
        &self,
        operation: &Operation,
        token: LeaseToken,
        lease: u64,
        taken: &Taken,
        lost: &[LostClaim],
    ) -> Next {
        let latest = operation.answered.map_or(u64::MAX, |answered| answered.at);
        let crashes = match self.phase {
            Phase::Pending if latest < self.due_from => return self.misfit(Rule::NotBeforeItIsDue),
            Phase::Pending => self.crashes,
            Phase::Running { until, .. } if latest < until => return self.misfit(Rule::OneLiveLease),
            Phase::Running { .. } => self.crashes.saturating_add(1),
            Phase::Ended(_) | Phase::Gone => return self.misfit(Rule::EndedOnce),
            Phase::Absent => return self.misfit(Rule::NothingFromNowhere),
        };
        // Claims whose answer was lost may have held it in between, each until its lease ran out.
        let held_in_between =
            lost.iter().filter(|claim| claim.called.at.saturating_add(claim.lease) <= latest);
        let unseen = taken.crashes.checked_sub(crashes).map(|unseen| unseen as usize);
        let is_counted = unseen.is_some_and(|unseen| unseen == 0 || unseen <= held_in_between.count());
        if !is_counted || taken.failures != self.failures {
            return self.misfit(Rule::CountedOnce);
        }
        let steps = Some(self.with_steps(&taken.steps, operation)?);
        let phase = Phase::Running { token, until: operation.called.at.saturating_add(lease) };
        Ok(Self { steps, crashes: taken.crashes, ..self.to(phase, operation) })
    }

    /// The steps, where they are as they were found.
    fn with_steps(
        &self,
        found: &BTreeMap<String, String>,
        operation: &Operation,
    ) -> Result<BTreeMap<String, (String, usize)>, Misfit> {
        let Some(steps) = &self.steps else {
            let line = operation.called.line;
            return Ok(found.iter().map(|(path, result)| (path.clone(), (result.clone(), line))).collect());
        };
        for (path, (result, line)) in steps {
            if found.get(path) != Some(result) {
                return Err(Misfit { rule: Rule::SavedStepStays, with: *line });
            }
        }
        if found.len() > steps.len() {
            return Err(Misfit { rule: Rule::StaleTokenWritesNothing, with: self.since });
        }
        Ok(steps.clone())
    }

    fn fenced(
        &self,
        operation: &Operation,
        token: LeaseToken,
        answer: Option<Fenced>,
        around: &Around<'_>,
        write: impl FnOnce(&mut Standing),
    ) -> Next {
        let holds = self.is_held_by(token);
        match answer {
            Some(Fenced::Done) if !holds => self.misfit(Rule::StaleTokenWritesNothing),
            Some(Fenced::Done) | None if holds => {
                let mut written = self.clone();
                write(&mut written);
                Ok(written)
            }
            Some(Fenced::LeaseLost) if holds => self.taken_by_a_lost_claim(operation, around),
            Some(Fenced::CancelRequested) if self.cancelled != Some(token) => {
                self.misfit(Rule::LiveLeaseHolds)
            }
            _ => Ok(self.clone()),
        }
    }

    /// A lease that ran out may have gone to a claim whose answer was lost, and have been given back since.
    fn taken_by_a_lost_claim(&self, operation: &Operation, around: &Around<'_>) -> Next {
        let latest = operation.answered.map_or(u64::MAX, |answered| answered.at);
        let Phase::Running { until, .. } = self.phase else { return Ok(self.clone()) };
        let is_possible = |claim: &LostClaim| claim.called.at <= latest;
        if latest < until || !around.lost_claims.iter().flatten().any(is_possible) {
            return self.misfit(Rule::LiveLeaseHolds);
        }
        Ok(Self { crashes: self.crashes.saturating_add(1), ..self.to(Phase::Pending, operation) })
    }

    fn cancelled(&self, operation: &Operation, is_done: Option<bool>) -> Next {
        let cancelled = match self.phase {
            Phase::Running { token, .. } => Some(token),
            Phase::Pending => None,
            // Done already, or too late.
            Phase::Ended(RunState::Cancelled) => return Ok(self.clone()),
            Phase::Ended(_) | Phase::Gone | Phase::Absent if is_done != Some(true) => return Ok(self.clone()),
            Phase::Ended(_) | Phase::Gone => return self.misfit(Rule::EndedOnce),
            Phase::Absent => return self.misfit(Rule::NothingFromNowhere),
        };
        match is_done {
            Some(false) => self.misfit(Rule::NothingVanishes),
            _ => Ok(Self { cancelled, ..self.to(Phase::Ended(RunState::Cancelled), operation) }),
        }
    }

    fn seen(&self, operation: &Operation, seen: Option<&Seen>, around: &Around<'_>) -> Next {
        let Some(Seen { state, steps }) = seen else {
            return match self.phase {
                Phase::Absent | Phase::Gone => Ok(self.clone()),
                Phase::Ended(_) if self.may_be_deleted(operation, around) => {
                    Ok(self.to(Phase::Gone, operation))
                }
                _ => self.misfit(Rule::NothingVanishes),
            };
        };
        let fits = match self.phase {
            Phase::Absent => return self.misfit(Rule::NothingFromNowhere),
            // By a claim whose answer was lost.
            Phase::Pending => !state.is_ended() && (*state != RunState::Running || has_lost_claims(around)),
            Phase::Running { until, .. } => match state {
                RunState::Running => true,
                // Taken by a claim whose answer was lost, and given back.
                RunState::Pending => {
                    has_lost_claims(around) && operation.answered.is_some_and(|at| at.at >= until)
                }
                _ => false,
            },
            Phase::Ended(ended) => *state == ended,
            Phase::Gone => false,
        };
        if !fits {
            let was_there = matches!(self.phase, Phase::Ended(_) | Phase::Gone);
            return self.misfit(if was_there { Rule::EndedOnce } else { Rule::NothingVanishes });
        }
        Ok(Self { steps: Some(self.with_steps(steps, operation)?), ..self.clone() })
    }
}

fn has_lost_claims(around: &Around<'_>) -> bool {
    around.lost_claims.iter().any(|lost| !lost.is_empty())
}

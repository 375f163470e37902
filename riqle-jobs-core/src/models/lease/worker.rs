//! A worker of the lease model.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use super::store::{End, Given, MOST_RUNS, Token};
use crate::worker::verdict::MAX_CRASHES;

/// A worker as it stands between two answers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    pub(super) name: Name,
    /// The claim whose answer never came, which is given back before the next: the claim loop's `unanswered`.
    pub(super) unanswered: Token,
    /// What its slots are at.
    pub(super) held: [Option<Held>; MOST_RUNS],
}

/// Tells workers apart in a story; a state is the same whatever they are called.
#[derive(Clone, Copy, Default)]
pub(super) struct Name(pub(super) u8);

impl PartialEq for Name {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// An attempt in a slot, from its claim until the answer to its settlement.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) token: Token,
    pub(super) stage: Stage,
    /// Whether the lease surely holds, by the clock of the worker: `Cancellation::is_certain`. Without it no step begins.
    pub(super) is_certain: bool,
    /// As the claim was told.
    pub(super) has_step: bool,
    pub(super) failures: u8,
    pub(super) crashes: u8,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stage {
    /// It waits for a slot.
    Claimed,
    /// The code of its step runs.
    InStep,
    /// The result of the step is with the saver, which repeats the write until it is answered.
    Saving,
    /// The step is saved, and the body goes on.
    AfterStep,
    /// The attempt is with the settler, which repeats the write until it is answered.
    Settling(End),
}

impl Worker {
    pub(super) fn new(name: usize) -> Self {
        Self { name: Name(name as u8), ..Self::default() }
    }

    /// Another process in its place.
    pub(super) fn died(self) -> Self {
        Self { name: self.name, ..Self::default() }
    }

    pub(super) fn held(&self) -> impl Iterator<Item = (u8, Held)> {
        (0..).zip(self.held).filter_map(|(run, held)| Some((run, held?)))
    }

    pub(super) fn with(mut self, run: u8, held: Option<Held>) -> Self {
        self.held[usize::from(run)] = held;
        self
    }

    pub(super) fn with_unanswered(mut self, token: Token) -> Self {
        self.unanswered = token;
        self
    }

    /// It, and its place among workers that a state does not tell apart but for the names of their tokens.
    pub(super) fn order(&self, role: impl Fn(Token) -> u64) -> [u64; MOST_RUNS + 1] {
        let held = self.held.map(|held| {
            held.map_or(0, |held| {
                let stage = match held.stage {
                    Stage::Settling(end) => 5 + end as u64,
                    Stage::Claimed => 1,
                    Stage::InStep => 2,
                    Stage::Saving => 3,
                    Stage::AfterStep => 4,
                };
                let seen = u64::from(held.failures) << 8 | u64::from(held.crashes) << 4;
                let flags = u64::from(held.is_certain) << 1 | u64::from(held.has_step);
                role(held.token) << 24 | stage << 16 | seen << 2 | flags
            })
        });
        [role(self.unanswered), held[0], held[1], held[2]]
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)?;
        if self.unanswered != Token::NOBODYS {
            write!(f, " unanswered {:?}", self.unanswered)?;
        }
        for (run, held) in self.held() {
            let unsure = if held.is_certain { "" } else { " unsure" };
            write!(f, " run {run} {:?}{unsure} {:?}", held.token, held.stage)?;
        }
        Ok(())
    }
}

impl Held {
    pub(super) fn new(token: Token, given: Given) -> Self {
        let Given { failures, crashes, has_step } = given;
        Self { token, stage: Stage::Claimed, is_certain: true, has_step, failures, crashes }
    }

    pub(super) fn at(self, stage: Stage) -> Option<Self> {
        Some(Self { stage, ..self })
    }

    pub(super) fn certain(self, is_certain: bool) -> Option<Self> {
        Some(Self { is_certain, ..self })
    }

    /// What its body, or what runs instead of it, may do next without a call of the store.
    pub(super) fn decisions(self) -> &'static [Stage] {
        match self.stage {
            // As `attempt::run_attempt` says before the body.
            Stage::Claimed if u32::from(self.crashes) > MAX_CRASHES => {
                &[Stage::Settling(End::CrashedTooOften), Stage::Settling(End::IsGivenBack)]
            }
            Stage::Claimed if self.has_step => &[Stage::AfterStep, Stage::Settling(End::IsGivenBack)],
            Stage::Claimed if self.is_certain => &[Stage::InStep, Stage::Settling(End::IsGivenBack)],
            Stage::Claimed => &[Stage::Settling(End::IsGivenBack)],
            Stage::InStep => &[Stage::Saving, Stage::Settling(End::Fails), Stage::Settling(End::IsGivenBack)],
            Stage::AfterStep => &[Stage::Settling(End::Succeeds), Stage::Settling(End::Fails)],
            Stage::Saving | Stage::Settling(_) => &[],
        }
    }
}

//! The store of the lease model: the one in memory. Each state of it is kept once, with where each operation leads.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use futures_util::FutureExt;
use uuid::Uuid;

use super::laws;
use crate::{
    ClaimRequest, Error, JobError, LeaseAnswer, LeaseRef, LeaseToken, ManualClock, Memory, NewRun, Operate,
    Payload, Queue, RetryPolicy, Run, RunId, StepPath, StepSave, Timestamp, WorkerId, earlier, later,
    memory::Snapshot,
    worker::verdict::{self, AttemptEnd},
};

pub(super) const MOST_RUNS: usize = 3;
/// Names of tokens, nobody's among them.
pub(super) const TOKENS: usize = 16;
const LEASE: Duration = Duration::from_secs(30);

/// A token, by its name in the model.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token(pub(super) u8);

impl Token {
    /// One that no worker and no request has.
    pub(super) const NOBODYS: Self = Self(0);
    /// That of a claim that is just made.
    pub(super) const NEW: Self = Self(TOKENS as u8 - 1);

    pub(super) fn in_store(self) -> LeaseToken {
        LeaseToken::from_uuid(Uuid::from_u128(u128::from(self.0)))
    }

    fn of(token: LeaseToken) -> Self {
        Self(token.as_uuid().as_u128() as u8)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NOBODYS => f.write_str("-"),
            Self::NEW => f.write_str("new"),
            Self(name) => write!(f, "t{name}"),
        }
    }
}

/// What a store is asked, or what befalls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Operation {
    Claim { token: Token, limit: u8 },
    GiveBack { token: Token },
    Extend { run: u8, token: Token },
    SaveStep { run: u8, token: Token },
    Settle { run: u8, token: Token, end: End, failures: u8, crashes: u8 },
    Cancel { run: u8 },
    LeaseRunsOut { run: u8 },
}

impl Operation {
    /// The token that it comes with.
    pub(super) fn token(self) -> Option<Token> {
        match self {
            Self::Claim { token, .. }
            | Self::GiveBack { token }
            | Self::Extend { token, .. }
            | Self::SaveStep { token, .. }
            | Self::Settle { token, .. } => Some(token),
            Self::Cancel { .. } | Self::LeaseRunsOut { .. } => None,
        }
    }

    pub(super) fn with_token(mut self, with: Token) -> Self {
        match &mut self {
            Self::Claim { token, .. }
            | Self::GiveBack { token }
            | Self::Extend { token, .. }
            | Self::SaveStep { token, .. }
            | Self::Settle { token, .. } => *token = with,
            Self::Cancel { .. } | Self::LeaseRunsOut { .. } => {}
        }
        self
    }
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    Succeeds,
    Fails,
    IsGivenBack,
    CrashedTooOften,
}

/// What a store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Runs([Option<Given>; MOST_RUNS]),
    Lease(LeaseAnswer),
}

/// What a claim is told of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) failures: u8,
    pub(super) crashes: u8,
    pub(super) has_step: bool,
}

/// What the model looks at in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) state: crate::RunState,
    /// With whether it has not run out.
    pub(super) lease: Option<(Token, bool)>,
    pub(super) settled: Option<Token>,
    pub(super) cancelled: Option<Token>,
    pub(super) has_step: bool,
    pub(super) failures: u32,
    pub(super) crashes: u32,
}

struct Kept {
    snapshot: Snapshot,
    facts: Vec<Fact>,
}

/// The states of the store that were met.
pub(super) struct Stores {
    clock: ManualClock,
    kept: Vec<Kept>,
    numbers: HashMap<String, u32>,
    operated: HashMap<(u32, Operation), (u32, Answer)>,
    renamed: HashMap<(u32, [Token; TOKENS]), u32>,
}

impl Stores {
    /// With so many runs at first, in the state of number 0.
    pub(super) fn with_runs(runs: usize) -> Self {
        let clock = ManualClock::new();
        let store = Memory::with_clock(&clock);
        for run in 0..runs {
            let new = NewRun::named("job", Payload::from_json_text("1"));
            done(store.enqueue(vec![NewRun { id: id(run), ..new }]));
        }
        let mut stores = Self {
            clock,
            kept: Vec::new(),
            numbers: HashMap::new(),
            operated: HashMap::new(),
            renamed: HashMap::new(),
        };
        stores.number(store.snapshot());
        stores
    }

    pub(super) fn facts(&self, store: u32) -> &[Fact] {
        &self.kept[store as usize].facts
    }

    /// What an operation answers, and the state after it. The laws hold of each.
    pub(super) fn operate(&mut self, store: u32, operation: Operation) -> Result<(u32, Answer), String> {
        if let Some(known) = self.operated.get(&(store, operation)) {
            return Ok(*known);
        }
        let before = self.kept[store as usize].snapshot.clone();
        let (mut after, answer) = self.carry_out(&before, operation);
        let runs = |snapshot: &Snapshot| -> Vec<Run> { snapshot.runs().collect() };
        laws::check(
            operation,
            answer,
            (&runs(&before), self.facts(store)),
            (&runs(&after), &self.facts_of(&after)),
        )?;
        after.forget_order_of_attempts();
        let found = (self.number(after), answer);
        self.operated.insert((store, operation), found);
        Ok(found)
    }

    /// The same state with other names of tokens.
    pub(super) fn rename(&mut self, store: u32, names: [Token; TOKENS]) -> u32 {
        if let Some(known) = self.renamed.get(&(store, names)) {
            return *known;
        }
        let mut snapshot = self.kept[store as usize].snapshot.clone();
        snapshot.rename_tokens(|token| {
            let name = names[usize::from(Token::of(token).0)];
            (name != Token::NOBODYS).then(|| name.in_store())
        });
        let found = self.number(snapshot);
        self.renamed.insert((store, names), found);
        found
    }

    fn number(&mut self, snapshot: Snapshot) -> u32 {
        let next = self.kept.len() as u32;
        let number = *self.numbers.entry(snapshot.text()).or_insert(next);
        if number == next {
            let facts = self.facts_of(&snapshot);
            self.kept.push(Kept { snapshot, facts });
        }
        number
    }

    fn facts_of(&self, snapshot: &Snapshot) -> Vec<Fact> {
        // Of a lease there is all or nothing left.
        let whole = later(self.clock.now(), LEASE);
        let fact = |run: Run| {
            let tokens = snapshot.tokens(run.id);
            Fact {
                state: run.state,
                lease: tokens.lease.map(|(token, until)| (Token::of(token), until == whole)),
                settled: tokens.settled.map(Token::of),
                cancelled: tokens.cancelled.map(Token::of),
                has_step: snapshot.steps(run.id) > 0,
                failures: run.failures,
                crashes: run.crashes,
            }
        };
        snapshot.runs().map(fact).collect()
    }

    fn carry_out(&self, before: &Snapshot, operation: Operation) -> (Snapshot, Answer) {
        let store = Memory::of_snapshot(before, &self.clock);
        let of_one = |answers: Vec<LeaseAnswer>| Answer::Lease(answers[0]);
        let answer = match operation {
            Operation::Claim { token, limit } => {
                let mut runs = [None; MOST_RUNS];
                for run in done(store.claim(request(token, limit))).runs {
                    runs[place(run.lease.run)] = Some(Given {
                        failures: run.failures as u8,
                        crashes: run.crashes as u8,
                        has_step: !run.steps.is_empty(),
                    });
                }
                Answer::Runs(runs)
            }
            Operation::GiveBack { token } => {
                done(store.give_back("default", token.in_store()));
                Answer::Nothing
            }
            Operation::Extend { run, token } => {
                of_one(done(Queue::extend(&store, vec![lease(run, token)], LEASE)))
            }
            Operation::SaveStep { run, token } => of_one(done(store.save_steps(vec![step(run, token)]))),
            Operation::Settle { run, token, end, failures, crashes } => {
                let mut claimed = before.claimed(id(run.into()), token.in_store(), self.clock.now());
                (claimed.failures, claimed.crashes) = (failures.into(), crashes.into());
                let settlement = verdict::settle(&claimed, &policy(), end.of_attempt());
                of_one(done(store.settle(vec![settlement])))
            }
            Operation::Cancel { run } => {
                done(store.cancel(id(run.into())));
                Answer::Nothing
            }
            Operation::LeaseRunsOut { run } => {
                let mut after = before.clone();
                after.end_lease_at(id(run.into()), self.past());
                return (after, Answer::Nothing);
            }
        };
        (store.snapshot(), answer)
    }

    fn past(&self) -> Timestamp {
        earlier(self.clock.now(), Duration::from_millis(1))
    }
}

impl End {
    fn of_attempt(self) -> AttemptEnd {
        match self {
            End::Succeeds => AttemptEnd::Returned(Payload::from_json_text("2")),
            End::Fails => AttemptEnd::Failed(JobError::retry("it failed")),
            End::IsGivenBack => AttemptEnd::GivenBack,
            End::CrashedTooOften => AttemptEnd::CrashedTooOften { refused: None },
        }
    }
}

/// At once again, and once.
fn policy() -> RetryPolicy {
    RetryPolicy::fixed(Duration::ZERO).max_retries(1)
}

fn id(run: usize) -> RunId {
    RunId::from_uuid(Uuid::from_u128(run as u128 + 1))
}

fn place(run: RunId) -> usize {
    run.as_uuid().as_u128() as usize - 1
}

fn request(token: Token, limit: u8) -> ClaimRequest {
    ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["job".to_owned()].into(),
        limit: limit.into(),
        lease: LEASE,
        token: token.in_store(),
        // Nothing asks which one it is.
        worker: WorkerId::from_uuid(Uuid::nil()),
    }
}

fn lease(run: u8, token: Token) -> LeaseRef {
    LeaseRef { queue: Arc::from("default"), run: id(run.into()), token: token.in_store() }
}

fn step(run: u8, token: Token) -> StepSave {
    StepSave {
        lease: lease(run, token),
        path: StepPath::from_stored("step"),
        result: Payload::from_json_text("3"),
        took: Duration::ZERO,
        replaces: false,
    }
}

/// What a call of the store answers, which waits for nothing.
fn done<T>(call: impl Future<Output = Result<T, Error>>) -> T {
    call.now_or_never().expect("the store in memory waits for nothing").expect("no call is wrong")
}

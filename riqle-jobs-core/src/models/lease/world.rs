//! All that may happen in the lease model.

use super::{
    super::{
        Heard,
        search::{Model, Next},
    },
    store::{Answer, MOST_RUNS, Operation, Stores, TOKENS, Token},
    worker::{Held, Name, Stage, Worker},
};
use crate::{LeaseAnswer, RunState};

const WORKERS: usize = 3;
/// No more requests are late than replies are lost.
const MOST_LATE: usize = 2;

/// How many faults may still befall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Calls without an answer.
    pub(super) lost: u8,
    /// Leases that run out under a worker that lives, and workers that die. That a lease runs out which no worker knows of
    /// costs nothing.
    pub(super) expiries: u8,
    pub(super) cancels: u8,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    store: u32,
    workers: [Worker; WORKERS],
    /// Requests that have not arrived, though their senders were told that no answer comes.
    late: [Option<Operation>; MOST_LATE],
    left: Budget,
}

/// What may happen.
#[derive(Debug)]
#[allow(dead_code, reason = "only the story of a failure reads it")]
pub(super) enum Event {
    /// A call of a worker, and what it hears of it.
    Calls(Name, Operation, Heard),
    /// A worker goes on by itself.
    GoesOn {
        worker: Name,
        run: u8,
        to: Stage,
    },
    Dies(Name),
    ArrivesLate(Operation),
    Cancels {
        run: u8,
    },
    LeaseRunsOut {
        run: u8,
        is_known: bool,
    },
}

pub(super) struct World {
    stores: Stores,
    runs: usize,
    slots: usize,
    budget: Budget,
}

type Out<'a> = &'a mut Vec<Next<World>>;

impl World {
    /// Workers with so many slots each.
    pub(super) fn of(runs: usize, slots: usize, budget: Budget) -> Self {
        Self { stores: Stores::with_runs(runs), runs, slots, budget }
    }

    /// A call of a worker: answered, not answered, or not arrived. `then` says what the worker makes of the answer; `None`
    /// is that it heard nothing.
    fn call(
        &mut self,
        state: &State,
        at: usize,
        operation: Operation,
        then: impl Fn(Worker, Option<Answer>) -> Worker,
        out: Out<'_>,
    ) {
        let worker = state.workers[at];
        let (store, answer) = match self.stores.operate(state.store, operation) {
            Ok(done) => done,
            Err(broken) => {
                return out.push((Event::Calls(worker.name, operation, Heard::Answer), Err(broken)));
            }
        };
        let mut push = |heard, store, late, left| {
            let heard_answer = (heard == Heard::Answer).then_some(answer);
            let mut to = State { store, late, left, ..state.clone() };
            to.workers[at] = then(worker, heard_answer);
            if to != *state {
                out.push((Event::Calls(worker.name, operation, heard), Ok(to)));
            }
        };
        push(Heard::Answer, store, state.late, state.left);
        if let Some(lost) = state.left.lost.checked_sub(1) {
            let left = Budget { lost, ..state.left };
            if store != state.store {
                push(Heard::NoReply, store, state.late, left);
            }
            let mut late = state.late;
            if let Some(place) = late.iter_mut().find(|place| place.is_none()) {
                *place = Some(operation);
                push(Heard::NothingYet, state.store, late, left);
            }
        }
    }

    /// The claim loop.
    fn claims(&mut self, state: &State, at: usize, out: Out<'_>) {
        let worker = state.workers[at];
        let free = self.slots.saturating_sub(worker.held().count());
        if worker.unanswered != Token::NOBODYS {
            let operation = Operation::GiveBack { token: worker.unanswered };
            let then = |worker: Worker, answer: Option<_>| match answer {
                Some(_) => worker.with_unanswered(Token::NOBODYS),
                None => worker,
            };
            self.call(state, at, operation, then, out);
        } else if free > 0 {
            let token = Token::NEW;
            let operation = Operation::Claim { token, limit: free as u8 };
            let then = |mut worker: Worker, answer| match answer {
                Some(Answer::Runs(runs)) => {
                    for (held, given) in worker.held.iter_mut().zip(runs) {
                        // An attempt that it has lost and still runs goes on elsewhere as well.
                        *held = given.map(|given| Held::new(token, given)).or(*held);
                    }
                    worker
                }
                _ => worker.with_unanswered(token),
            };
            self.call(state, at, operation, then, out);
        }
    }

    /// The lease keeper. Where the lease lives and the worker knows, an extension changes nothing.
    fn extends(&mut self, state: &State, at: usize, run: u8, held: Held, out: Out<'_>) {
        let operation = Operation::Extend { run, token: held.token };
        let (store, answer) = match self.stores.operate(state.store, operation) {
            Ok(done) => done,
            Err(broken) => {
                let event = Event::Calls(state.workers[at].name, operation, Heard::Answer);
                return out.push((event, Err(broken)));
            }
        };
        let held = match (answer, held.stage) {
            (Answer::Lease(LeaseAnswer::Done), _) => held.certain(true),
            // What is with the saver or the settler is written in any case.
            (_, Stage::Saving | Stage::Settling(_)) => return,
            _ => None,
        };
        let mut to = State { store, ..state.clone() };
        to.workers[at] = to.workers[at].with(run, held);
        if to != *state {
            out.push((Event::Calls(state.workers[at].name, operation, Heard::Answer), Ok(to)));
        }
    }

    /// A slot, the saver and the settler.
    fn works(&mut self, state: &State, at: usize, run: u8, held: Held, out: Out<'_>) {
        let token = held.token;
        match held.stage {
            Stage::Saving => {
                let then = |worker: Worker, answer| match answer {
                    None => worker,
                    Some(Answer::Lease(LeaseAnswer::Done)) => worker.with(run, held.at(Stage::AfterStep)),
                    Some(_) => worker.with(run, None),
                };
                self.call(state, at, Operation::SaveStep { run, token }, then, out);
            }
            Stage::Settling(end) => {
                let Held { failures, crashes, .. } = held;
                let operation = Operation::Settle { run, token, end, failures, crashes };
                let then = |worker: Worker, answer: Option<_>| match answer {
                    None => worker,
                    Some(_) => worker.with(run, None),
                };
                self.call(state, at, operation, then, out);
            }
            _ => {
                for to in held.decisions() {
                    let worker = state.workers[at];
                    let event = Event::GoesOn { worker: worker.name, run, to: *to };
                    if *to == Stage::InStep && self.stores.facts(state.store)[usize::from(run)].has_step {
                        return out.push((event, Err(format!("a saved step is done again (run {run})"))));
                    }
                    let mut next = state.clone();
                    next.workers[at] = worker.with(run, held.at(*to));
                    out.push((event, Ok(next)));
                }
            }
        }
    }

    fn others(&mut self, state: &State, out: Out<'_>) {
        for place in 0..MOST_LATE {
            let Some(operation) = state.late[place] else { continue };
            let to = self.stores.operate(state.store, operation).map(|(store, _)| {
                let mut to = State { store, ..state.clone() };
                to.late[place] = None;
                to
            });
            out.push((Event::ArrivesLate(operation), to));
        }
        for run in 0..self.runs {
            let (fact, run) = (self.stores.facts(state.store)[run], run as u8);
            if let Some(cancels) = state.left.cancels.checked_sub(1)
                && !fact.state.is_ended()
            {
                let left = Budget { cancels, ..state.left };
                let to = self.after(Operation::Cancel { run }, State { left, ..state.clone() });
                out.push((Event::Cancels { run }, to));
            }
            let Some((token, true)) = fact.lease else { continue };
            let knows = |worker: &Worker| {
                worker.unanswered == token || worker.held().any(|(_, held)| held.token == token)
            };
            let is_known = token != Token::NOBODYS && state.workers.iter().any(knows);
            let Some(expiries) = state.left.expiries.checked_sub(u8::from(is_known)) else { continue };
            let mut to = State { left: Budget { expiries, ..state.left }, ..state.clone() };
            for worker in &mut to.workers {
                if let Some(held) = worker.held[usize::from(run)].filter(|held| held.token == token) {
                    *worker = worker.with(run, held.certain(false));
                }
            }
            let to = self.after(Operation::LeaseRunsOut { run }, to);
            out.push((Event::LeaseRunsOut { run, is_known }, to));
        }
        for (at, worker) in state.workers.iter().enumerate() {
            if let Some(expiries) = state.left.expiries.checked_sub(1)
                && *worker != worker.died()
            {
                let mut to = State { left: Budget { expiries, ..state.left }, ..state.clone() };
                to.workers[at] = worker.died();
                out.push((Event::Dies(worker.name), Ok(to)));
            }
        }
    }

    fn after(&mut self, operation: Operation, mut state: State) -> Result<State, String> {
        (state.store, _) = self.stores.operate(state.store, operation)?;
        Ok(state)
    }

    /// The same state as any other that differs from it only in the order of workers and the names of tokens.
    fn plain(&mut self, mut state: State) -> State {
        let facts = self.stores.facts(state.store);
        let late = state.late;
        let role = |token: Token| {
            if token == Token::NOBODYS {
                return 0;
            }
            let of_runs = facts.iter().fold(1, |role: u64, fact| {
                let is = |known: Option<Token>| u64::from(known == Some(token));
                role << 3
                    | is(fact.lease.map(|(token, _)| token)) << 2
                    | is(fact.settled) << 1
                    | is(fact.cancelled)
            });
            late.iter().fold(of_runs, |role, late| {
                let late = late.filter(|late| late.token() == Some(token));
                role << 5 | late.map_or(0, kind_and_run)
            })
        };
        state.late.sort_by_key(|late| {
            late.map(|late| (kind_and_run(late), late.token().map(role), late.with_token(Token::NOBODYS)))
        });
        state.workers.sort_by_key(|worker| worker.order(role));
        let mut names = [Token::NOBODYS; TOKENS];
        let mut next = 1;
        let mut name = |token: Token| {
            let name = &mut names[usize::from(token.0)];
            if token != Token::NOBODYS && *name == Token::NOBODYS {
                *name = Token(next);
                next += 1;
            }
            *name
        };
        for worker in &mut state.workers {
            worker.unanswered = name(worker.unanswered);
            for held in worker.held.iter_mut().flatten() {
                held.token = name(held.token);
            }
        }
        for late in state.late.iter_mut().flatten() {
            if let Some(token) = late.token() {
                *late = late.with_token(name(token));
            }
        }
        state.store = self.stores.rename(state.store, names);
        state
    }
}

/// Less than 32, and not 0.
fn kind_and_run(operation: Operation) -> u64 {
    match operation {
        Operation::Claim { .. } => 1,
        Operation::GiveBack { .. } => 2,
        Operation::SaveStep { run, .. } => 4 | u64::from(run),
        Operation::Settle { run, .. } => 8 | u64::from(run),
        Operation::Extend { .. } | Operation::Cancel { .. } | Operation::LeaseRunsOut { .. } => 3,
    }
}

impl Model for World {
    type State = State;
    type Event = Event;

    fn start(&mut self) -> State {
        let workers = std::array::from_fn(Worker::new);
        State { store: 0, workers, late: [None; MOST_LATE], left: self.budget }
    }

    fn next(&mut self, state: &State, next: &mut Vec<Next<Self>>) {
        for at in 0..WORKERS {
            self.claims(state, at, next);
            for (run, held) in state.workers[at].held() {
                self.extends(state, at, run, held, next);
                self.works(state, at, run, held, next);
            }
        }
        self.others(state, next);
        for (_, to) in next {
            if let Ok(to) = to {
                *to = self.plain(to.clone());
            }
        }
    }

    fn broken(&mut self, state: &State) -> Option<String> {
        let facts = self.stores.facts(state.store);
        for worker in &state.workers {
            for (run, held) in worker.held() {
                let fact = facts[usize::from(run)];
                let holds = fact.lease == Some((held.token, true));
                let has_ended = matches!(held.stage, Stage::Settling(_)) || fact.state == RunState::Cancelled;
                if held.is_certain && !holds && !has_ended {
                    return Some(format!("{:?} is certain of a lease that it does not hold", worker.name));
                }
            }
        }
        None
    }

    fn is_done(&mut self, state: &State) -> bool {
        self.stores.facts(state.store).iter().all(|fact| fact.state.is_ended())
    }

    fn happens_by_itself(event: &Event) -> bool {
        match event {
            Event::Calls(_, _, heard) => *heard == Heard::Answer,
            Event::GoesOn { .. } => true,
            Event::LeaseRunsOut { is_known, .. } => !is_known,
            Event::Dies(_) | Event::ArrivesLate(_) | Event::Cancels { .. } => false,
        }
    }

    fn tell(&self, state: &State) -> String {
        let runs: Vec<String> = (0..MOST_RUNS).zip(self.stores.facts(state.store)).map(told).collect();
        let late: Vec<_> = state.late.iter().flatten().collect();
        format!("{} | {:?} | late {late:?} | left {:?}", runs.join(", "), state.workers, state.left)
    }
}

fn told((run, fact): (usize, &super::store::Fact)) -> String {
    let lease = match fact.lease {
        Some((token, true)) => format!(" by {token:?}"),
        Some((token, false)) => format!(" by {token:?}, run out"),
        None => String::new(),
    };
    let step = if fact.has_step { ", step saved" } else { "" };
    format!("run {run} {}{lease}{step}, failures {}, crashes {}", fact.state, fact.failures, fact.crashes)
}

//! All that may happen between two stores.

use std::{collections::HashMap, fmt, sync::Arc};

use uuid::Uuid;

use super::{
    super::{
        Heard,
        replayed::{Numbered, Replays, Stand},
        search::{Model, Next},
    },
    process::{self, Answer, Call, Ended},
    staging::{self, Items, NOBODY, THE_DEAD, What},
};
use crate::{
    ErrorKind, ManualClock, Memory, NewRun, Priority, Queue, Registry, Run, RunId, RunState, Store,
    memory::Snapshot,
    relay::{Answered, Target},
    store::{JobDeclaration, JobRules, StagedNumber},
};

const RELAYS: usize = 2;

/// How much may still befall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Calls of either store without an answer.
    pub(super) lost: u8,
    /// Leases that run out under a relay that lives.
    pub(super) expiries: u8,
    pub(super) deaths: u8,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    items: Items,
    /// The other store, by number.
    target: u32,
    relays: [Round; RELAYS],
    /// A call that has not arrived, by number and with the relay's name, though the relay was told that no answer comes.
    late: Option<(u8, u32)>,
    was_cancelled: bool,
    left: Budget,
}

/// A relay in a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Round {
    /// What the round before has left to be recorded.
    before: Answered,
    answers: Vec<u32>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "only the story of a failure reads it")]
pub(super) enum Event {
    Calls(u8, Call, Heard),
    ArrivesLate(Call),
    LeasesRunOut(u8),
    Dies(u8),
}

pub(super) struct World {
    staged: Vec<What>,
    budget: Budget,
    clock: ManualClock,
    targets: Numbered<Held>,
    answers: Numbered<Answer>,
    late: Numbered<Call>,
    replays: Replays,
    stands: HashMap<Round, Stand<Call, Ended>>,
    delivered: HashMap<(u32, String), (u32, Answer)>,
}

/// What the other store holds; its text leaves out the random ids of runs that an event starts.
#[derive(Clone)]
struct Held(Snapshot);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |run: Run| (run.event_id.is_none().then_some(run.id), run.job, run.state);
        let mut runs: Vec<_> = self.0.runs().map(told).collect();
        runs.sort();
        write!(f, "{runs:?} {}", self.0.events())
    }
}

type Out<'a> = &'a mut Vec<Next<World>>;

impl World {
    pub(super) fn of(with_cancel: bool, budget: Budget) -> Self {
        let mut staged = vec![What::First, What::Refused, What::Event];
        if with_cancel {
            staged.extend([What::Cancel, What::Last]);
        }
        let (clock, replays) = (ManualClock::new(), Replays::new());
        let store = Memory::with_clock(&clock);
        replays.run(async {
            store.register_jobs(vec![started_by_the_event()]).await.expect("a job");
            let holder = NewRun { id: RunId::from_uuid(Uuid::nil()), ..What::Refused.run("2") };
            store.enqueue(vec![holder]).await.expect("the holder of the key");
        });
        let mut targets = Numbered::new();
        targets.number(Held(store.snapshot()));
        Self {
            staged,
            budget,
            clock,
            targets,
            answers: Numbered::new(),
            late: Numbered::new(),
            replays,
            stands: HashMap::new(),
            delivered: HashMap::new(),
        }
    }

    fn stand(&mut self, round: &Round) -> Stand<Call, Ended> {
        if let Some(known) = self.stands.get(round) {
            return known.clone();
        }
        let answers = round.answers.iter().map(|answer| self.answers.get(*answer).clone());
        let stand = self.replays.stand(answers, |script| process::round(script, round.before.clone()));
        self.stands.insert(round.clone(), stand.clone());
        stand
    }

    /// What a call does, and what is answered.
    fn effect(&mut self, state: &State, relay: u8, call: &Call) -> (State, Answer) {
        let mut to = state.clone();
        let answer = match call {
            Call::Take { after } => Answer::Taken(staging::take(&mut to.items, relay, *after)),
            Call::Remove(numbers) => {
                numbers.iter().for_each(|number| to.items[place(*number)] = None);
                Answer::Done
            }
            Call::Refuse(number) => {
                if let Some(item) = &mut to.items[place(*number)] {
                    item.is_refused = true;
                }
                Answer::Done
            }
            Call::Deliver(_) | Call::Cancel(_) => {
                to.was_cancelled |= matches!(call, Call::Cancel(_));
                let (target, answer) = self.target(state.target, call);
                to.target = target;
                answer
            }
        };
        (to, answer)
    }

    /// The other store does what the engine makes of a part.
    fn target(&mut self, before: u32, call: &Call) -> (u32, Answer) {
        let key = (before, format!("{call:?}"));
        if let Some(known) = self.delivered.get(&key) {
            return known.clone();
        }
        let memory = Memory::of_snapshot(&self.targets.get(before).0, &self.clock);
        let store: Arc<dyn Store> = Arc::new(memory.clone());
        let done = self.replays.run(async {
            match call {
                Call::Deliver(group) => Target::take(&store, group).await,
                Call::Cancel(filter) => Target::cancel(&store, filter.clone()).await.map(drop),
                _ => Ok(()),
            }
        });
        let answer = match done {
            Ok(()) => Answer::Done,
            Err(error) if error.kind() == ErrorKind::Conflict => Answer::Refused,
            Err(error) => panic!("the other store answers {error}"),
        };
        let found = (self.targets.number(Held(memory.snapshot())), answer);
        self.delivered.insert(key, found.clone());
        found
    }

    fn goes_on(&mut self, state: &State, at: usize, out: Out<'_>) {
        let relay = at as u8 + 1;
        let call = match self.stand(&state.relays[at]) {
            Stand::Asks(call) => call,
            Stand::HasEnded(_) => unreachable!("the next round has begun"),
        };
        let mut push = |world: &mut Self, heard, mut to: State, answer| {
            to.relays[at].answers.push(world.answers.number(answer));
            let to = world.next_round(to, at);
            let broken = world.broken_by(state, &to);
            out.push((Event::Calls(relay, call.clone(), heard), broken.map_or(Ok(to), Err)));
        };
        let (to, answer) = self.effect(state, relay, &call);
        push(self, Heard::Answer, to.clone(), answer);
        if let Some(lost) = state.left.lost.checked_sub(1) {
            let left = Budget { lost, ..state.left };
            push(self, Heard::NoReply, State { left, ..to }, Answer::Nothing);
            // A cancel is a look at what there is and then calls for single runs, which hit nothing else.
            if state.late.is_none() && !matches!(call, Call::Cancel(_)) {
                let late = Some((relay, self.late.number(call.clone())));
                push(self, Heard::NothingYet, State { late, left, ..state.clone() }, Answer::Nothing);
            }
        }
    }

    /// A relay whose round has ended begins the next one.
    fn next_round(&mut self, mut state: State, at: usize) -> State {
        if let Stand::HasEnded((mut before, _)) = self.stand(&state.relays[at]) {
            before.in_this_round = 0;
            state.relays[at] = Round { before, answers: Vec::new() };
        }
        state
    }

    /// Leases that run out, and deaths.
    fn relay_fails(&self, state: &State, at: usize, out: Out<'_>) {
        let relay = at as u8 + 1;
        let hand = |state: &mut State, to: u8| {
            let taken = state.items.iter_mut().flatten().filter(|item| item.taken == relay);
            taken.for_each(|item| item.taken = to);
        };
        let holds = state.items.iter().flatten().any(|item| item.taken == relay);
        if let (true, Some(expiries)) = (holds, state.left.expiries.checked_sub(1)) {
            let mut to = State { left: Budget { expiries, ..state.left }, ..state.clone() };
            hand(&mut to, NOBODY);
            out.push((Event::LeasesRunOut(relay), Ok(to)));
        }
        if let (false, Some(deaths)) =
            (state.relays[at] == Round::default(), state.left.deaths.checked_sub(1))
        {
            let mut to = State { left: Budget { deaths, ..state.left }, ..state.clone() };
            hand(&mut to, THE_DEAD);
            to.late = to.late.map(|(of, call)| (if of == relay { THE_DEAD } else { of }, call));
            to.relays[at] = Round::default();
            out.push((Event::Dies(relay), Ok(to)));
        }
    }

    /// What is staged is in one of the two stores, and what was refused stays.
    fn broken_by(&self, before: &State, state: &State) -> Option<String> {
        let runs: Vec<Run> = self.targets.get(state.target).0.runs().collect();
        let find = |what: What| runs.iter().find(|run| run.id == what.id());
        for (what, item) in self.staged.iter().zip(&state.items) {
            let has_arrived = match what {
                What::First | What::Last => find(*what).is_some(),
                What::Refused => false,
                What::Event => runs.iter().any(|run| run.event_id.is_some()),
                What::Cancel => state.was_cancelled,
            };
            if item.is_none() && !has_arrived {
                return Some(format!("{what:?} was removed before the other store had it"));
            }
            if item.is_some_and(|item| item.is_refused) != (*what == What::Refused)
                && item.is_some_and(|item| item.is_refused)
            {
                return Some(format!("{what:?} was set aside, though the other store takes it"));
            }
        }
        if find(What::Refused).is_some() {
            return Some("what is refused has arrived".to_owned());
        }
        if runs.iter().filter(|run| run.event_id.is_some()).count() > 1 {
            return Some("an event has started its job twice".to_owned());
        }
        let state_of = |what| find(what).map(|run| run.state);
        if !before.was_cancelled && state.was_cancelled && state_of(What::First) != Some(RunState::Cancelled)
        {
            return Some("a cancel has overtaken what was staged before it".to_owned());
        }
        if state_of(What::Last) == Some(RunState::Cancelled) {
            return Some("a cancel has hit what was staged after it".to_owned());
        }
        None
    }
}

fn started_by_the_event() -> JobDeclaration {
    JobDeclaration {
        name: "come".to_owned(),
        queue: "default".to_owned(),
        priority: Priority::DEFAULT,
        trigger: Some("come".to_owned()),
        policy: None,
        rules: JobRules::default(),
    }
}

fn place(number: StagedNumber) -> usize {
    number.0 as usize - 1
}

impl Model for World {
    type State = State;
    type Event = Event;

    fn start(&mut self) -> State {
        State {
            items: staging::staged(&self.staged),
            target: 0,
            relays: Default::default(),
            late: None,
            was_cancelled: false,
            left: self.budget,
        }
    }

    fn next(&mut self, state: &State, next: &mut Vec<Next<Self>>) {
        for at in 0..RELAYS {
            self.goes_on(state, at, next);
            self.relay_fails(state, at, next);
        }
        // No relay extends the leases of one that has died.
        if state.items.iter().flatten().any(|item| item.taken == THE_DEAD) {
            let mut to = state.clone();
            let dead = to.items.iter_mut().flatten().filter(|item| item.taken == THE_DEAD);
            dead.for_each(|item| item.taken = NOBODY);
            next.push((Event::LeasesRunOut(THE_DEAD), Ok(to)));
        }
        if let Some((relay, late)) = state.late {
            let call = self.late.get(late).clone();
            let (to, _) = self.effect(&State { late: None, ..state.clone() }, relay, &call);
            let broken = self.broken_by(state, &to);
            next.push((Event::ArrivesLate(call), broken.map_or(Ok(to), Err)));
        }
    }

    fn broken(&mut self, _: &State) -> Option<String> {
        None
    }

    fn is_done(&mut self, state: &State) -> bool {
        state.items.iter().flatten().all(|item| item.is_refused)
    }

    fn happens_by_itself(event: &Event) -> bool {
        match event {
            Event::Calls(_, _, heard) => *heard == Heard::Answer,
            Event::LeasesRunOut(relay) => *relay == THE_DEAD,
            Event::ArrivesLate(_) | Event::Dies(_) => false,
        }
    }

    fn tell(&self, state: &State) -> String {
        let items: Vec<_> = state.items.iter().flatten().map(|item| (item.what, item.taken)).collect();
        format!("staged {items:?}, arrived {:?}, {:?}", self.targets.get(state.target), state.left)
    }
}

//! The search: every state that a model can reach, nearest first.

use std::{
    collections::HashMap,
    fmt::{Debug, Write as _},
    hash::{BuildHasherDefault, Hash, Hasher},
    mem,
    time::Instant,
};

/// What a few processes and what they share can do.
pub(super) trait Model {
    /// Two states are the same exactly where they are equal, so nothing that matters may be left out.
    type State: Clone + Eq + Hash;
    /// One thing that happens, as the story of a failure tells it.
    type Event: Debug;

    fn start(&mut self) -> Self::State;

    /// All that may happen next, in an order that depends on the state alone. An event that breaks a promise leads to what
    /// is broken.
    fn next(&mut self, state: &Self::State, next: &mut Vec<Next<Self>>);

    /// A promise that the state itself breaks.
    fn broken(&mut self, state: &Self::State) -> Option<String>;

    /// Whether everything has ended that was to end. From every state a way leads to such a one, by what happens by itself.
    fn is_done(&mut self, state: &Self::State) -> bool;

    /// Whether an event happens by itself: no fault, and nobody's help.
    fn happens_by_itself(event: &Self::Event) -> bool;

    /// A state, for the story of a failure.
    fn tell(&self, state: &Self::State) -> String;
}

/// An event and where it leads.
pub(super) type Next<M> = (<M as Model>::Event, Result<<M as Model>::State, String>);

/// Explores a model to the end, and says how much there was.
///
/// # Panics
/// Where a promise is broken, or a state has no way to the end; with a shortest story.
pub(super) fn explore<M: Model>(name: &str, model: &mut M) {
    let begun = Instant::now();
    let mut search = Search::<M>::of(model.start());
    let mut depth = 0;
    while !search.layer.is_empty() {
        for (number, state) in mem::take(&mut search.layer) {
            search.expand(name, model, number, &state);
        }
        depth += usize::from(!search.layer.is_empty());
    }
    search.check_that_all_may_end(name, model);
    let (states, events) = (search.came_from.len(), search.events);
    println!("{name}: {states} states, {events} events, {depth} deep, in {:.1?}", begun.elapsed());
}

struct Search<M: Model> {
    numbers: HashMap<M::State, u32, BuildHasherDefault<Mixed>>,
    /// What is to be expanded next.
    layer: Vec<(u32, M::State)>,
    /// From where a state was reached first, and by which of the events there.
    came_from: Vec<(u32, u16)>,
    /// Where what happens by itself leads: from the first state, then from the second.
    leads_to: Vec<u32>,
    /// Where that of each state ends in `leads_to`.
    ends: Vec<usize>,
    events: usize,
    done: Vec<bool>,
}

impl<M: Model> Search<M> {
    fn of(start: M::State) -> Self {
        let mut search = Self {
            numbers: HashMap::default(),
            layer: Vec::new(),
            came_from: Vec::new(),
            leads_to: Vec::new(),
            ends: Vec::new(),
            events: 0,
            done: Vec::new(),
        };
        search.meet(start, (0, 0));
        search
    }

    fn meet(&mut self, state: M::State, from: (u32, u16)) -> u32 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = u32::try_from(self.came_from.len()).expect("fewer than 2^32 states");
        self.came_from.push(from);
        self.numbers.insert(state.clone(), number);
        self.layer.push((number, state));
        number
    }

    fn expand(&mut self, name: &str, model: &mut M, number: u32, state: &M::State) {
        if let Some(broken) = model.broken(state) {
            panic!("{name}: {broken}\n{}", self.story(model, number, None));
        }
        let mut next = Vec::new();
        model.next(state, &mut next);
        self.events += next.len();
        for (place, (event, to)) in (0..).zip(next) {
            match to {
                Ok(to) => {
                    let to = self.meet(to, (number, place));
                    self.leads_to.extend(M::happens_by_itself(&event).then_some(to));
                }
                Err(broken) => panic!("{name}: {broken}\n{}", self.story(model, number, Some(place))),
            }
        }
        self.ends.push(self.leads_to.len());
        self.done.push(model.is_done(state));
    }

    /// Backwards from what is done, until nothing more is found.
    fn check_that_all_may_end(&self, name: &str, model: &mut M) {
        let mut may_end = self.done.clone();
        loop {
            let mut has_changed = false;
            for number in (0..may_end.len()).rev() {
                let begin = if number == 0 { 0 } else { self.ends[number - 1] };
                let leads = || self.leads_to[begin..self.ends[number]].iter();
                if !may_end[number] && leads().any(|to| may_end[*to as usize]) {
                    may_end[number] = true;
                    has_changed = true;
                }
            }
            if !has_changed {
                break;
            }
        }
        if let Some(stuck) = (0..).zip(&may_end).find_map(|(number, may_end)| (!may_end).then_some(number)) {
            panic!("{name}: from here nothing leads to the end\n{}", self.story(model, stuck, None));
        }
    }

    /// What happens on the way to a state, and then one event more.
    fn story(&self, model: &mut M, mut number: u32, last: Option<u16>) -> String {
        let mut places: Vec<u16> = last.into_iter().collect();
        while number > 0 {
            let (from, place) = self.came_from[number as usize];
            places.push(place);
            number = from;
        }
        let mut state = model.start();
        let mut story = format!("     {}\n", model.tell(&state));
        for (step, place) in (1..).zip(places.into_iter().rev()) {
            let mut next = Vec::new();
            model.next(&state, &mut next);
            let (event, to) = next.swap_remove(usize::from(place));
            let _ = writeln!(story, "{step:3}. {event:?}");
            if let Ok(to) = to {
                state = to;
                let _ = writeln!(story, "     {}", model.tell(&state));
            }
        }
        story
    }
}

/// A fast hash; states that it confuses are still told apart, since the map compares them.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

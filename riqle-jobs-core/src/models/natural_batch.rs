//! Natural batching: what waits to be settled or saved goes out together, two flushes at a time, until the worker closes. The code
//! is the real one; a state is repeated from its beginning to see what may happen next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    polled::Polled,
    repeated::Repeated,
    search::{Model, Next, explore},
};
use crate::worker::natural_batch::ByQueue;

const ITEMS: usize = 3;
const MOST: usize = 2;

#[test]
fn what_waits_to_be_written_is_flushed_once_and_nothing_is_left_when_the_worker_closes() {
    explore("natural batch", &mut Batches);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// The next item.
    Comes,
    /// The flushing runs until it waits for something.
    Runs,
    /// The flush that this item is the first of.
    IsFlushed(usize),
    Closes,
}

type State = Repeated<Seen, Event>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen {
    now: Around,
    /// What was around the flushing each time that it ran: all that it knows.
    before: Vec<Around>,
    in_flight: Vec<Vec<usize>>,
    is_woken: bool,
    has_ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Around {
    /// How many items have come, and how many of them were taken before the close.
    came: usize,
    taken: Vec<usize>,
    flushed: BTreeSet<usize>,
    is_closing: bool,
}

struct Batches;

impl Model for Batches {
    type State = State;
    type Event = Event;

    fn start(&mut self) -> State {
        Repeated { seen: Scene::new().seen(), way: Vec::new() }
    }

    fn next(&mut self, state: &State, next: &mut Vec<Next<Self>>) {
        let Seen { now, in_flight, is_woken, has_ended, .. } = &state.seen;
        let mut events: Vec<Event> = in_flight.iter().map(|batch| Event::IsFlushed(batch[0])).collect();
        events.extend((now.came < ITEMS && !has_ended).then_some(Event::Comes));
        events.extend((!now.is_closing).then_some(Event::Closes));
        events.extend(is_woken.then_some(Event::Runs));
        for event in events {
            let way: Vec<Event> = state.way.iter().copied().chain([event]).collect();
            let mut scene = Scene::new();
            way.iter().for_each(|event| scene.happens(*event));
            next.push((event, Ok(Repeated { seen: scene.seen(), way })));
        }
    }

    fn broken(&mut self, state: &State) -> Option<String> {
        let Seen { now, in_flight, is_woken, has_ended, .. } = &state.seen;
        let flushing: Vec<usize> = in_flight.iter().flatten().copied().collect();
        let begun: Vec<usize> = now.flushed.iter().copied().chain(flushing).collect();
        let once: BTreeSet<usize> = begun.iter().copied().collect();
        let waits = now.taken.iter().any(|item| !once.contains(item));
        if once.len() < begun.len() || once.iter().any(|item| !now.taken.contains(item)) {
            return Some("an item is flushed that was not brought, or twice".to_owned());
        }
        if in_flight.len() > 2 || in_flight.iter().any(|batch| batch.is_empty() || batch.len() > MOST) {
            return Some("too much is flushed at once".to_owned());
        }
        if waits && !is_woken && in_flight.len() < 2 {
            return Some("an item waits, though it could be flushed".to_owned());
        }
        (*has_ended && now.flushed.len() < now.taken.len()).then(|| "an item is lost".to_owned())
    }

    fn is_done(&mut self, state: &State) -> bool {
        state.seen.has_ended
    }

    fn happens_by_itself(_: &Event) -> bool {
        true
    }

    fn tell(&self, state: &State) -> String {
        format!("{:?}, in flight {:?}", state.seen.now, state.seen.in_flight)
    }
}

/// The flushing, and what is around it.
struct Scene {
    items: ByQueue<usize>,
    flushing: Polled,
    in_flight: Arc<Mutex<BTreeMap<usize, InFlight>>>,
    closing: CancellationToken,
    around: Around,
    before: Vec<Around>,
}

/// A flush, with how it is told that it has ended.
struct InFlight {
    batch: Vec<usize>,
    ends: oneshot::Sender<()>,
}

impl Scene {
    fn new() -> Self {
        let (in_flight, closing) =
            (Arc::<Mutex<BTreeMap<usize, InFlight>>>::default(), CancellationToken::new());
        let flushes = Arc::clone(&in_flight);
        let flush = move |batch: Vec<usize>| {
            let (ends, ended) = oneshot::channel();
            flushes.lock().unwrap().insert(batch[0], InFlight { batch, ends });
            async move {
                let _ = ended.await;
            }
        };
        let queues = [BTreeSet::from(["queue".to_owned()])];
        let (items, flushing) = ByQueue::new(&queues, MOST, closing.clone(), flush);
        let around = Around { came: 0, taken: Vec::new(), flushed: BTreeSet::new(), is_closing: false };
        Self { items, flushing: Polled::new(flushing), in_flight, closing, around, before: Vec::new() }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Comes => {
                let item = self.around.came;
                let waiting = self.items.of("queue").unwrap();
                if waiting.try_send(item).is_ok() {
                    self.around.taken.push(item);
                }
                self.around.came += 1;
            }
            Event::Runs => {
                self.before.push(self.around.clone());
                self.flushing.runs();
            }
            Event::IsFlushed(first) => {
                let flush = self.in_flight.lock().unwrap().remove(&first).unwrap();
                self.around.flushed.extend(flush.batch);
                let _ = flush.ends.send(());
            }
            Event::Closes => {
                self.closing.cancel();
                self.around.is_closing = true;
            }
        }
    }

    fn seen(&self) -> Seen {
        let in_flight = self.in_flight.lock().unwrap();
        Seen {
            now: self.around.clone(),
            before: self.before.clone(),
            in_flight: in_flight.values().map(|flush| flush.batch.clone()).collect(),
            is_woken: self.flushing.is_woken(),
            has_ended: self.flushing.has_ended(),
        }
    }
}

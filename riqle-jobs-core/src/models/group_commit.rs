//! Group commit: callers that come, give up and are answered, writes that fail in part, altogether or without an answer, and a
//! runtime that ends. The code is the real one; a state is repeated from its beginning to see what may happen next.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use tokio::sync::oneshot::{Receiver, error::TryRecvError};
use uuid::Uuid;

use super::{
    is_large,
    polled::Polled,
    repeated::Repeated,
    search::{Model, Next, explore},
};
use crate::{
    Enqueued, Error, ErrorKind, NewRun, Payload, RunId,
    store::{GroupCommit, Stored},
};

const CALLERS: usize = 3;

#[test]
fn each_caller_of_a_group_commit_is_answered_for_its_own_group_which_is_written_once_or_never() {
    explore("group commit", &mut Callers(if is_large() { CALLERS } else { 2 }));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Comes(usize),
    GivesUp(usize),
    /// The writer runs until it waits for something.
    Writes,
    IsWritten(Outcome),
    /// With the writer, and with whether what was being written is stored.
    RuntimeEnds(bool),
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Stored,
    /// The first group is refused; the others are stored.
    FirstRefused,
    /// Nothing is stored.
    AllRefused,
    Unavailable {
        is_stored: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Caller {
    HasNotCome,
    Waits,
    GaveUp,
    IsAnswered(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Stored,
    Refused,
    /// It may or may not be stored.
    Unsure,
}

type State = Repeated<Seen, Event>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen {
    /// All of the queue: which groups wait, and whether a caller writes.
    queue: String,
    callers: [Caller; CALLERS],
    /// Whether the writer has something to do; nothing where there is none.
    writer: Option<bool>,
    /// What it waits for.
    writing: Option<Vec<usize>>,
    /// Whether what it waited for has come, and it has not run since.
    is_told: bool,
    /// What the writes of the newest writer were, and became: all that its future knows.
    written: Vec<(Vec<usize>, Outcome)>,
    stored: [u8; CALLERS],
    has_runtime_ended: bool,
}

/// So many callers come.
struct Callers(usize);

impl Model for Callers {
    type State = State;
    type Event = Event;

    fn start(&mut self) -> State {
        Repeated { seen: Scene::new().seen(), way: Vec::new() }
    }

    fn next(&mut self, state: &State, next: &mut Vec<Next<Self>>) {
        let seen = &state.seen;
        let mut events: Vec<Event> = Vec::new();
        for (caller, stands) in seen.callers.iter().enumerate().take(self.0) {
            match stands {
                Caller::HasNotCome => events.push(Event::Comes(caller)),
                Caller::Waits => events.push(Event::GivesUp(caller)),
                Caller::GaveUp | Caller::IsAnswered(_) => {}
            }
        }
        if seen.writer == Some(true) {
            events.push(Event::Writes);
        }
        if seen.writing.is_some() && seen.writer == Some(false) {
            use Outcome::{AllRefused, FirstRefused, Stored, Unavailable};
            let lost = [true, false].map(|is_stored| Unavailable { is_stored });
            events.extend([Stored, FirstRefused, AllRefused].into_iter().chain(lost).map(Event::IsWritten));
        }
        if seen.writer.is_some() && !seen.has_runtime_ended {
            events.push(Event::RuntimeEnds(false));
            events.extend(seen.writing.as_ref().map(|_| Event::RuntimeEnds(true)));
        }
        for event in events {
            let way: Vec<Event> = state.way.iter().copied().chain([event]).collect();
            let mut scene = Scene::new();
            let happened = way.iter().try_for_each(|event| scene.happens(*event));
            next.push((event, happened.map(|()| Repeated { seen: scene.seen(), way })));
        }
    }

    fn broken(&mut self, state: &State) -> Option<String> {
        for (caller, stands) in state.seen.callers.iter().enumerate() {
            let times = state.seen.stored[caller];
            let broken = match stands {
                Caller::IsAnswered(Answer::Stored) => times != 1,
                Caller::IsAnswered(Answer::Refused) | Caller::HasNotCome => times != 0,
                _ => times > 1,
            };
            if broken {
                return Some(format!("caller {caller} {stands:?}, and its group is stored {times} times"));
            }
        }
        None
    }

    fn is_done(&mut self, state: &State) -> bool {
        let is_over = |caller: &Caller| matches!(caller, Caller::GaveUp | Caller::IsAnswered(_));
        state.seen.callers.iter().take(self.0).all(is_over) && state.seen.writer.is_none()
    }

    fn happens_by_itself(event: &Event) -> bool {
        !matches!(event, Event::GivesUp(_) | Event::RuntimeEnds(_))
    }

    fn tell(&self, state: &State) -> String {
        format!("{:?}", state.seen)
    }
}

type Answered = Receiver<Result<Vec<Enqueued>, Error>>;
type Write = Pin<Box<dyn Future<Output = Stored>>>;

/// The queue with its callers.
struct Scene {
    groups: GroupCommit,
    callers: [Option<Answered>; CALLERS],
    stands: [Caller; CALLERS],
    writer: Option<Polled>,
    desk: Arc<Mutex<Desk>>,
    written: Vec<(Vec<usize>, Outcome)>,
    stored: [u8; CALLERS],
    has_runtime_ended: bool,
}

/// What is being written, and what it was answered.
#[derive(Default)]
struct Desk {
    writing: Option<Vec<usize>>,
    answer: Option<Stored>,
}

impl Scene {
    fn new() -> Self {
        Self {
            // Two fit into a write.
            groups: GroupCommit::of_at_most(2),
            callers: Default::default(),
            stands: [Caller::HasNotCome; CALLERS],
            writer: None,
            desk: Arc::default(),
            written: Vec::new(),
            stored: [0; CALLERS],
            has_runtime_ended: false,
        }
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Comes(caller) => {
                let (answered, begins) = self.groups.join(vec![run(caller)]);
                self.callers[caller] = Some(answered);
                self.stands[caller] = Caller::Waits;
                if let Some(writing) = begins {
                    if self.writer.is_some() {
                        return Err("two callers write at once".to_owned());
                    }
                    self.written.clear();
                    self.writer = Some(Polled::new(writing.write_all(write(&self.desk))));
                }
            }
            Event::GivesUp(caller) => {
                self.callers[caller] = None;
                self.stands[caller] = Caller::GaveUp;
            }
            Event::Writes => {
                self.writer.as_mut().into_iter().for_each(Polled::runs);
                self.writer.take_if(|writer| writer.has_ended());
            }
            Event::IsWritten(outcome) => {
                let writing = self.desk.lock().unwrap().writing.take().unwrap_or_default();
                self.store(&writing, outcome);
                self.desk.lock().unwrap().answer = Some(outcome.answer(&writing));
                self.written.push((writing, outcome));
                self.writer.as_mut().into_iter().for_each(Polled::wakes);
            }
            Event::RuntimeEnds(is_stored) => {
                let desk = std::mem::take(&mut *self.desk.lock().unwrap());
                self.store(&desk.writing.unwrap_or_default(), Outcome::Unavailable { is_stored });
                self.writer = None;
                self.has_runtime_ended = true;
            }
        }
        self.hear()
    }

    fn store(&mut self, writing: &[usize], outcome: Outcome) {
        let stored = match outcome {
            Outcome::Stored | Outcome::Unavailable { is_stored: true } => writing,
            Outcome::FirstRefused => &writing[1..],
            Outcome::AllRefused | Outcome::Unavailable { is_stored: false } => &[],
        };
        stored.iter().for_each(|caller| self.stored[*caller] += 1);
    }

    /// What the callers hear.
    fn hear(&mut self) -> Result<(), String> {
        for (caller, answered) in self.callers.iter_mut().enumerate() {
            let answer = match answered.as_mut().map(Receiver::try_recv) {
                None | Some(Err(TryRecvError::Empty)) => continue,
                Some(Ok(Ok(stored))) if stored == [Enqueued::New(run(caller).id)] => Answer::Stored,
                Some(Ok(Ok(stored))) => return Err(format!("caller {caller} is answered {stored:?}")),
                Some(Ok(Err(error))) if error.kind() == ErrorKind::Rejected => Answer::Refused,
                Some(Ok(Err(_)) | Err(TryRecvError::Closed)) => Answer::Unsure,
            };
            self.stands[caller] = Caller::IsAnswered(answer);
            *answered = None;
        }
        Ok(())
    }

    fn seen(&self) -> Seen {
        let desk = self.desk.lock().unwrap();
        Seen {
            queue: self.groups.told(),
            callers: self.stands,
            writer: self.writer.as_ref().map(Polled::is_woken),
            writing: desk.writing.clone(),
            is_told: desk.answer.is_some(),
            written: self.written.clone(),
            stored: self.stored,
            has_runtime_ended: self.has_runtime_ended,
        }
    }
}

impl Outcome {
    fn answer(self, writing: &[usize]) -> Stored {
        let refused = |kind| Error::new(kind, "enqueue", "refused");
        let stored = |caller: &usize| Ok(vec![Enqueued::New(run(*caller).id)]);
        match self {
            Outcome::Stored => Ok(writing.iter().map(stored).collect()),
            Outcome::FirstRefused => {
                let first = std::iter::once(Err(refused(ErrorKind::Rejected)));
                Ok(first.chain(writing[1..].iter().map(stored)).collect())
            }
            Outcome::AllRefused => Err(refused(ErrorKind::Rejected)),
            Outcome::Unavailable { .. } => Err(refused(ErrorKind::Unavailable)),
        }
    }
}

/// Writes by asking at the desk.
fn write(desk: &Arc<Mutex<Desk>>) -> impl Fn(Arc<Vec<Vec<NewRun>>>) -> Write + use<> {
    let desk = Arc::clone(desk);
    move |groups| {
        let desk = Arc::clone(&desk);
        let mut has_asked = false;
        Box::pin(poll_fn(move |_| {
            let mut desk = desk.lock().unwrap();
            if !std::mem::replace(&mut has_asked, true) {
                desk.writing = Some(groups.iter().flatten().map(caller).collect());
            }
            desk.answer.take().map_or(Poll::Pending, Poll::Ready)
        }))
    }
}

fn run(caller: usize) -> NewRun {
    let id = RunId::from_uuid(Uuid::from_u128(caller as u128));
    NewRun { id, ..NewRun::named("job", Payload::from_json_text("1")) }
}

fn caller(run: &NewRun) -> usize {
    run.id.as_uuid().as_u128() as usize
}

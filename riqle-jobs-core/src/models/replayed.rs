//! Asynchronous code of the engine as a part of a model. A process is the list of the answers that it has had: to see what it does
//! next it runs again from its beginning, and gets them one by one.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    sync::{Arc, Mutex},
};

use tokio::{runtime::Runtime, sync::Notify};

/// The answers that a process gets, and the call that it makes after the last of them.
pub(super) struct Script<C, A> {
    answers: Mutex<VecDeque<A>>,
    call: Mutex<Option<C>>,
    asks: Notify,
}

/// Where a process is after the answers that it has had.
#[derive(Clone, Debug)]
pub(super) enum Stand<C, T> {
    Asks(C),
    HasEnded(T),
}

impl<C, A> Script<C, A> {
    /// What a call is answered. If it is not answered yet, the process goes no further.
    pub(super) async fn ask(&self, call: C) -> A {
        if let Some(answer) = self.next_answer() {
            return answer;
        }
        *self.call.lock().unwrap() = Some(call);
        self.asks.notify_one();
        std::future::pending().await
    }

    fn next_answer(&self) -> Option<A> {
        self.answers.lock().unwrap().pop_front()
    }

    async fn call(&self) -> C {
        self.asks.notified().await;
        self.call.lock().unwrap().take().expect("it was told of a call")
    }
}

/// Runs processes; one that sleeps between two tries sleeps no time.
pub(super) struct Replays(Runtime);

impl Replays {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        Self(runtime.expect("a runtime of one thread"))
    }

    pub(super) fn run<T>(&self, what: impl Future<Output = T>) -> T {
        self.0.block_on(what)
    }

    /// Where a process is that has had these answers. It makes one call at a time.
    pub(super) fn stand<C, A, T, F: Future<Output = T>>(
        &self,
        answers: impl IntoIterator<Item = A>,
        process: impl FnOnce(Arc<Script<C, A>>) -> F,
    ) -> Stand<C, T> {
        let answers = Mutex::new(answers.into_iter().collect());
        let script = Arc::new(Script { answers, call: Mutex::default(), asks: Notify::new() });
        self.0.block_on(async {
            tokio::select! {
                biased;
                ended = process(Arc::clone(&script)) => Stand::HasEnded(ended),
                call = script.call() => Stand::Asks(call),
            }
        })
    }
}

/// Values by number. Two are the same where their texts are.
pub(super) struct Numbered<T> {
    values: Vec<T>,
    numbers: HashMap<String, u32>,
}

impl<T: Debug> Numbered<T> {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new() }
    }

    pub(super) fn number(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.values.len()).expect("fewer than 2^32 values");
        let number = *self.numbers.entry(format!("{value:?}")).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        number
    }

    pub(super) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

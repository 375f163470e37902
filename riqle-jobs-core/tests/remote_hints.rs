//! Hints between processes, over a channel in memory.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use riqle_jobs_core::{
    Cause, Hint, WakeUps,
    store::rules::{HintChannel, HintListener, RemoteHints},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};

/// A server that hears all and answers all.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What was published, call by call.
    published: Vec<Vec<String>>,
    listeners: Vec<UnboundedSender<String>>,
    /// Of each call of `listen`.
    turns: Vec<usize>,
}

impl Server {
    fn published(&self) -> Vec<usize> {
        self.0.lock().unwrap().published.iter().map(Vec::len).collect()
    }

    fn break_off(&self) {
        self.0.lock().unwrap().listeners.clear();
    }

    fn turns(&self) -> Vec<usize> {
        self.0.lock().unwrap().turns.clone()
    }

    fn is_listened_to(&self) -> bool {
        self.0.lock().unwrap().listeners.iter().any(|listener| !listener.is_closed())
    }
}

impl HintChannel for Server {
    type Listener = Listener;

    async fn publish(&self, messages: Vec<String>) -> Result<(), Cause> {
        let mut state = self.0.lock().unwrap();
        for message in &messages {
            state.listeners.retain(|listener| listener.send(message.clone()).is_ok());
        }
        state.published.push(messages);
        Ok(())
    }

    async fn listen(&self, turn: usize) -> Result<Listener, Cause> {
        let (sender, messages) = unbounded_channel();
        let mut state = self.0.lock().unwrap();
        state.turns.push(turn);
        state.listeners.push(sender);
        Ok(Listener { messages, server: self.clone() })
    }
}

struct Listener {
    messages: UnboundedReceiver<String>,
    server: Server,
}

impl HintListener for Listener {
    async fn next(&mut self) -> Result<String, Cause> {
        self.messages.recv().await.ok_or_else(|| "broken off".into())
    }

    /// The first connection turns out to be dead.
    async fn check(&mut self) -> Result<(), Cause> {
        if self.server.turns().len() == 1 { Err("dead".into()) } else { Ok(()) }
    }
}

fn due(queue: &str) -> Hint {
    Hint::Due(Some(queue.to_owned()))
}

async fn next(hints: &mut WakeUps) -> Option<Hint> {
    timeout(Duration::from_secs(60), hints.next()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_message_is_in_flight_goes_out_together_once_each() {
    let server = Server::default();
    let hints = RemoteHints::new(Some(server.clone()));

    for queue in ["a", "b", "a", "a"] {
        hints.send(due(queue));
    }
    sleep(Duration::from_millis(1)).await;
    hints.send(due("a"));
    hints.send(Hint::Staged);
    hints.send(Hint::Staged);
    sleep(Duration::from_secs(1)).await;
    hints.send(due("a"));
    sleep(Duration::from_secs(1)).await;

    assert_eq!(server.published(), [2, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn each_process_hears_a_hint_once() {
    let server = Server::default();
    let (here, there) = (RemoteHints::new(Some(server.clone())), RemoteHints::new(Some(server)));
    let (mut heard_here, mut heard_there) = (here.wake_ups(), there.wake_ups());
    sleep(Duration::from_millis(1)).await;

    here.send(due("a"));

    assert_eq!(next(&mut heard_here).await, Some(due("a")));
    assert_eq!(next(&mut heard_there).await, Some(due("a")));
    sleep(Duration::from_secs(1)).await;
    assert_eq!((heard_here.try_next(), heard_there.try_next()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_off_or_dies_in_silence_is_made_again_and_stands_for_what_was_missed() {
    let server = Server::default();
    let hints = RemoteHints::new(Some(server.clone()));
    let mut heard = hints.wake_ups();

    assert_eq!(next(&mut heard).await, Some(Hint::Due(None)), "after the silence");
    server.break_off();
    assert_eq!(next(&mut heard).await, Some(Hint::Due(None)), "after the break");
    assert_eq!(next(&mut heard).await, None, "the check succeeds");

    assert_eq!(server.turns(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn one_task_listens_and_it_ends_with_the_last_handle() {
    let server = Server::default();
    let hints = RemoteHints::new(Some(server.clone()));
    let _both = [hints.wake_ups(), hints.wake_ups()];
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.turns(), [0]);

    drop(hints);
    sleep(Duration::from_secs(1)).await;

    assert!(!server.is_listened_to());
}

#[tokio::test]
async fn without_a_channel_hints_stay_in_the_process() {
    let hints = RemoteHints::<Server>::new(None);
    let mut heard = hints.wake_ups();

    hints.wake(vec![Hint::Staged]).fire();

    assert_eq!(heard.try_next(), Some(Hint::Staged));
}

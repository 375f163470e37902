//! Hints: at once to the workers of this process, by PUBLISH to those of others. Never more than one is under way, and
//! what comes meanwhile goes out together. In a cluster a message comes to every node, so any will do.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use redis::{Client, RedisResult, cmd};
use riqle_jobs_core::{Hint, Jitter, RetryPolicy, WakeSender, WakeUps};
use tokio::{sync::Notify, time::timeout};
use uuid::Uuid;

use crate::{keys::Keys, server::Server};

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the listening connection may be silent before it is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(10);
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) struct Wakes {
    local: WakeSender,
    /// Tells this handle's own messages from others'.
    process: Uuid,
    channel: String,
    prefix: String,
    told_by: Server,
    waiting: Mutex<Waiting>,
    listens: AtomicBool,
    closed: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    messages: Vec<String>,
    /// Whether a task is sending them.
    is_sent: bool,
}

impl Wakes {
    pub(crate) fn new(server: &Server, keys: &Keys) -> Arc<Self> {
        Arc::new(Self {
            local: WakeSender::default(),
            process: Uuid::now_v7(),
            channel: keys.channel(),
            prefix: keys.registry(),
            told_by: server.another(),
            waiting: Mutex::default(),
            listens: AtomicBool::new(false),
            closed: Arc::new(Notify::new()),
        })
    }

    /// Tells the workers of this process, and in a moment those of others.
    pub(crate) fn send(self: &Arc<Self>, hint: Hint) {
        let message = hint.message(self.process);
        self.local.send(hint);
        let mut waiting = self.waiting();
        if !waiting.messages.contains(&message) {
            waiting.messages.push(message);
        }
        // Without a runtime it can't be sent, and polling finds the run.
        if !waiting.is_sent
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            waiting.is_sent = true;
            runtime.spawn(Arc::clone(self).tell_others());
        }
    }

    /// Hints from now on; the first call starts listening to other processes.
    pub(crate) fn wake_ups(self: &Arc<Self>) -> WakeUps {
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.listens.swap(true, Ordering::AcqRel)
        {
            let (listening, closed) = (Listening(Arc::downgrade(self)), Arc::clone(&self.closed));
            runtime.spawn(async move {
                tokio::select! {
                    () = listening.run() => {}
                    () = closed.notified() => {}
                }
            });
        }
        self.local.wake_ups()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell_others(self: Arc<Self>) {
        let mut sending = Sending { wakes: &self, has_ended: false };
        loop {
            let messages = {
                let mut waiting = self.waiting();
                let messages = mem::take(&mut waiting.messages);
                waiting.is_sent = !messages.is_empty();
                messages
            };
            if messages.is_empty() {
                sending.has_ended = true;
                return;
            }
            let publish = |message: String| cmd("PUBLISH").arg(&self.channel).arg(message).take();
            let commands: Vec<_> = messages.into_iter().map(publish).collect();
            let told = self.told_by.ask("wake", &self.prefix, &commands);
            if !matches!(timeout(ANSWERED_WITHIN, told).await, Ok(Ok(_))) {
                tracing::debug!("a message was lost; polling will find its run");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.closed.notify_one();
    }
}

/// Lets the next hint send if a task ends early, with its runtime.
struct Sending<'a> {
    wakes: &'a Wakes,
    has_ended: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        // Once it has ended another task may be sending.
        if !self.has_ended {
            self.wakes.waiting().is_sent = false;
        }
    }
}

/// The listening connection, which comes back by itself and ends with the last handle, or with its runtime: then the next
/// who waits for hints listens on his own.
struct Listening(Weak<Wakes>);

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(wakes) = self.0.upgrade() {
            wakes.listens.store(false, Ordering::Release);
        }
    }
}

impl Listening {
    async fn run(&self) {
        let waits = RetryPolicy::exponential(Duration::from_millis(100))
            .longest(Duration::from_secs(10))
            .jitter(Jitter::Full);
        let mut failures = 0_u32;
        let mut turn = 0;
        while let Some((process, channel, client)) = self.settings(turn) {
            let mut was_heard = false;
            match self.listen(process, &channel, &client, failures > 0, &mut was_heard).await {
                Ok(()) => return,
                Err(error) => {
                    failures = if was_heard { 1 } else { failures.saturating_add(1) };
                    turn += 1;
                    tracing::warn!(%error, "the listening connection was lost; reconnecting, polling continues");
                }
            }
            tokio::time::sleep(waits.delay_after(failures, process.as_u64_pair().1)).await;
        }
    }

    /// Of a cluster another node each time.
    fn settings(&self, turn: usize) -> Option<(Uuid, String, Client)> {
        let wakes = self.0.upgrade()?;
        let nodes = wakes.told_by.place().nodes();
        Some((wakes.process, wakes.channel.clone(), nodes.get(turn % nodes.len().max(1))?.clone()))
    }

    async fn listen(
        &self,
        process: Uuid,
        channel: &str,
        client: &Client,
        is_back: bool,
        was_heard: &mut bool,
    ) -> RedisResult<()> {
        let mut listener = answered(client.get_async_pubsub()).await?;
        answered(listener.subscribe(channel)).await?;
        *was_heard = true;
        if is_back {
            // Whatever was told meanwhile is lost.
            self.tell(Hint::Due(None));
        }
        let (mut questions, mut messages) = listener.split();
        loop {
            match timeout(SILENCE, messages.next()).await {
                Ok(Some(message)) => {
                    let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
                    if let Some(hint) = Hint::from_message(process, &text)
                        && !self.tell(hint)
                    {
                        return Ok(());
                    }
                }
                Ok(None) => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
                Err(_) => answered(questions.ping::<redis::Value>()).await.map(drop)?,
            }
        }
    }

    /// Answers whether anybody is left to be told.
    fn tell(&self, hint: Hint) -> bool {
        self.0.upgrade().map(|wakes| wakes.local.send(hint)).is_some()
    }
}

async fn answered<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match timeout(ANSWERED_WITHIN, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

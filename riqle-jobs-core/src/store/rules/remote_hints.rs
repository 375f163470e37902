//! Hints between the processes of a store: gathered on the way out, heard on a connection that comes back by itself.

use std::{
    collections::HashSet,
    convert::Infallible,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Mutex as Turns, OwnedMutexGuard},
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{Cause, Hint, Wake, WakeSender, WakeUps, backoff::Backoff, store::Repeated};

/// Between two calls of [`HintChannel::publish`]; what comes meanwhile goes out together.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the listening connection may be silent before it is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(10);
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// A channel of the store's server, on which every process that listens hears what any process publishes.
pub trait HintChannel: Send + Sync + 'static {
    /// A connection that listens.
    type Listener: HintListener;

    /// Publishes short texts, each once. Those that are lost are not repeated: polling finds what they told of.
    fn publish(&self, messages: Vec<String>) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Listens to what is published from now on. `turn` is 0 at first and grows with each connection that broke off, so
    /// that a cluster can be asked node by node.
    fn listen(&self, turn: usize) -> impl Future<Output = Result<Self::Listener, Cause>> + Send;
}

/// A connection that listens to a [`HintChannel`].
pub trait HintListener: Send {
    /// The next message. Dropped half way, it loses none.
    fn next(&mut self) -> impl Future<Output = Result<String, Cause>> + Send;

    /// Asks the server, after a silence, and fails where nothing will be heard on this connection.
    fn check(&mut self) -> impl Future<Output = Result<(), Cause>> + Send;
}

/// Sends hints to the workers of this process at once, and in a moment to those of others. Never more than one message
/// is in flight, and what comes meanwhile goes out together, once each.
pub struct RemoteHints<C> {
    local: WakeSender,
    /// Tells this handle's own messages from others'.
    process: Uuid,
    channel: Option<Arc<C>>,
    waiting: Mutex<HashSet<Hint>>,
    /// Held by the task that publishes.
    publishing: Arc<Turns<()>>,
    /// Held by the task that listens.
    listening: Arc<Turns<()>>,
    /// Ends that task with the last handle.
    closed: DropGuard,
}

impl<C: HintChannel> RemoteHints<C> {
    /// What carries them, if they leave this process.
    pub fn channel(&self) -> Option<&Arc<C>> {
        self.channel.as_ref()
    }

    /// Without a channel, hints stay in this process.
    pub fn new(channel: Option<C>) -> Arc<Self> {
        Arc::new(Self {
            local: WakeSender::default(),
            process: Uuid::now_v7(),
            channel: channel.map(Arc::new),
            waiting: Mutex::default(),
            publishing: Arc::default(),
            listening: Arc::default(),
            closed: CancellationToken::new().drop_guard(),
        })
    }

    /// Tells all workers.
    pub fn send(self: &Arc<Self>, hint: Hint) {
        if let Some(channel) = &self.channel {
            let mut waiting = self.waiting();
            waiting.insert(hint.clone());
            // Without a runtime nothing can be published, and polling finds the run.
            if let Ok(runtime) = Handle::try_current()
                && let Ok(turn) = Arc::clone(&self.publishing).try_lock_owned()
            {
                runtime.spawn(Arc::clone(self).publish(Arc::clone(channel), turn));
            }
        }
        self.local.send(hint);
    }

    /// Hints to be fired after the caller's commit.
    pub fn wake(self: &Arc<Self>, hints: Vec<Hint>) -> Wake {
        let all = Arc::clone(self);
        Wake::by(move || hints.iter().for_each(|hint| all.send(hint.clone())))
    }

    /// Hints from now on; where this process does not listen to others yet, a call begins to.
    pub fn wake_ups(&self) -> WakeUps {
        if let Some(channel) = &self.channel
            && let Ok(runtime) = Handle::try_current()
            && let Ok(turn) = Arc::clone(&self.listening).try_lock_owned()
        {
            let (channel, process, local) = (Arc::clone(channel), self.process, self.local.clone());
            let closed = self.closed.token().clone();
            runtime.spawn(async move {
                closed.run_until_cancelled(listen(&*channel, process, &local)).await;
                drop(turn);
            });
        }
        self.local.wake_ups()
    }

    async fn publish(self: Arc<Self>, channel: Arc<C>, turn: OwnedMutexGuard<()>) {
        loop {
            let hints = {
                let mut waiting = self.waiting();
                if waiting.is_empty() {
                    // While nothing can be added: what comes next finds the turn free.
                    drop(turn);
                    return;
                }
                mem::take(&mut *waiting)
            };
            let messages = hints.iter().map(|hint| hint.message(self.process)).collect();
            if let Err(error) = answered(ANSWERED_WITHIN, channel.publish(messages)).await {
                tracing::debug!(%error, "a hint was lost; polling will find its run");
            }
            sleep(PAUSE).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<Hint>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(channel: &impl HintChannel, process: Uuid, local: &WakeSender) {
    let mut backoff = Backoff::new(process.as_u64_pair().1);
    let mut turn = 0;
    let lost = Repeated::new();
    loop {
        let Err(error) = listen_once(channel, turn, process, local, &mut backoff, &lost).await;
        if let Some(times) = lost.happened() {
            tracing::warn!(%error, times, "can't listen for hints; will retry, and poll meanwhile");
        }
        turn += 1;
        backoff.wait().await;
    }
}

async fn listen_once(
    channel: &impl HintChannel,
    turn: usize,
    process: Uuid,
    local: &WakeSender,
    backoff: &mut Backoff,
    lost: &Repeated,
) -> Result<Infallible, Cause> {
    let mut listener = answered(LISTENS_WITHIN, channel.listen(turn)).await?;
    if turn > 0 {
        // Whatever was told meanwhile is lost.
        local.send(Hint::Due(None));
    }
    loop {
        match timeout(SILENCE, listener.next()).await {
            Ok(message) => {
                if let Some(hint) = Hint::from_message(process, &message?) {
                    local.send(hint);
                }
            }
            Err(_) => answered(ANSWERED_WITHIN, listener.check()).await?,
        }
        backoff.reset();
        if let Some(after) = lost.ended() {
            tracing::info!(?after, "can listen for hints again");
        }
    }
}

async fn answered<T>(within: Duration, answer: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    timeout(within, answer).await.unwrap_or_else(|_| Err(format!("no answer within {within:?}").into()))
}

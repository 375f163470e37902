use std::{fmt, sync::Arc};

use tokio::sync::broadcast;

use crate::RunId;

/// A hint from a store to the workers and relays of its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something became due in this queue, or may have in any.
    Due(Option<String>),
    /// This run was cancelled while it ran.
    Cancelled(RunId),
    /// Something was staged for a relay.
    Staged,
}

/// Sends hints; a store holds one and clones share it.
#[derive(Clone, Debug)]
pub struct WakeSender {
    hints: broadcast::Sender<Hint>,
}

impl Default for WakeSender {
    fn default() -> Self {
        Self { hints: broadcast::Sender::new(256) }
    }
}

impl WakeSender {
    /// Tells every worker of this process. Nobody listening is fine.
    pub fn send(&self, hint: Hint) {
        let _ = self.hints.send(hint);
    }

    /// A receiver for what is sent from now on.
    pub fn wake_ups(&self) -> WakeUps {
        WakeUps { hints: self.hints.subscribe() }
    }

    /// A hint to be fired later, after a commit.
    pub fn wake(&self, hint: Hint) -> Wake {
        let sender = self.clone();
        Wake::by(move || sender.send(hint.clone()))
    }
}

/// Receives hints.
#[derive(Debug)]
pub struct WakeUps {
    hints: broadcast::Receiver<Hint>,
}

impl WakeUps {
    /// The next hint; where some were missed, one that stands for all.
    pub async fn next(&mut self) -> Hint {
        match self.hints.recv().await {
            Ok(hint) => hint,
            Err(broadcast::error::RecvError::Lagged(_)) => Hint::Due(None),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// The next hint that is there already.
    pub fn try_next(&mut self) -> Option<Hint> {
        match self.hints.try_recv() {
            Ok(hint) => Some(hint),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Hint::Due(None)),
            Err(_) => None,
        }
    }
}

/// To be fired once the caller's transaction has committed. Forgotten, polling finds the run within a second.
#[derive(Clone)]
#[must_use = "fire it after the commit, else the run waits for the next poll"]
pub struct Wake {
    send: Arc<dyn Fn() + Send + Sync>,
}

impl Wake {
    /// A wake that calls `send`: for stores that tell other processes, too.
    pub fn by(send: impl Fn() + Send + Sync + 'static) -> Self {
        Self { send: Arc::new(send) }
    }

    /// Wakes the workers.
    pub fn fire(self) {
        (self.send)();
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").finish_non_exhaustive()
    }
}

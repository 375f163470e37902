//! Hints from a store to the workers and relays of its process, and how processes word them.

use std::{fmt, sync::Arc};

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::{NewRun, RunId};

/// A hint from a store to the workers and relays of its process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// Something became due in this queue, or may have in any.
    Due(Option<String>),
    /// This run was cancelled while it ran.
    Cancelled(RunId),
    /// Something was staged for a relay.
    Staged,
    /// A schedule of this queue, or of any, may be due sooner than it was.
    Schedules(Option<String>),
}

impl Hint {
    /// That runs became due in their queues.
    pub fn due(runs: &[NewRun]) -> Hint {
        let queue = runs.first().map(|run| &run.queue);
        Hint::Due(queue.filter(|queue| runs.iter().all(|run| run.queue == **queue)).cloned())
    }

    /// As one process tells the others, with the id of the sender.
    pub(super) fn message(&self, process: Uuid) -> String {
        match self {
            Hint::Due(Some(queue)) => format!("{process} due {queue}"),
            Hint::Due(None) => format!("{process} due"),
            Hint::Cancelled(run) => format!("{process} cancelled {run}"),
            Hint::Staged => format!("{process} staged"),
            Hint::Schedules(Some(queue)) => format!("{process} schedules {queue}"),
            Hint::Schedules(None) => format!("{process} schedules"),
        }
    }

    /// What another process tells; nothing if `own` sent it. An unknown message means: poll.
    pub(super) fn from_message(own: Uuid, message: &str) -> Option<Hint> {
        let mut words = message.splitn(3, ' ');
        let process: Option<Uuid> = words.next().and_then(|word| word.parse().ok());
        if process == Some(own) {
            return None;
        }
        Some(match (words.next(), words.next()) {
            (Some("staged"), None) => Hint::Staged,
            (Some("schedules"), queue) => Hint::Schedules(queue.map(str::to_owned)),
            (Some("due"), Some(queue)) => Hint::Due(Some(queue.to_owned())),
            (Some("cancelled"), Some(run)) => run.parse().map_or(Hint::Due(None), Hint::Cancelled),
            _ => Hint::Due(None),
        })
    }
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
    /// Tells every worker of this process. It is fine if none listens.
    pub fn send(&self, hint: Hint) {
        let _ = self.hints.send(hint);
    }

    /// A receiver for what is sent from now on.
    pub fn wake_ups(&self) -> WakeUps {
        WakeUps { hints: self.hints.subscribe() }
    }

    /// A hint to fire later, after a commit.
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
    /// The next hint; if some were missed, one that covers them all.
    pub async fn next(&mut self) -> Hint {
        match self.hints.recv().await {
            Ok(hint) => hint,
            Err(broadcast::error::RecvError::Lagged(_)) => Hint::Due(None),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// The next hint that is already there.
    pub fn try_next(&mut self) -> Option<Hint> {
        match self.hints.try_recv() {
            Ok(hint) => Some(hint),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Hint::Due(None)),
            Err(_) => None,
        }
    }
}

/// Fire it once the caller's transaction has committed. If forgotten, polling finds the run within a second.
#[derive(Clone)]
#[must_use = "fire it after the commit, or the run waits for the next poll"]
pub struct Wake {
    send: Arc<dyn Fn() + Send + Sync>,
}

impl Wake {
    /// A wake that calls `send`: for stores that also tell other processes.
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

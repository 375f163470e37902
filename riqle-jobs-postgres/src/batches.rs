//! Stores together what callers enqueue at once, and waits for unique keys that others hold.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use riqle_jobs_core::{
    Enqueued, Error, NewRun,
    store::{GroupCommit, Stored},
};
use tokio::sync::Semaphore;

use crate::{
    Postgres,
    enqueue::{Within, enqueue, is_one_statement},
    error::HeldUp,
    work::Work,
};

/// How long a unique key, or an event, that an open transaction has taken is waited for.
pub(crate) const FREE_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at it; no connection is held meanwhile.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// In a transaction: waits only a moment for locks of others.
pub(crate) const WAIT_A_MOMENT: &str = "SET LOCAL lock_timeout = '250ms'";
/// For a part of a list, of which another transaction is known to hold something by then, and that is looked at again.
pub(crate) const HARDLY_WAIT: &str = "SET LOCAL lock_timeout = '50ms'";
/// How many groups, or parts of lists of events, are stored alone at the same time.
const ALONE: usize = 2;

/// What concurrent callers enqueue, in flight. Groups with unique keys, which open transactions may hold, go
/// apart from those without.
#[derive(Debug)]
pub(crate) struct Batches {
    plain: GroupCommit,
    keyed: GroupCommit,
    pub(crate) alone: Semaphore,
}

impl Default for Batches {
    fn default() -> Self {
        Self { plain: GroupCommit::default(), keyed: GroupCommit::default(), alone: Semaphore::new(ALONE) }
    }
}

impl Postgres {
    /// Stores a group, together with those of other callers.
    pub(crate) async fn enqueue_group(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let Batches { plain, keyed, .. } = &self.shared.batches;
        let store = self.clone();
        let write = move |groups: Arc<Vec<Vec<NewRun>>>| {
            let store = store.clone();
            async move { store.store_groups(&groups).await }
        };
        if runs.iter().all(|run| !run.has_key()) {
            return plain.enqueue(runs, write).await;
        }
        match keyed.enqueue(runs.clone(), write).await {
            Err(error) if HeldUp::is_cause_of(&error) => self.store_alone(runs).await,
            stored => stored,
        }
    }

    /// Waits for a unique key that an open transaction has taken.
    async fn store_alone(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let (begun, groups) = (Instant::now(), vec![runs]);
        loop {
            let stored = {
                // Never closed.
                let _turn = self.shared.batches.alone.acquire().await;
                self.store_groups(&groups).await?.pop().unwrap_or(Ok(Vec::new()))
            };
            match stored {
                Err(error) if HeldUp::is_cause_of(&error) && begun.elapsed() < FREE_WITHIN => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                stored => return stored,
            }
        }
    }

    async fn store_groups(&self, groups: &Vec<Vec<NewRun>>) -> Stored {
        let stored = if !is_one_statement(groups) {
            self.change("enqueue", groups, |work, groups| Box::pin(store_together(work, groups))).await
        } else if self.shared.keeps_succeeded {
            self.ask("enqueue", groups, |work, groups| Box::pin(store_all(work, groups))).await
        } else {
            // What has ended meanwhile is not known any more and would run a second time.
            self.ask_once("enqueue", groups, |work, groups| Box::pin(store_all(work, groups))).await
        };
        match stored {
            // One of them waits, and nothing of any is stored: each by itself, then.
            Err(error) if HeldUp::is_cause_of(&error) => {
                Ok(groups.iter().map(|_| Err(HeldUp.into())).collect())
            }
            stored => stored,
        }
    }
}

/// In a transaction of its own, which waits only a moment for a unique key that another caller takes.
async fn store_together(
    work: &mut Work<'_>,
    groups: &[Vec<NewRun>],
) -> crate::error::Result<Vec<Result<Vec<Enqueued>, Error>>> {
    work.query(WAIT_A_MOMENT).execute(&mut *work.connection).await?;
    store_all(work, groups).await
}

async fn store_all(
    work: &mut Work<'_>,
    groups: &[Vec<NewRun>],
) -> crate::error::Result<Vec<Result<Vec<Enqueued>, Error>>> {
    let groups: Vec<&[NewRun]> = groups.iter().map(Vec::as_slice).collect();
    enqueue(work, Within::Ours, &groups).await
}

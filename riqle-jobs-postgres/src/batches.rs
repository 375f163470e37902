use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use riqle_jobs_core::{Enqueued, Error, ErrorKind, NewRun};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    Postgres,
    enqueue::{Within, enqueue, is_one_statement},
    error::{copy_of, waited_for_a_lock},
    work::Work,
};

/// Most runs that share a commit, where they come from several callers.
const MOST_AT_ONCE: usize = 2_000;
/// How long a group waits for a unique key that an open transaction has taken.
const KEY_FREE_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at such a key; no connection is held meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How many groups are stored alone at the same time.
const ALONE: usize = 2;

/// Joins what concurrent callers enqueue: whatever waits goes out together as soon as the commit before has come back.
/// So a lone caller waits for nobody, and many share few commits; each is answered after its own. Groups with unique
/// keys, which others may hold, go apart from those without.
#[derive(Debug)]
pub(crate) struct Batches {
    plain: Arc<Batch>,
    keyed: Arc<Batch>,
    alone: Semaphore,
}

impl Default for Batches {
    fn default() -> Self {
        Self { plain: Arc::default(), keyed: Arc::default(), alone: Semaphore::new(ALONE) }
    }
}

#[derive(Debug, Default)]
struct Batch {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    groups: Vec<Group>,
    /// Whether somebody is at it.
    is_written: bool,
}

#[derive(Debug)]
struct Group {
    runs: Vec<NewRun>,
    answer: oneshot::Sender<Result<Vec<Enqueued>, Error>>,
}

impl Batch {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes out next; nothing: nobody is at it any more.
    fn next(&self) -> Vec<Group> {
        let mut waiting = self.waiting();
        let mut runs = 0;
        let fits = |group: &&Group| {
            runs += group.runs.len();
            runs <= MOST_AT_ONCE
        };
        let count = waiting.groups.iter().take_while(fits).count().max(1).min(waiting.groups.len());
        let rest = waiting.groups.split_off(count);
        let next = mem::replace(&mut waiting.groups, rest);
        waiting.is_written = !next.is_empty();
        next
    }
}

/// Lets the next caller write where a task ends before its time, with its runtime.
struct Writing<'a> {
    batch: &'a Batch,
    has_ended: bool,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // Once it has ended somebody else may be at it.
        if !self.has_ended {
            let mut waiting = self.batch.waiting();
            waiting.is_written = false;
            // Their callers are told that nobody answers.
            waiting.groups.clear();
        }
    }
}

impl Postgres {
    /// Stores a group, together with those of other callers.
    pub(crate) async fn enqueue_group(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let (answer, answered) = oneshot::channel();
        let Batches { plain, keyed, .. } = &self.shared.batches;
        let batch = Arc::clone(if runs.iter().any(|run| run.unique.is_some()) { keyed } else { plain });
        let begins = {
            let mut waiting = batch.waiting();
            waiting.groups.push(Group { runs, answer });
            !mem::replace(&mut waiting.is_written, true)
        };
        if begins {
            let store = self.clone();
            // A caller that gives up must not take the others' groups with it.
            tokio::spawn(async move {
                let mut writing = Writing { batch: &batch, has_ended: false };
                loop {
                    let groups = batch.next();
                    if groups.is_empty() {
                        writing.has_ended = true;
                        break;
                    }
                    store.write_groups(groups).await;
                    // Those that were just answered come with their next group.
                    tokio::task::yield_now().await;
                }
            });
        }
        answered.await.map_err(|_| {
            let message = "the runtime that wrote has ended; whether the runs are stored is unknown";
            Error::new(ErrorKind::Unavailable, "enqueue", message)
        })?
    }

    async fn write_groups(&self, groups: Vec<Group>) {
        let (runs, answers): (Vec<_>, Vec<_>) =
            groups.into_iter().map(|group| (group.runs, group.answer)).unzip();
        match self.store_groups(&runs).await {
            Ok(stored) => answers.into_iter().zip(stored).for_each(|(answer, stored)| {
                let _ = answer.send(stored);
            }),
            // One bad group must not hold up its neighbours, nor may one that waits.
            Err(error)
                if waited_for_a_lock(&error)
                    || answers.len() > 1 && error.kind() != ErrorKind::Unavailable =>
            {
                tracing::debug!(%error, groups = answers.len(), "groups of runs failed together, storing one by one");
                for (runs, answer) in runs.into_iter().zip(answers) {
                    let store = self.clone();
                    tokio::spawn(async move {
                        let _ = answer.send(store.store_alone(runs).await);
                    });
                }
            }
            Err(error) => answers.into_iter().for_each(|answer| {
                let _ = answer.send(Err(copy_of(&error, "enqueue")));
            }),
        }
    }

    /// Waits for a unique key that an open transaction has taken.
    async fn store_alone(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let (begun, groups) = (Instant::now(), vec![runs]);
        loop {
            let stored = {
                // Never closed.
                let _turn = self.shared.batches.alone.acquire().await;
                self.store_groups(&groups).await
            };
            match stored {
                Err(error) if waited_for_a_lock(&error) && begun.elapsed() < KEY_FREE_WITHIN => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                stored => return stored.and_then(|mut stored| stored.pop().unwrap_or(Ok(Vec::new()))),
            }
        }
    }

    async fn store_groups(
        &self,
        groups: &Vec<Vec<NewRun>>,
    ) -> Result<Vec<Result<Vec<Enqueued>, Error>>, Error> {
        if !is_one_statement(groups) {
            return self
                .change("enqueue", groups, |work, groups| Box::pin(store_together(work, groups)))
                .await;
        }
        if self.shared.keeps_succeeded {
            self.ask("enqueue", groups, |work, groups| Box::pin(store_all(work, groups))).await
        } else {
            // What has ended meanwhile is not known any more and would run a second time.
            self.ask_once("enqueue", groups, |work, groups| Box::pin(store_all(work, groups))).await
        }
    }
}

/// In a transaction of its own, which waits only a moment for a unique key that somebody else takes.
async fn store_together(
    work: &mut Work<'_>,
    groups: &[Vec<NewRun>],
) -> crate::error::Result<Vec<Result<Vec<Enqueued>, Error>>> {
    work.query("SET LOCAL lock_timeout = '250ms'").execute(&mut *work.connection).await?;
    store_all(work, groups).await
}

async fn store_all(
    work: &mut Work<'_>,
    groups: &[Vec<NewRun>],
) -> crate::error::Result<Vec<Result<Vec<Enqueued>, Error>>> {
    let groups: Vec<&[NewRun]> = groups.iter().map(Vec::as_slice).collect();
    enqueue(work, Within::Ours, &groups).await
}

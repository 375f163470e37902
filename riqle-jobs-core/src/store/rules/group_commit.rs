//! Joins what concurrent callers enqueue into few writes.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{Enqueued, Error, ErrorKind, NewRun};

/// The most runs of several callers that share a write.
const MOST_AT_ONCE: usize = 2_000;

/// A store's answers to groups that were written together: one per group.
pub type Stored = Result<Vec<Result<Vec<Enqueued>, Error>>, Error>;

/// Joins what concurrent callers enqueue: everything that waits goes out together as soon as the previous write
/// has returned. So a lone caller does not wait, and many share few writes; each is answered after its own.
/// Clones share the queue.
#[derive(Clone, Debug, Default)]
pub struct GroupCommit {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    groups: Vec<Group>,
    /// Whether a caller is writing.
    is_written: bool,
}

#[derive(Debug)]
struct Group {
    runs: Vec<NewRun>,
    answer: oneshot::Sender<Result<Vec<Enqueued>, Error>>,
}

impl GroupCommit {
    /// Stores a group, together with those of other callers, by `write`: all or none of each group. `write` owns what it
    /// needs, since a caller that gives up must not take the others' groups with it.
    ///
    /// # Errors
    /// What `write` returns for the group; `Unavailable` if the runtime ended meanwhile.
    pub async fn enqueue<W, F>(&self, runs: Vec<NewRun>, write: W) -> Result<Vec<Enqueued>, Error>
    where
        W: Fn(Arc<Vec<Vec<NewRun>>>) -> F + Send + Sync + 'static,
        F: Future<Output = Stored> + Send,
    {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut waiting = self.waiting();
            waiting.groups.push(Group { runs, answer });
            !mem::replace(&mut waiting.is_written, true)
        };
        if begins {
            let groups = self.clone();
            tokio::spawn(async move {
                let mut writing = Writing { groups: &groups, has_ended: false };
                loop {
                    let next = groups.next();
                    if next.is_empty() {
                        writing.has_ended = true;
                        break;
                    }
                    write_groups(next, &write).await;
                    // Those that were just answered come with their next group.
                    tokio::task::yield_now().await;
                }
            });
        }
        answered.await.map_err(|_| {
            let message = "the runtime that was writing has ended; the runs may or may not be stored";
            Error::new(ErrorKind::Unavailable, "enqueue", message)
        })?
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes out next; if nothing, no caller is writing any more.
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

/// Lets the next caller write if a task ends early, with its runtime.
struct Writing<'a> {
    groups: &'a GroupCommit,
    has_ended: bool,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // Once it has ended another caller may be writing.
        if !self.has_ended {
            let mut waiting = self.groups.waiting();
            waiting.is_written = false;
            // Their callers are told that nobody answers.
            waiting.groups.clear();
        }
    }
}

async fn write_groups<W, F>(groups: Vec<Group>, write: &W)
where
    W: Fn(Arc<Vec<Vec<NewRun>>>) -> F,
    F: Future<Output = Stored>,
{
    let (runs, answers): (Vec<_>, Vec<_>) =
        groups.into_iter().map(|group| (group.runs, group.answer)).unzip();
    let runs = Arc::new(runs);
    match write(Arc::clone(&runs)).await {
        Ok(stored) => answers.into_iter().zip(stored).for_each(|(answer, stored)| {
            let _ = answer.send(stored);
        }),
        // One bad group must not hold up its neighbours.
        Err(error) if answers.len() > 1 && error.kind() != ErrorKind::Unavailable => {
            tracing::warn!(%error, groups = answers.len(), "groups of runs failed together; storing one by one");
            for (runs, answer) in Arc::unwrap_or_clone(runs).into_iter().zip(answers) {
                let stored = write(Arc::new(vec![runs])).await;
                let _ = answer.send(stored.and_then(|mut stored| stored.pop().unwrap_or(Ok(Vec::new()))));
            }
        }
        Err(error) => answers.into_iter().for_each(|answer| {
            let _ = answer.send(Err(Error::new(error.kind(), "enqueue", error.message())));
        }),
    }
}

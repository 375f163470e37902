//! Joins what concurrent callers enqueue into few writes.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{Enqueued, Error, ErrorKind, NewRun, store::Repeated};

/// The most runs of several callers that share a write.
const MOST_AT_ONCE: usize = 2_000;

/// A store's answers to groups that were written together: one per group.
pub type Stored = Result<Vec<GroupAnswer>, Error>;

type GroupAnswer = Result<Vec<Enqueued>, Error>;

/// Joins what concurrent callers enqueue: everything that waits goes out together as soon as the previous write
/// has returned. So a lone caller does not wait, and many share few writes; each is answered after its own.
/// Clones share the queue.
#[derive(Clone, Debug)]
pub struct GroupCommit {
    waiting: Arc<Mutex<Waiting>>,
    /// The most runs of several callers that share a write.
    most: usize,
}

impl Default for GroupCommit {
    fn default() -> Self {
        Self::of_at_most(MOST_AT_ONCE)
    }
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
    answer: oneshot::Sender<GroupAnswer>,
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
        let (answered, begins) = self.join(runs);
        if let Some(writing) = begins {
            tokio::spawn(async move { writing.write_all(write).await });
        }
        answered.await.map_err(|_| {
            let message = "the runtime that was writing has ended; the runs may or may not be stored";
            Error::new(ErrorKind::Unavailable, "enqueue", message)
        })?
    }

    pub(crate) fn of_at_most(most: usize) -> Self {
        Self { waiting: Arc::default(), most }
    }

    /// Adds a group to what waits; the caller is to write where nobody does.
    pub(crate) fn join(&self, runs: Vec<NewRun>) -> (oneshot::Receiver<GroupAnswer>, Option<Writing>) {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.groups.push(Group { runs, answer });
        let begins = !mem::replace(&mut waiting.is_written, true);
        (answered, begins.then(|| Writing { groups: self.clone(), has_ended: false }))
    }

    /// All of what waits.
    #[cfg(test)]
    pub(crate) fn told(&self) -> String {
        let waiting = self.waiting();
        let ids: Vec<_> = waiting.groups.iter().flat_map(|group| &group.runs).map(|run| run.id).collect();
        format!("{ids:?} {}", waiting.is_written)
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
            runs <= self.most
        };
        let count = waiting.groups.iter().take_while(fits).count().max(1).min(waiting.groups.len());
        let rest = waiting.groups.split_off(count);
        let next = mem::replace(&mut waiting.groups, rest);
        waiting.is_written = !next.is_empty();
        next
    }
}

/// The right to write. Lets the next caller have it if a task ends early, with its runtime, even before it has run.
pub(crate) struct Writing {
    groups: GroupCommit,
    has_ended: bool,
}

impl Writing {
    /// Writes what waits until nothing does.
    pub(crate) async fn write_all<W, F>(mut self, write: W)
    where
        W: Fn(Arc<Vec<Vec<NewRun>>>) -> F,
        F: Future<Output = Stored>,
    {
        loop {
            let next = self.groups.next();
            if next.is_empty() {
                self.has_ended = true;
                break;
            }
            write_groups(next, &write).await;
            // Those that were just answered come with their next group.
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Writing {
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
            static APART: Repeated = Repeated::new();
            if let Some(times) = APART.happened() {
                tracing::warn!(%error, groups = answers.len(), times, "groups of runs failed together; storing one by one");
            }
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

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use riqle_jobs_core::{Enqueued, Error, ErrorKind, NewRun};
use tokio::sync::oneshot;

use crate::{
    Postgres,
    enqueue::{enqueue, is_one_statement, lanes_of},
    error::copy_of,
    work::Work,
};

/// Most runs that share a commit, where they come from several callers.
const MOST_AT_ONCE: usize = 2_000;

/// Joins what concurrent callers enqueue: whatever waits goes out together as soon as the commit before has come back.
/// So a lone caller waits for nobody, and many share few commits; each is answered after its own.
#[derive(Debug, Default)]
pub(crate) struct Batches {
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

impl Batches {
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
    batches: &'a Batches,
    has_ended: bool,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // Once it has ended somebody else may be at it.
        if !self.has_ended {
            let mut waiting = self.batches.waiting();
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
        let begins = {
            let mut waiting = self.shared.batches.waiting();
            waiting.groups.push(Group { runs, answer });
            !mem::replace(&mut waiting.is_written, true)
        };
        if begins {
            let store = self.clone();
            // A caller that gives up must not take the others' groups with it.
            tokio::spawn(async move {
                let batches = &store.shared.batches;
                let mut writing = Writing { batches, has_ended: false };
                loop {
                    let groups = batches.next();
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
        let question = (self.clone(), runs);
        match self.store_groups(&question).await {
            Ok(stored) => answers.into_iter().zip(stored).for_each(|(answer, stored)| {
                let _ = answer.send(stored);
            }),
            // One bad group must not hold up its neighbours.
            Err(error) if answers.len() > 1 && error.kind() != ErrorKind::Unavailable => {
                tracing::warn!(%error, groups = answers.len(), "groups of runs failed together, storing one by one");
                for (runs, answer) in question.1.into_iter().zip(answers) {
                    let stored = self.store_groups(&(self.clone(), vec![runs])).await;
                    let _ = answer.send(stored.and_then(|mut stored| stored.pop().unwrap_or(Ok(Vec::new()))));
                }
            }
            Err(error) => answers.into_iter().for_each(|answer| {
                let _ = answer.send(Err(copy_of(&error, "enqueue")));
            }),
        }
    }

    async fn store_groups(
        &self,
        question: &(Postgres, Vec<Vec<NewRun>>),
    ) -> Result<Vec<Result<Vec<Enqueued>, Error>>, Error> {
        let stored = if is_one_statement(&question.1) {
            self.ask("enqueue", question, |work, (store, groups)| Box::pin(store_all(work, store, groups)))
                .await
        } else {
            self.change("enqueue", question, |work, (store, groups)| Box::pin(store_all(work, store, groups)))
                .await
        };
        if stored.is_ok() {
            let runs: Vec<&NewRun> = question.1.iter().flatten().collect();
            self.shared.lanes.remember(lanes_of(&runs).into_iter().map(|(number, _)| number));
        }
        stored
    }
}

async fn store_all(
    work: &mut Work<'_>,
    store: &Postgres,
    groups: &[Vec<NewRun>],
) -> crate::error::Result<Vec<Result<Vec<Enqueued>, Error>>> {
    let groups: Vec<&[NewRun]> = groups.iter().map(Vec::as_slice).collect();
    enqueue(work, &store.shared.lanes, &groups).await
}

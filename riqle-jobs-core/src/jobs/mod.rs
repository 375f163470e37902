//! The producer's client, and what it asks of a store.

mod bulk;
pub(crate) mod declared_schedules;
mod enqueue;
pub mod events;
pub mod operator;
pub(crate) mod schedules;
mod transaction;
pub mod verdict;

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use self::operator::{Operator, RunAction};
use crate::{
    AsStaging, AsStore, Enqueued, Error, ErrorKind, JobInput, NewRun, Payload, Replay, Run, RunFilter, RunId,
    SavedStep, Staging, Store, job,
    store::{DeadGroup, EventFilter, Health, JobCount, JobDeclaration, ListedEvent, NewEvent, QueueStatus},
};

pub use bulk::{BulkReport, Pace, Skipped};
pub(crate) use bulk::{cancel, on_all_to_the_end};
pub use enqueue::Enqueue;
pub(crate) use enqueue::{enqueue, no_answer};
pub use schedules::ScheduleStatus;
pub use transaction::{Database, DatabaseTransaction, Transaction};

/// The producer's client: enqueues runs and sends events. Cheap to clone.
///
/// Of a SQL store's own handle, `Jobs<Sqlite>` or `Jobs<Postgres>`, it has [`begin`](Self::begin), too; of any other
/// store, and of what `connect` returns, it is a plain `Jobs`.
#[derive(Clone)]
pub struct Jobs<D = ()> {
    store: Arc<dyn Store>,
    database: D,
    /// Whether what is enqueued in a transaction of `database` is for another store.
    stages: bool,
}

impl<D> Jobs<D> {
    /// A client of `store`.
    pub fn new<S: AsStore<Database = D>>(store: &S) -> Self {
        Self { store: store.as_store(), database: store.database(), stages: false }
    }

    /// The same with transactions of the application's `database`, for jobs that run on another store: what is enqueued,
    /// cancelled or sent in [`begin`](Self::begin) or [`step_in`](crate::RunContext::step_in) is staged there, for a
    /// [`Relay`](crate::Relay) to move. Outside a transaction it goes to the store at once.
    pub fn staged_in<E: Database>(&self, database: &E) -> Jobs<E> {
        Jobs { store: Arc::clone(&self.store), database: database.clone(), stages: true }
    }

    /// The same without transactions, whatever the store: for what takes a plain `Jobs`.
    pub fn erase(&self) -> Jobs {
        Jobs { store: Arc::clone(&self.store), database: (), stages: false }
    }

    /// Enqueues a run of the input's job. Set what the run needs, then await it:
    /// `jobs.enqueue(Welcome { … }).unique("welcome:user-7").await?`.
    pub fn enqueue<I: JobInput>(&self, input: I) -> Enqueue {
        Enqueue::into(Arc::clone(&self.store), NewRun::of(&input))
    }

    /// Enqueues many runs of a job as one atomic group, all due now.
    ///
    /// # Errors
    /// As [`Queue::enqueue`](crate::Queue::enqueue); if the error has an index, nothing is stored.
    pub async fn enqueue_all<I: JobInput>(
        &self,
        inputs: impl IntoIterator<Item = I> + Send,
    ) -> Result<Vec<Enqueued>, Error> {
        let runs = inputs.into_iter().map(|input| NewRun::of(&input)).collect::<Result<Vec<_>, _>>()?;
        self.enqueue_runs(runs).await
    }

    pub(crate) async fn enqueue_runs(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        enqueue::enqueue(runs, |runs| self.store.enqueue(runs)).await
    }

    /// Sends an event: starts a run of every job that it triggers. Returns the event's id.
    ///
    /// An event that triggers nothing is kept, and starts the job if one with that trigger registers within 7 days.
    ///
    /// # Errors
    /// `Rejected` for an invalid name, data over the limit or a number that is not finite; `Unavailable` if it
    /// may or may not have been accepted.
    pub async fn send_event<T: Serialize + ?Sized>(&self, name: &str, data: &T) -> Result<String, Error> {
        let event = NewEvent::new(Uuid::now_v7().to_string(), name, Payload::event_data(data)?);
        let mut ids = self.send_events(vec![event]).await?;
        ids.pop().ok_or_else(|| Error::new(ErrorKind::Corrupt, "send_event", "the store returned no id"))
    }

    /// Sends events, all or none. An event whose id was seen within 24 h, or for as long as the first one asked
    /// ([`NewEvent::id_kept`]), starts nothing again. Returns their ids, in order.
    ///
    /// # Errors
    /// `Rejected` with the index; `Unavailable` if they may or may not have been accepted: send the same again.
    pub async fn send_events(&self, events: Vec<NewEvent>) -> Result<Vec<String>, Error> {
        events::traced(events, |events| events::send(&*self.store, events)).await
    }

    /// Announces the job of an input without running it, so that its trigger is known before a worker starts:
    /// `jobs.declare::<Welcome>().await?`.
    ///
    /// # Errors
    /// `Unavailable`; `Rejected` for a wrong template of its rules.
    pub async fn declare<I: JobInput>(&self) -> Result<(), Error> {
        self.declare_all(vec![job::declaration::<I>(None)]).await
    }

    pub(crate) async fn declare_all(&self, declarations: Vec<JobDeclaration>) -> Result<(), Error> {
        events::register(&*self.store, declarations).await
    }

    /// Starts a dead or cancelled run again, with the same or an edited input; returns the new run's id.
    ///
    /// `how` is a [`ReplayFrom`](crate::ReplayFrom), or a [`Replay`] to edit the input:
    /// `jobs.replay(id, Replay::from(ReplayFrom::Start).with_input(Payload::json_of(&input)?.0))`.
    ///
    /// # Errors
    /// As [`Operate::replay`](crate::Operate::replay).
    pub async fn replay(&self, id: RunId, how: impl Into<Replay> + Send) -> Result<RunId, Error> {
        let new_run = RunId::new();
        self.store.replay(id, new_run, how.into()).await?;
        Ok(new_run)
    }

    /// Replays the dead letters that match `filter`, each from its failed step: at most `filter.limit` (0:
    /// all), no faster than `pace`. Runs that can't be replayed, such as one whose unique key is taken by now,
    /// are skipped and counted; the first 100 are listed.
    ///
    /// The new run's id is derived from the old one's, so an interrupted call can simply be repeated, and two
    /// concurrent calls replay each run once. The filter's states other than dead are ignored.
    ///
    /// # Errors
    /// `Unavailable` if the store stays unavailable for half a minute, with how many were replayed until then;
    /// these stay replayed. `Corrupt` if a page can't be read.
    pub async fn replay_all(&self, filter: RunFilter, pace: Pace) -> Result<BulkReport, Error> {
        bulk::on_all_to_the_end(&*self.store, RunAction::Replay, filter, pace).await
    }

    /// Discards the dead letters that match `filter`, on the terms of [`replay_all`](Self::replay_all).
    ///
    /// # Errors
    /// As [`replay_all`](Self::replay_all).
    pub async fn discard_all(&self, filter: RunFilter, pace: Pace) -> Result<BulkReport, Error> {
        bulk::on_all_to_the_end(&*self.store, RunAction::Discard, filter, pace).await
    }

    /// Cancels the runs that match `filter` and have not ended, on the terms of
    /// [`replay_all`](Self::replay_all).
    ///
    /// # Errors
    /// As [`replay_all`](Self::replay_all).
    pub async fn cancel_all(&self, filter: RunFilter, pace: Pace) -> Result<BulkReport, Error> {
        bulk::on_all_to_the_end(&*self.store, RunAction::Cancel, filter, pace).await
    }

    /// Makes due now the runs that match `filter` and wait for their time, on the terms of
    /// [`replay_all`](Self::replay_all).
    ///
    /// # Errors
    /// As [`replay_all`](Self::replay_all).
    pub async fn run_all_now(&self, filter: RunFilter, pace: Pace) -> Result<BulkReport, Error> {
        bulk::on_all_to_the_end(&*self.store, RunAction::RunNow, filter, pace).await
    }

    /// Makes due now a run that waits for its time.
    ///
    /// # Errors
    /// As [`Operate::run_now`](crate::Operate::run_now).
    pub async fn run_now(&self, id: RunId) -> Result<(), Error> {
        self.store.run_now(id).await
    }

    /// Stops handing out the runs of a queue, in the name of `by`; see
    /// [`Operate::pause_queue`](crate::Operate::pause_queue).
    ///
    /// # Errors
    /// As [`Operate::pause_queue`](crate::Operate::pause_queue).
    pub async fn pause_queue(&self, queue: &str, by: &str, why: &str) -> Result<(), Error> {
        self.store.pause_queue(queue, by, why).await
    }

    /// Hands out the runs of a queue again.
    ///
    /// # Errors
    /// As [`Operate::resume_queue`](crate::Operate::resume_queue).
    pub async fn resume_queue(&self, queue: &str) -> Result<(), Error> {
        self.store.resume_queue(queue).await
    }

    /// Cancels a run that has not ended; its emails still to be sent are given up.
    ///
    /// # Errors
    /// As [`Operate::cancel`](crate::Operate::cancel).
    pub async fn cancel(&self, id: RunId) -> Result<(), Error> {
        bulk::cancel(&*self.store, id).await
    }

    /// One run, with its attempts.
    ///
    /// # Errors
    /// As [`Inspect::run`](crate::Inspect::run).
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.store.run(id).await
    }

    /// A page of runs, newest first: `jobs.runs(RunFilter::dead().of::<Resize>())`.
    ///
    /// # Errors
    /// As [`Inspect::runs`](crate::Inspect::runs).
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, Error> {
        self.store.runs(filter).await
    }

    /// The saved steps of a run.
    ///
    /// # Errors
    /// As [`Inspect::steps`](crate::Inspect::steps).
    pub async fn steps(&self, id: RunId) -> Result<Vec<SavedStep>, Error> {
        self.store.steps(id).await
    }

    /// How many runs of each job are in each state.
    ///
    /// # Errors
    /// As [`Inspect::counts`](crate::Inspect::counts).
    pub async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        self.store.counts().await
    }

    /// The queues that are paused or not empty.
    ///
    /// # Errors
    /// As [`Inspect::queues`](crate::Inspect::queues).
    pub async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        self.store.queues().await
    }

    /// Dead letters, grouped by job and error; at most `limit` groups.
    ///
    /// # Errors
    /// As [`Inspect::dead_groups`](crate::Inspect::dead_groups).
    pub async fn dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error> {
        self.store.dead_groups(limit).await
    }

    /// A page of events, newest first, with the runs that they started or joined.
    ///
    /// # Errors
    /// As [`Inspect::events`](crate::Inspect::events).
    pub async fn events(&self, filter: EventFilter) -> Result<Vec<ListedEvent>, Error> {
        self.store.events(filter).await
    }

    /// Problems of the store, its queues and its workers, if any.
    ///
    /// # Errors
    /// As [`Inspect::health`](crate::Inspect::health).
    pub async fn health(&self) -> Result<Health, Error> {
        self.store.health().await
    }

    /// Acts in the name of a person or a tool, `by`; each action is recorded.
    pub fn operator(&self, by: impl Into<String>) -> Operator {
        Operator::new(self.erase(), by.into())
    }

    /// The store, to inspect and operate.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

impl<D: Database> Jobs<D> {
    /// Begins a transaction for the application's statements and what it enqueues with them.
    ///
    /// On SQLite it is the one that may write (`BEGIN IMMEDIATE`): keep it short.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin(&self) -> Result<Transaction<D>, Error> {
        Transaction::begin(&self.database, self.stages).await
    }

    /// Where what is enqueued in its transactions is staged, if it is: for a [`Relay`](crate::Relay).
    pub fn staging(&self) -> Option<Arc<dyn Staging>>
    where
        D: AsStaging,
    {
        self.stages.then(|| self.database.as_staging())
    }

    /// What its transactions are begun in.
    pub fn database(&self) -> &D {
        &self.database
    }

    /// Whether what is enqueued in a transaction is staged.
    pub(crate) fn stages(&self) -> bool {
        self.stages
    }
}

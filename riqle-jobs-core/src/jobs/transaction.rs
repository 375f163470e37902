//! Enqueue, cancel and send events in a SQL transaction of the application.

use std::{
    fmt,
    future::{Future, IntoFuture},
    ops::{Deref, DerefMut},
    pin::Pin,
};

use serde::Serialize;
use uuid::Uuid;

use crate::{
    Enqueue, Enqueued, Error, ErrorKind, JobInput, LeaseAnswer, LeaseRef, Limits, NewRun, Payload, RunFilter,
    RunId, StepPath, StepSave,
    jobs::{
        enqueue,
        events::{check_events, traced},
        no_answer,
    },
    schedule::Schedule,
    store::{NewEvent, ScheduleWrite, Staged},
};

/// A SQL database that an application shares with its jobs, or that stages what they need: a handle of `Sqlite` or
/// `Postgres`. [`Jobs::begin`](crate::Jobs::begin) and [`RunContext::step_in`](crate::RunContext::step_in) begin their
/// transactions in it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no transactions",
    label = "expected `Jobs` of a SQL store, such as `Sqlite` or `Postgres`, or `.staged_in(&database)`"
)]
pub trait Database: Clone + Send + Sync + 'static {
    /// Its transactions.
    type Transaction: DatabaseTransaction;

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// `Unavailable`.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, Error>> + Send;
}

/// What a transaction of a [`Database`] does for the jobs. Dropped without `commit` it is rolled back. A call that fails
/// leaves nothing of itself behind, and the transaction can go on, unless the connection is gone.
pub trait DatabaseTransaction: Send {
    /// What the database accepts.
    fn limits(&self) -> Limits;

    /// Stores runs of any queues, all or none. Answers in order.
    ///
    /// # Errors
    /// As [`Queue::enqueue`](crate::Queue::enqueue).
    fn enqueue(&mut self, runs: Vec<NewRun>) -> impl Future<Output = Result<Vec<Enqueued>, Error>> + Send;

    /// Stores events with the runs that they start, all or none. Answers with their ids, in order.
    ///
    /// # Errors
    /// `Rejected` with the index; `Unavailable`.
    fn send_events(
        &mut self,
        events: Vec<NewEvent>,
    ) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// Cancels the runs that `filter` lists and that have not ended, and gives up their emails that wait to be sent.
    /// Answers how many runs.
    ///
    /// # Errors
    /// `Unavailable`.
    fn cancel(&mut self, filter: RunFilter) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Adds the row of a schedule that is to be made, of a name of its own
    /// ([`NewSchedule::row_to_add`](crate::schedule::NewSchedule::row_to_add)).
    ///
    /// # Errors
    /// `Unavailable`.
    fn add_schedule(&mut self, row: ScheduleWrite) -> impl Future<Output = Result<(), Error>> + Send;

    /// Stages items for a [`Relay`](crate::Relay).
    ///
    /// # Errors
    /// `Unavailable`.
    fn stage(&mut self, items: Vec<Staged>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether a lease holds; if it does, it holds until the transaction ends.
    ///
    /// # Errors
    /// `Unavailable`.
    fn hold(&mut self, lease: &LeaseRef) -> impl Future<Output = Result<LeaseAnswer, Error>> + Send;

    /// The saved result of a step of a run that is held.
    ///
    /// # Errors
    /// `Unavailable`.
    fn saved_step(
        &mut self,
        run: RunId,
        path: &StepPath,
    ) -> impl Future<Output = Result<Option<Payload>, Error>> + Send;

    /// Saves a result with its run; it is there once the transaction commits.
    ///
    /// # Errors
    /// `Unavailable`; `Rejected` where the store can't hold it; `Conflict` where the step is saved already.
    fn save_step(&mut self, step: StepSave) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes the place of a step of a run that another store has: a second transaction waits until this one has
    /// ended. Answers with the result where a transaction has committed one.
    ///
    /// # Errors
    /// `Unavailable`.
    fn take_step(
        &mut self,
        run: RunId,
        path: &StepPath,
    ) -> impl Future<Output = Result<Option<Payload>, Error>> + Send;

    /// Puts a result in the place that [`take_step`](Self::take_step) took; it is there once the transaction commits, and
    /// kept for [`STEPS_KEPT`](crate::store::STEPS_KEPT).
    ///
    /// # Errors
    /// `Unavailable`; `Rejected` where the database can't hold it.
    fn keep_step(
        &mut self,
        run: RunId,
        path: &StepPath,
        result: Payload,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Commits, and tells the workers and relays of what it holds, also where it is not known whether it committed.
    ///
    /// # Errors
    /// `Rejected` where the database refuses what is in it; `Unavailable` where it may or may not have been committed.
    fn commit(self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Undoes everything in it.
    ///
    /// # Errors
    /// `Unavailable`; nothing of it stays in any case.
    fn rollback(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A transaction of the application, in which it enqueues, cancels and sends events. Its own statements run on the
/// connection that it derefs to: `sqlx::query("…").execute(&mut *transaction)`. Dropped without
/// [`commit`](Self::commit) it is rolled back.
///
/// A call that fails leaves nothing of itself behind, and the transaction can go on. Of a job's runs that are enqueued
/// here, workers see nothing before the commit, which tells them.
pub struct Transaction<D: Database> {
    inner: D::Transaction,
    stages: bool,
}

impl<D: Database> Transaction<D> {
    pub(crate) async fn begin(database: &D, stages: bool) -> Result<Self, Error> {
        Ok(Self { inner: database.begin().await?, stages })
    }

    /// The database's own.
    pub(crate) fn inner(&mut self) -> &mut D::Transaction {
        &mut self.inner
    }

    /// Enqueues a run of the input's job. Await the answer, after setting what the run needs:
    /// `tx.enqueue(Welcome { … }).delay(day).await?`. Where runs are staged, the answer is [`Enqueued::Staged`].
    pub fn enqueue<I: JobInput>(&mut self, input: I) -> Enqueue<&mut Self> {
        Enqueue::into(self, NewRun::of(&input))
    }

    /// Enqueues many runs of a job, all due now.
    ///
    /// # Errors
    /// As [`Queue::enqueue`](crate::Queue::enqueue); with an index, none is stored.
    pub async fn enqueue_all<I: JobInput>(
        &mut self,
        inputs: impl IntoIterator<Item = I> + Send,
    ) -> Result<Vec<Enqueued>, Error> {
        let runs = inputs.into_iter().map(|input| NewRun::of(&input)).collect::<Result<_, _>>()?;
        self.enqueue_runs(runs).await
    }

    /// Enqueues runs of any jobs and queues.
    ///
    /// # Errors
    /// As [`enqueue_all`](Self::enqueue_all).
    pub async fn enqueue_runs(&mut self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        enqueue(runs, |runs| self.put(runs)).await
    }

    async fn put(&mut self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        if !self.stages {
            return self.inner.enqueue(runs).await;
        }
        self.inner.limits().check_runs("enqueue", &runs)?;
        let answers = runs.iter().map(|run| Enqueued::Staged(run.id)).collect();
        let items = runs.into_iter().map(Staged::run).collect::<Result<_, _>>()?;
        self.inner.stage(items).await?;
        Ok(answers)
    }

    /// Sends an event: starts a run of every job that it triggers and that is registered by now. Answers with the event's id.
    ///
    /// # Errors
    /// As [`Jobs::send_event`](crate::Jobs::send_event).
    pub async fn send_event<T: Serialize + ?Sized>(&mut self, name: &str, data: &T) -> Result<String, Error> {
        let event = NewEvent::new(Uuid::now_v7().to_string(), name, Payload::event_data(data)?);
        let mut ids = self.send_events(vec![event]).await?;
        ids.pop().ok_or_else(|| Error::new(ErrorKind::Corrupt, "send_event", "the store answered no id"))
    }

    /// Sends events, all or none. Answers with their ids, in order.
    ///
    /// # Errors
    /// As [`Jobs::send_events`](crate::Jobs::send_events).
    pub async fn send_events(&mut self, events: Vec<NewEvent>) -> Result<Vec<String>, Error> {
        traced(events, |events| self.put_events(events)).await
    }

    async fn put_events(&mut self, events: Vec<NewEvent>) -> Result<Vec<String>, Error> {
        if !self.stages {
            return self.inner.send_events(events).await;
        }
        check_events(&events, self.inner.limits())?;
        let ids = events.iter().map(|event| event.id.clone()).collect();
        let items = events.into_iter().map(Staged::event).collect::<Result<_, _>>()?;
        self.inner.stage(items).await?;
        Ok(ids)
    }

    /// Cancels the runs that `filter` lists and that have not ended, up to its limit (0: all); their emails that wait to
    /// be sent are given up. A run that a worker has is told to stop once this commits.
    ///
    /// Answers how many runs; where runs are staged, `None`: the cancel is staged too, and is done once everything that
    /// was staged before it has arrived.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn cancel(&mut self, filter: RunFilter) -> Result<Option<u64>, Error> {
        if self.stages {
            return self.inner.stage(vec![Staged::cancel(&filter)?]).await.map(|()| None);
        }
        self.inner.cancel(filter).await.map(Some)
    }

    /// Makes a schedule, or edits the one of this name, once this commits: a worker does it, within a second as a rule. Where
    /// runs are staged, the schedule is, too.
    ///
    /// # Errors
    /// As [`Jobs::schedule`](crate::Jobs::schedule), but that the job's code declares the schedule is only told in the log.
    pub async fn schedule<I: JobInput>(&mut self, schedule: Schedule<I>) -> Result<(), Error> {
        let new = schedule.erase()?;
        let row = new.row_to_add(&self.inner.limits())?;
        if self.stages {
            return self.inner.stage(vec![Staged::schedule(&new)?]).await;
        }
        self.inner.add_schedule(row).await
    }

    /// Makes everything in it lasting, and tells the workers.
    ///
    /// # Errors
    /// `Rejected` where the database refuses what is in it: nothing of it is stored. `Unavailable` where it may or may not
    /// have been committed.
    pub async fn commit(self) -> Result<(), Error> {
        self.inner.commit().await
    }

    /// Undoes everything in it.
    ///
    /// # Errors
    /// `Unavailable`; nothing of it stays in any case.
    pub async fn rollback(self) -> Result<(), Error> {
        self.inner.rollback().await
    }
}

impl<D: Database<Transaction: Deref>> Deref for Transaction<D> {
    type Target = <D::Transaction as Deref>::Target;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl<D: Database<Transaction: DerefMut>> DerefMut for Transaction<D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl<D: Database> fmt::Debug for Transaction<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("stages", &self.stages).finish_non_exhaustive()
    }
}

impl<'t, D: Database> IntoFuture for Enqueue<&'t mut Transaction<D>> {
    type Output = Result<Enqueued, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 't>>;

    fn into_future(self) -> Self::IntoFuture {
        let (transaction, run) = self.parts();
        Box::pin(async move {
            let answers = transaction.enqueue_runs(vec![run?]).await?;
            answers.first().copied().ok_or_else(no_answer)
        })
    }
}

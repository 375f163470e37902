//! A database whose commits end as a test says.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use riqle_jobs_core::{
    AsStore, Database, DatabaseTransaction, Enqueued, Error, LeaseAnswer, LeaseRef, Limits, NewRun, Payload,
    RunFilter, RunId, StepPath, StepSave, Store,
    store::{NewEvent, ScheduleWrite, Staged},
};

type Hook = Arc<dyn Fn() -> Result<(), Error> + Send + Sync>;

/// A database that calls the test just before and just after each commit of a transaction; an error ends the commit there,
/// for its caller.
#[derive(Clone)]
pub struct AroundCommit<D> {
    database: D,
    before: Hook,
    after: Hook,
}

/// A transaction of [`AroundCommit`].
pub struct TransactionAroundCommit<T> {
    transaction: T,
    before: Hook,
    after: Hook,
}

impl<D: Database> AroundCommit<D> {
    /// Over a real one.
    pub fn new(
        database: D,
        before: impl Fn() -> Result<(), Error> + Send + Sync + 'static,
        after: impl Fn() -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        Self { database, before: Arc::new(before), after: Arc::new(after) }
    }
}

impl<D: Database + AsStore> AsStore for AroundCommit<D> {
    type Database = Self;

    fn as_store(&self) -> Arc<dyn Store> {
        self.database.as_store()
    }

    fn database(&self) -> Self {
        self.clone()
    }
}

impl<D: Database> Database for AroundCommit<D> {
    type Transaction = TransactionAroundCommit<D::Transaction>;

    async fn begin(&self) -> Result<Self::Transaction, Error> {
        let transaction = self.database.begin().await?;
        Ok(TransactionAroundCommit {
            transaction,
            before: Arc::clone(&self.before),
            after: Arc::clone(&self.after),
        })
    }
}

impl<T: Deref> Deref for TransactionAroundCommit<T> {
    type Target = T::Target;

    fn deref(&self) -> &T::Target {
        &self.transaction
    }
}

impl<T: DerefMut> DerefMut for TransactionAroundCommit<T> {
    fn deref_mut(&mut self) -> &mut T::Target {
        &mut self.transaction
    }
}

impl<T: DatabaseTransaction> DatabaseTransaction for TransactionAroundCommit<T> {
    fn limits(&self) -> Limits {
        self.transaction.limits()
    }

    async fn enqueue(&mut self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        self.transaction.enqueue(runs).await
    }

    async fn send_events(&mut self, events: Vec<NewEvent>) -> Result<Vec<String>, Error> {
        self.transaction.send_events(events).await
    }

    async fn cancel(&mut self, filter: RunFilter) -> Result<u64, Error> {
        self.transaction.cancel(filter).await
    }

    async fn add_schedule(&mut self, row: ScheduleWrite) -> Result<(), Error> {
        self.transaction.add_schedule(row).await
    }

    async fn stage(&mut self, items: Vec<Staged>) -> Result<(), Error> {
        self.transaction.stage(items).await
    }

    async fn hold(&mut self, lease: &LeaseRef) -> Result<LeaseAnswer, Error> {
        self.transaction.hold(lease).await
    }

    async fn saved_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        self.transaction.saved_step(run, path).await
    }

    async fn save_step(&mut self, step: StepSave) -> Result<(), Error> {
        self.transaction.save_step(step).await
    }

    async fn take_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        self.transaction.take_step(run, path).await
    }

    async fn keep_step(&mut self, run: RunId, path: &StepPath, result: Payload) -> Result<(), Error> {
        self.transaction.keep_step(run, path, result).await
    }

    async fn commit(self) -> Result<(), Error> {
        (self.before)()?;
        self.transaction.commit().await?;
        (self.after)()
    }

    async fn rollback(self) -> Result<(), Error> {
        self.transaction.rollback().await
    }
}

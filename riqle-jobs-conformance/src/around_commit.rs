//! A database whose commits end as a test says.

use std::sync::Arc;

use riqle_jobs_core::{
    Error, LeaseAnswer, LeaseRef, Payload, RunId, StepDatabase, StepPath, StepSave, StepTransaction,
};

type Hook = Arc<dyn Fn() -> Result<(), Error> + Send + Sync>;

/// A database that calls the test just before and just after each commit of a step; an error ends the commit there, for its
/// caller.
#[derive(Clone)]
pub struct AroundCommit<D> {
    database: D,
    before: Hook,
    after: Hook,
}

/// A transaction of [`AroundCommit`].
pub struct TransactionAroundCommit<T> {
    /// The real one.
    pub transaction: T,
    before: Hook,
    after: Hook,
}

impl<D: StepDatabase> AroundCommit<D> {
    /// Over a real one.
    pub fn new(
        database: D,
        before: impl Fn() -> Result<(), Error> + Send + Sync + 'static,
        after: impl Fn() -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        Self { database, before: Arc::new(before), after: Arc::new(after) }
    }
}

impl<D: StepDatabase> StepDatabase for AroundCommit<D> {
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

impl<T: StepTransaction> StepTransaction for TransactionAroundCommit<T> {
    async fn hold(&mut self, lease: &LeaseRef) -> Result<LeaseAnswer, Error> {
        self.transaction.hold(lease).await
    }

    async fn saved_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        self.transaction.saved_step(run, path).await
    }

    async fn save_step(&mut self, step: StepSave) -> Result<(), Error> {
        self.transaction.save_step(step).await
    }

    async fn commit(self) -> Result<(), Error> {
        (self.before)()?;
        self.transaction.commit().await?;
        (self.after)()
    }
}

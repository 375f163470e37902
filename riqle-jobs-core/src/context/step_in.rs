use std::{future::Future, panic::Location, time::Instant};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    RunContext, StepPath,
    current_step::StepKind,
    step_call::{Found, StepCall},
    steps::StepResult,
};
use crate::{Error, ErrorKind, JobError, LeaseAnswer, LeaseRef, Payload, RunId, StepSave};

/// A database whose transactions can hold the result of a step beside the application's own writes.
pub trait StepDatabase: Sync {
    /// Its transactions.
    type Transaction: StepTransaction;

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// `Unavailable`.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, Error>> + Send;
}

/// A transaction of a [`StepDatabase`]. Dropped without `commit` it is rolled back.
pub trait StepTransaction: Send {
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

    /// Saves a result; it is there once the transaction commits.
    ///
    /// # Errors
    /// `Unavailable`; `Rejected` where the store can't hold it; `Conflict` where the step is saved already.
    fn save_step(&mut self, step: StepSave) -> impl Future<Output = Result<(), Error>> + Send;

    /// Commits, and wakes the workers for what was enqueued.
    ///
    /// # Errors
    /// `Unavailable` where it may or may not have been committed.
    fn commit(self) -> impl Future<Output = Result<(), Error>> + Send;
}

impl RunContext {
    /// Runs a step whose writes and result are committed together, in one transaction of the application's database: they
    /// are there together or not at all. The transaction begins only where the step is not saved yet.
    ///
    /// ```
    /// # use riqle_jobs_core::{JobError, RunContext, StepDatabase};
    /// async fn mark_paid<D: StepDatabase>(run: &RunContext, database: &D) -> Result<u64, JobError> {
    ///     run.step_in(database, "mark-paid", async |_transaction| {
    ///         // sqlx::query("UPDATE …").execute(&mut **transaction).await?
    ///         Ok(1)
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// If a commit's reply is lost, the next call checks whether it took effect, so the writes are not made twice. No step is
    /// called within `f`: its result would wait for the transaction to end.
    ///
    /// # Errors
    /// As [`step`](Self::step); `Unavailable` of the database. Nothing of the transaction is left then, unless the commit
    /// itself got no reply.
    #[track_caller]
    pub fn step_in<'d, D, T, F>(
        &self,
        database: &'d D,
        name: &str,
        f: F,
    ) -> impl Future<Output = Result<T, JobError>> + use<'d, D, T, F>
    where
        D: StepDatabase,
        T: Serialize + DeserializeOwned + Send,
        F: AsyncFnOnce(&mut D::Transaction) -> Result<T, JobError>,
    {
        let (run, path, at) = (self.clone(), self.keys.path(name), Location::caller());
        async move {
            let (call, found) = StepCall::begin(run, path, StepKind::InTransaction, at).await?;
            let (mut replaces, unsure) = match found {
                Found::Saved(value) => return Ok(call.have(value)),
                Found::New { replaces, unsure } => (replaces, unsure),
            };
            let mut transaction = database.begin().await?;
            let lease = call.run().lease();
            call.run().note_answer(transaction.hold(lease).await?)?;
            if unsure && let Some(saved) = transaction.saved_step(lease.run, call.path()).await? {
                let found = call.read(&saved)?;
                call.run().inner.steps.note(call.number(), StepResult::Saved(saved));
                match found {
                    Found::Saved(value) => return Ok(call.have(value)),
                    Found::New { replaces: can_not_be_read, .. } => replaces = can_not_be_read,
                }
            }
            let begun = Instant::now();
            let value = call.execute(async { f(&mut transaction).await }).await?;
            let (result, value) = call.write(&value)?;
            let saved = transaction.save_step(call.to_save(result.clone(), begun, replaces)).await;
            saved.map_err(|error| match error.kind() {
                ErrorKind::Rejected => call.not_saved(&error),
                _ => error.into(),
            })?;
            // From here on, until it has answered, it may have been committed.
            call.run().inner.steps.note(call.number(), StepResult::Unsure);
            transaction.commit().await?;
            call.run().inner.steps.note(call.number(), StepResult::Saved(result));
            Ok(call.have(value))
        }
    }
}

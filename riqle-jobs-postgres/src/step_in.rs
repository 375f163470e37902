use std::{future::Future, marker::PhantomData, time::Instant};

use riqle_jobs_core::{Error, JobError, LeaseAnswer, RunContext, StepSave, StepSlot};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    PostgresTransaction,
    error::from_driver,
    fence::{Fence, answers, hold},
    rows::get,
    steps::write_steps,
    work::answered,
};

/// Steps whose result is saved in the application's own transaction, so that its writes and the result are there
/// together or not at all.
///
/// ```
/// use riqle_jobs_core::{JobError, RunContext};
/// use riqle_jobs_postgres::{Postgres, StepIn, StepInTransaction::{New, Saved}};
///
/// async fn mark_fulfilled(run: &RunContext, store: &Postgres, order: &str) -> Result<u64, JobError> {
///     let mut transaction = store.begin().await?;
///     Ok(match run.step_in::<u64>(&mut transaction, "mark").await? {
///         Saved(rows) => rows,
///         New(step) => {
///             let rows = sqlx::query("UPDATE orders SET status = 'fulfilled' WHERE id = $1")
///                 .bind(order)
///                 .execute(&mut *transaction)
///                 .await?
///                 .rows_affected();
///             step.save(&mut transaction, &rows).await?;
///             transaction.commit().await?;
///             rows
///         }
///     })
/// }
/// ```
pub trait StepIn {
    /// Comes to a step as [`RunContext::step`] does: finds its result, or the step to be saved in `transaction`.
    ///
    /// # Errors
    /// The loss of the lease; a saved result that is no `T`, as
    /// [`Job::on_unreadable_step`](riqle_jobs_core::Job::on_unreadable_step) says.
    fn step_in<T>(
        &self,
        transaction: &mut PostgresTransaction,
        name: &str,
    ) -> impl Future<Output = Result<StepInTransaction<T>, JobError>> + Send
    where
        T: Serialize + DeserializeOwned + Send + Sync;
}

/// What a step in a transaction stands at.
#[must_use = "a new step has to be saved"]
pub enum StepInTransaction<T> {
    /// It was saved by an earlier claim; this is its result.
    Saved(T),
    /// It is to be done now.
    New(NewStep<T>),
}

/// A step that is to be saved with the writes of a transaction.
#[must_use = "without `save` the step is done again by the next claim"]
pub struct NewStep<T> {
    run: RunContext,
    name: String,
    ordinal: u32,
    replaces: bool,
    begun: Instant,
    result: PhantomData<fn(T)>,
}

impl StepIn for RunContext {
    async fn step_in<T>(
        &self,
        transaction: &mut PostgresTransaction,
        name: &str,
    ) -> Result<StepInTransaction<T>, JobError>
    where
        T: Serialize + DeserializeOwned + Send + Sync,
    {
        match self.begin_step(name)? {
            StepSlot::Saved(value) => Ok(StepInTransaction::Saved(value)),
            StepSlot::New { ordinal, replaces } => {
                check_lease(self, transaction).await?;
                Ok(StepInTransaction::New(NewStep {
                    run: self.clone(),
                    name: name.to_owned(),
                    ordinal,
                    replaces,
                    begun: Instant::now(),
                    result: PhantomData,
                }))
            }
        }
    }
}

impl<T: Serialize + Sync> NewStep<T> {
    /// Saves the result in `transaction`; it is there once that commits.
    ///
    /// # Errors
    /// The loss of the lease; a result over the limit; a step that is saved already. Don't commit then.
    pub async fn save(self, transaction: &mut PostgresTransaction, value: &T) -> Result<(), JobError> {
        let result = self.run.write_step(&self.name, value)?;
        check_lease(&self.run, transaction).await?;
        let lease = self.run.lease().clone();
        let took = self.begun.elapsed();
        let Self { name, ordinal, replaces, .. } = self;
        let step = StepSave { lease, name, ordinal, result, took, replaces };
        let mut work = transaction.work();
        let written = answered(write_steps(&mut work, &[step])).await.map_err(unsaved)?;
        match written.first().map(|row| get::<bool>(row, "is_new")) {
            Some(Ok(true)) => Ok(()),
            Some(Err(error)) => Err(unsaved(error).into()),
            _ => Err(JobError::retry("the step is saved already")),
        }
    }
}

/// Its run stays as it is until the transaction ends, so a lease that holds in it holds to its end.
async fn check_lease(run: &RunContext, transaction: &mut PostgresTransaction) -> Result<(), JobError> {
    let leases = [run.lease()];
    let mut work = transaction.work();
    let held = answered(hold(&mut work, &leases)).await.map_err(unsaved)?;
    let answers = answered(answers(&mut work, &leases, &held, Fence::answer)).await.map_err(unsaved)?;
    run.note_answer(answers.first().copied().unwrap_or(LeaseAnswer::LeaseLost))
}

fn unsaved(error: sqlx::Error) -> Error {
    from_driver("step_in", error)
}

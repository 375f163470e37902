//! A step whose result is committed with the application's own writes.

use std::{future::Future, panic::Location};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    RunContext,
    current_step::StepKind,
    step_call::{Found, StepCall},
    steps::StepResult,
};
use crate::{
    Database, DatabaseTransaction, ErrorKind, JobError, Jobs, LeaseAnswer, Payload, Transaction,
    outside::Instant,
};

/// How often a step's place is tried again.
const TRIES: u32 = 2;

impl RunContext {
    /// Runs a step whose writes and result are committed together, in one transaction of the application's database: they
    /// are there together or not at all, with what the step enqueues, cancels and sends. The transaction begins only where
    /// the step is not saved yet.
    ///
    /// ```
    /// # use riqle_jobs_core::{Database, JobError, JobInput, Jobs, RunContext};
    /// async fn mark_paid<D: Database, I: JobInput>(run: &RunContext, jobs: &Jobs<D>, next: I) -> Result<u64, JobError> {
    ///     run.step_in(jobs, "mark-paid", async |tx| {
    ///         // sqlx::query("UPDATE …").execute(&mut **tx).await?
    ///         tx.enqueue(next).await?;
    ///         Ok(1)
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// `jobs` is of the SQL store that has the run, or is [`staged_in`](Jobs::staged_in) the application's database: then
    /// the result is kept there under run, keys and name, and looked for there first, which holds the step to once. A replay is
    /// a run of its own: it has what the first run saved in its own store, and does again what only reached the database.
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
        jobs: &'d Jobs<D>,
        name: &str,
        f: F,
    ) -> impl Future<Output = Result<T, JobError>> + use<'d, D, T, F>
    where
        D: Database,
        T: Serialize + DeserializeOwned + Send,
        F: AsyncFnOnce(&mut Transaction<D>) -> Result<T, JobError>,
    {
        let (run, path, at) = (self.clone(), self.keys.path(name), Location::caller());
        async move {
            let (call, found) = StepCall::begin(run, path, StepKind::InTransaction, at).await?;
            match found {
                Found::Saved(value) => Ok(call.have(value)),
                Found::New { replaces, .. } if jobs.stages() => beside_the_run(call, jobs, replaces, f).await,
                Found::New { replaces, unsure } => with_the_run(call, jobs, replaces, unsure, f).await,
            }
        }
    }
}

/// In the database that has the run: the lease is held, and the result is saved with it.
async fn with_the_run<D: Database, T: Serialize + DeserializeOwned + Send>(
    call: StepCall,
    jobs: &Jobs<D>,
    mut replaces: bool,
    unsure: bool,
    f: impl AsyncFnOnce(&mut Transaction<D>) -> Result<T, JobError>,
) -> Result<T, JobError> {
    let mut transaction = jobs.begin().await?;
    let lease = call.run().lease();
    let held = transaction.inner().hold(lease).await?;
    if held == LeaseAnswer::LeaseLost && jobs.run(lease.run).await?.is_none() {
        return Err(call.run().inner.steps.doom(
            "`step_in` was given jobs of a database that does not have this run; use \
             `Jobs::new(&store).staged_in(&database)`, where `store` is that of the worker",
        ));
    }
    call.run().note_answer(held)?;
    if unsure && let Some(saved) = transaction.inner().saved_step(lease.run, call.path()).await? {
        let found = call.read(&saved)?;
        call.run().inner.steps.note(call.number(), StepResult::Saved(saved));
        match found {
            Found::Saved(value) => return Ok(call.have(value)),
            Found::New { replaces: can_not_be_read, .. } => replaces = can_not_be_read,
        }
    }
    let (begun, result, value) = executed(&call, &mut transaction, f).await?;
    let saved = transaction.inner().save_step(call.to_save(result.clone(), begun, replaces)).await;
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

/// In a database beside the store that has the run: the result is kept there first, and then saved with the run.
async fn beside_the_run<D: Database, T: Serialize + DeserializeOwned + Send>(
    call: StepCall,
    jobs: &Jobs<D>,
    replaces: bool,
    f: impl AsyncFnOnce(&mut Transaction<D>) -> Result<T, JobError>,
) -> Result<T, JobError> {
    let begun = Instant::now();
    let (mut transaction, kept) = taken(&call, jobs).await?;
    let run = call.run().id();
    if let Some(kept) = kept
        && let Found::Saved(value) = call.read(&kept)?
    {
        transaction.rollback().await?;
        call.save(kept, begun, replaces).await?;
        return Ok(call.have(value));
    }
    let (begun, result, value) = executed(&call, &mut transaction, f).await?;
    let kept = transaction.inner().keep_step(run, call.path(), result.clone()).await;
    kept.map_err(|error| match error.kind() {
        ErrorKind::Rejected => call.not_saved(&error),
        _ => error.into(),
    })?;
    transaction.commit().await?;
    call.save(result, begun, replaces).await?;
    Ok(call.have(value))
}

/// Takes the step's place; again in another transaction where one that had taken it has ended meanwhile, which a transaction
/// of a stricter isolation can't see.
async fn taken<D: Database>(
    call: &StepCall,
    jobs: &Jobs<D>,
) -> Result<(Transaction<D>, Option<Payload>), JobError> {
    let mut tries = 0;
    loop {
        let mut transaction = jobs.begin().await?;
        match transaction.inner().take_step(call.run().id(), call.path()).await {
            Ok(kept) => return Ok((transaction, kept)),
            Err(error) if error.kind() == ErrorKind::Unavailable && tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn executed<D: Database, T: Serialize + DeserializeOwned + Send>(
    call: &StepCall,
    transaction: &mut Transaction<D>,
    f: impl AsyncFnOnce(&mut Transaction<D>) -> Result<T, JobError>,
) -> Result<(Instant, Payload, T), JobError> {
    let begun = Instant::now();
    let value = call.execute(async { f(transaction).await }).await?;
    let (result, value) = call.write(&value)?;
    Ok((begun, result, value))
}

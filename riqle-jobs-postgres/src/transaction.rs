//! Transactions of the application that the store has begun.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use riqle_jobs_core::{
    Database, DatabaseTransaction, Enqueued, Error, ErrorKind, LeaseAnswer, LeaseRef, Limits, NewRun,
    Payload, RunFilter, RunId, StepPath, StepSave, Wake,
    store::{NewEvent, ScheduleWrite, Staged, rules::Fence},
};
use sqlx::{
    PgConnection, Postgres as Driver, SqlSafeStr, pool::PoolConnection, postgres::PgTransactionManager,
};
use sqlx_core::transaction::TransactionManager;

use crate::{
    Postgres,
    address::reachable,
    connect::while_running,
    error::Failure,
    fence::{answers, hold},
    rows::get,
    steps::{keep_step, saved_result, take_step, write_steps},
    work::{BEGIN_TO_WRITE, Work, answered, within},
};

/// A transaction, as [`Transaction`](riqle_jobs_core::Transaction) has it: the application's own statements run on the
/// [`PgConnection`] that it derefs to. Dropped without a commit it is rolled back.
pub struct PostgresTransaction {
    connection: PoolConnection<Driver>,
    stage: Stage,
    /// Whether it holds a write of the store's.
    has_written: bool,
    store: Postgres,
    /// To be fired once it has committed.
    wakes: Vec<Wake>,
    /// Whether the last call is there whole or not at all: not where its future was dropped half way, or an answer did not come.
    call_has_ended: bool,
}

/// How far a transaction has come, and so what becomes of its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not known whether the connection is in a transaction: closed, so that nobody else gets it in that state.
    Unsure,
    Open,
    Ended,
}

impl Database for Postgres {
    type Transaction = PostgresTransaction;

    async fn begin(&self) -> Result<PostgresTransaction, Error> {
        let pool = &self.shared.begun_in;
        // Those that lie idle may all have reached a server that is read-only by now; a new one reaches who has taken over.
        let mut stale = pool.num_idle();
        loop {
            let connection = match pool.acquire().await {
                Ok(connection) => connection,
                Err(error) => return Err(unconnected(self, error).await),
            };
            // From here on closed where this is dropped.
            let mut begun = PostgresTransaction {
                connection,
                stage: Stage::Unsure,
                has_written: false,
                store: self.clone(),
                wakes: Vec::new(),
                call_has_ended: true,
            };
            let begin =
                PgTransactionManager::begin(&mut begun.connection, Some(BEGIN_TO_WRITE.into_sql_str()));
            match answered(begin).await {
                Ok(()) => {
                    begun.stage = Stage::Open;
                    return Ok(begun);
                }
                Err(error) if error.is_of_the_connection() && stale > 0 => stale -= 1,
                Err(error) => return Err(self.told(error.of("begin"))),
            }
        }
    }
}

impl PostgresTransaction {
    /// Its connection, at work for the store.
    fn work(&mut self) -> Work<'_> {
        Work::new(&mut self.connection, &self.store.shared.statements, self.store.frozen())
    }

    fn noted<T>(&mut self, called: Result<(T, Wake), Error>) -> Result<T, Error> {
        let (answer, wake) = called?;
        self.has_written = true;
        self.wakes.push(wake);
        Ok(answer)
    }

    async fn try_commit(&mut self) -> Result<(), Error> {
        let refused = |message| Err(Error::new(ErrorKind::Rejected, "commit", message));
        if PgTransactionManager::get_transaction_depth(&self.connection) != 1 {
            return refused("a transaction that was begun within this one has not ended; nothing is stored");
        }
        if !self.call_has_ended {
            return refused("a call in it was given up before it had ended; nothing is stored");
        }
        self.stage = Stage::Unsure;
        let committed = answered(async {
            // After a failed statement this fails as well, where COMMIT would roll back without an error.
            sqlx::raw_sql("SELECT 1").execute(&mut *self.connection).await?;
            PgTransactionManager::commit(&mut self.connection).await
        });
        committed.await.map_err(|error| match error.of_a_deferred_constraint() {
            Some(refused) => refused,
            None => self.store.failed_within("commit", error),
        })?;
        self.stage = Stage::Ended;
        if self.has_written {
            self.store.shared.writes.succeeded();
        }
        Ok(())
    }
}

impl DatabaseTransaction for PostgresTransaction {
    fn limits(&self) -> Limits {
        self.store.shared.limits
    }

    async fn enqueue(&mut self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let Self { store, connection, call_has_ended, .. } = self;
        let called = store.enqueue_within(connection, runs, call_has_ended).await;
        self.noted(called)
    }

    async fn send_events(&mut self, events: Vec<NewEvent>) -> Result<Vec<String>, Error> {
        let Self { store, connection, call_has_ended, .. } = self;
        let called = store.send_events_within(connection, events, call_has_ended).await;
        self.noted(called)
    }

    async fn cancel(&mut self, filter: RunFilter) -> Result<u64, Error> {
        let Self { store, connection, call_has_ended, .. } = self;
        let called = store.cancel_within(connection, filter, call_has_ended).await;
        self.noted(called)
    }

    async fn add_schedule(&mut self, row: ScheduleWrite) -> Result<(), Error> {
        let Self { store, connection, call_has_ended, .. } = self;
        let added = store.add_schedule(connection, row, call_has_ended).await;
        self.noted(added.map(|wake| ((), wake)))
    }

    async fn stage(&mut self, items: Vec<Staged>) -> Result<(), Error> {
        let Self { store, connection, call_has_ended, .. } = self;
        let staged = store.stage_items("stage", connection, items, call_has_ended).await;
        self.noted(staged.map(|wake| ((), wake)))
    }

    /// Its run stays as it is until the transaction ends, so a lease that holds in it holds to its end.
    async fn hold(&mut self, lease: &LeaseRef) -> Result<LeaseAnswer, Error> {
        let mut work = self.work();
        let answers = answered(async {
            let held = hold(&mut work, &[lease]).await?;
            answers(&mut work, &[lease], &held, Fence::answer).await
        });
        let answers = answers.await.map_err(|error| error.of("step_in"))?;
        Ok(answers.first().copied().unwrap_or(LeaseAnswer::LeaseLost))
    }

    async fn saved_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        answered(saved_result(&mut self.work(), run, path)).await.map_err(|error| error.of("step_in"))
    }

    async fn save_step(&mut self, step: StepSave) -> Result<(), Error> {
        let written = answered(async {
            let rows = write_steps(&mut self.work(), &[step]).await?;
            // No row: the step has cancelled its own run.
            rows.first().map_or(Ok(true), |row| get::<bool>(row, "is_new"))
        });
        if !written.await.map_err(unsaved)? {
            return Err(Error::new(ErrorKind::Conflict, "step_in", "the step is saved already"));
        }
        self.has_written = true;
        Ok(())
    }

    /// A row that is locked until the transaction ends.
    async fn take_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        answered(take_step(&mut self.work(), run, path)).await.map_err(|error| error.of("step_in"))
    }

    async fn keep_step(&mut self, run: RunId, path: &StepPath, result: Payload) -> Result<(), Error> {
        answered(keep_step(&mut self.work(), run, path, &result)).await.map_err(unsaved)?;
        self.has_written = true;
        Ok(())
    }

    /// `Rejected` where one of its statements has failed, a call in it was given up or not answered, a transaction that was begun
    /// within it has not ended, or a deferred constraint of the application refuses it. `Unavailable` also where others were in the way (a serialization failure):
    /// nothing is stored then.
    async fn commit(mut self) -> Result<(), Error> {
        let committed = self.try_commit().await;
        if committed.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Unavailable) {
            self.wakes.drain(..).for_each(Wake::fire);
        }
        committed
    }

    async fn rollback(mut self) -> Result<(), Error> {
        // Within a transaction that was begun within it this would undo that one alone.
        if PgTransactionManager::get_transaction_depth(&self.connection) != 1 {
            return Ok(());
        }
        self.stage = Stage::Unsure;
        within("rollback", PgTransactionManager::rollback(&mut self.connection)).await?;
        self.stage = Stage::Ended;
        Ok(())
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        let depth = PgTransactionManager::get_transaction_depth(&self.connection);
        match (self.stage, depth) {
            (Stage::Ended, 0) => {}
            (Stage::Open, 1) => PgTransactionManager::start_rollback(&mut self.connection),
            _ => self.connection.close_on_drop(),
        }
    }
}

/// Why the pool had no connection to begin a transaction on: all are in use, one that lay idle is silent, or the server is
/// away, which the pool does not tell apart.
async fn unconnected(store: &Postgres, error: sqlx::Error) -> Error {
    let pool = &store.shared.begun_in;
    let by_name = store.shared.own_pool.clone().unwrap_or_else(|| pool.connect_options().as_ref().clone());
    let (most, patience) = (pool.options().get_max_connections(), pool.options().get_acquire_timeout());
    let in_use = usize::try_from(pool.size()).unwrap_or(usize::MAX).saturating_sub(pool.num_idle());
    let are_all_in_use = u32::try_from(in_use).is_ok_and(|in_use| in_use >= most);
    let error = match error {
        sqlx::Error::PoolTimedOut => match store.shared.probe.reach(&by_name).await {
            Ok(()) => {
                if let Some(options) = &store.shared.own_pool {
                    // The address by which it has connected may be silent by now.
                    pool.set_connect_options(reachable(options).await);
                }
                let message = match are_all_in_use {
                    true => format!(
                        "all {most} connections of the pool are in use, and none became free within {patience:?}"
                    ),
                    false => format!("a connection of the pool has not answered within {patience:?}"),
                };
                return Error::new(ErrorKind::Unavailable, "begin", message).caused_by(error);
            }
            Err(error) => error,
        },
        error => while_running(&by_name, error),
    };
    store.told(error)
}

impl Deref for PostgresTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for PostgresTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl fmt::Debug for PostgresTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTransaction").finish_non_exhaustive()
    }
}

/// Why a result was not saved. After a statement of the step that failed it is not the result that is refused.
fn unsaved(error: Failure) -> Error {
    if error.is_of_a_failed_transaction() {
        let message =
            "a statement of the step has failed, and its transaction with it; nothing of it is stored";
        return Error::new(ErrorKind::Unavailable, "step_in", message);
    }
    error.of("step_in")
}

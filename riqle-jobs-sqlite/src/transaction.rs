//! Transactions of the application that the store has begun.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use jiff::Timestamp;
use riqle_jobs_core::{
    Database, DatabaseTransaction, Enqueued, Error, ErrorKind, LeaseAnswer, LeaseRef, Limits, NewRun,
    Payload, RunFilter, RunId, StepPath, StepSave, Wake,
    store::{NewEvent, Staged, rules::Fence},
};
use sqlx::{
    SqlSafeStr, Sqlite as Driver, SqliteConnection, pool::PoolConnection, sqlite::SqliteTransactionManager,
};
use sqlx_core::transaction::TransactionManager;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Sqlite,
    error::{Failure, Result as Fallible},
    fence::fences,
    steps::{insert_steps, keep_step, kept_step, saved_result},
};

/// A transaction that may write, as [`Transaction`](riqle_jobs_core::Transaction) has it: the application's own statements
/// run on the [`SqliteConnection`] that it derefs to. Dropped without a commit it is rolled back.
pub struct SqliteTransaction {
    // Declared first, so that it has ended when the next writer has its turn. No `sqlx::Transaction`: that one would
    // hand a connection back to its pool whose transaction SQLite has ended by itself, which can't begin another.
    connection: PoolConnection<Driver>,
    has_ended: bool,
    _turn: OwnedSemaphorePermit,
    store: Sqlite,
    /// To be fired once it has committed.
    wakes: Vec<Wake>,
}

impl Database for Sqlite {
    type Transaction = SqliteTransaction;

    /// Nobody else writes until it ends.
    async fn begin(&self) -> Result<SqliteTransaction, Error> {
        let turn = self.shared.in_process.turn("begin").await?;
        let mut connection = self.shared.connection("begin").await?;
        let begun = SqliteTransactionManager::begin(&mut connection, Some("BEGIN IMMEDIATE".into_sql_str()));
        begun.await.map_err(|error| Failure::from(error).of("begin"))?;
        Ok(SqliteTransaction {
            connection,
            has_ended: false,
            _turn: turn,
            store: self.clone(),
            wakes: Vec::new(),
        })
    }
}

impl SqliteTransaction {
    async fn now(&mut self) -> Fallible<Timestamp> {
        self.store.now_in(&mut self.connection).await
    }
}

impl DatabaseTransaction for SqliteTransaction {
    fn limits(&self) -> Limits {
        self.store.shared.limits
    }

    async fn enqueue(&mut self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let (answers, wake) = self.store.enqueue_in(&mut self.connection, runs).await?;
        self.wakes.push(wake);
        Ok(answers)
    }

    async fn send_events(&mut self, events: Vec<NewEvent>) -> Result<Vec<String>, Error> {
        let (ids, wake) = self.store.send_event_in(&mut self.connection, events).await?;
        self.wakes.push(wake);
        Ok(ids)
    }

    async fn cancel(&mut self, filter: RunFilter) -> Result<u64, Error> {
        let (count, wake) = self.store.cancel_in(&mut self.connection, filter).await?;
        self.wakes.push(wake);
        Ok(count)
    }

    async fn stage(&mut self, items: Vec<Staged>) -> Result<(), Error> {
        let wake = self.store.stage_items("stage", &mut self.connection, &items).await?;
        self.wakes.push(wake);
        Ok(())
    }

    /// While the transaction is open nobody else can write, so a lease that holds in it holds to its end.
    async fn hold(&mut self, lease: &LeaseRef) -> Result<LeaseAnswer, Error> {
        let fences = fences(&mut self.connection, &[lease]).await.map_err(|error| error.of("step_in"))?;
        Ok(fences.first().unwrap_or(&Fence::Lost).answer())
    }

    async fn saved_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        saved_result(&mut self.connection, run, path).await.map_err(|error| error.of("step_in"))
    }

    async fn save_step(&mut self, step: StepSave) -> Result<(), Error> {
        let saved = async {
            let now = self.now().await?;
            insert_steps(&mut self.connection, &[&step], now).await
        };
        match saved.await.map_err(|error| error.of("step_in"))? {
            0 => Err(Error::new(ErrorKind::Conflict, "step_in", "the step is saved already")),
            _ => Ok(()),
        }
    }

    /// While the transaction is open nobody else can write, so the place is its own.
    async fn take_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        kept_step(&mut self.connection, run, path).await.map_err(|error| error.of("step_in"))
    }

    async fn keep_step(&mut self, run: RunId, path: &StepPath, result: Payload) -> Result<(), Error> {
        let kept = async {
            let now = self.now().await?;
            keep_step(&mut self.connection, run, path, &result, now).await
        };
        kept.await.map_err(|error| error.of("step_in"))
    }

    /// `Unavailable` also where SQLite has rolled it back: on a full disk.
    async fn commit(mut self) -> Result<(), Error> {
        self.store.shared.file.check("commit")?;
        let committed = SqliteTransactionManager::commit(&mut self.connection).await;
        self.has_ended = committed.is_ok();
        let committed = committed.map_err(|error| Failure::from(error).of("commit"));
        std::mem::take(&mut self.wakes).into_iter().for_each(Wake::fire);
        self.store.shared.writer.writes.note(committed)
    }

    async fn rollback(mut self) -> Result<(), Error> {
        let undone = SqliteTransactionManager::rollback(&mut self.connection).await;
        self.has_ended = undone.is_ok();
        undone.map_err(|error| Failure::from(error).of("rollback"))
    }
}

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        if !self.has_ended {
            SqliteTransactionManager::start_rollback(&mut self.connection);
            self.connection.close_on_drop();
        }
    }
}

impl Deref for SqliteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for SqliteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl fmt::Debug for SqliteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction").finish_non_exhaustive()
    }
}

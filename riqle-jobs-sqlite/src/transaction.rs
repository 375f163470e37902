//! Transactions of the application that the store has begun.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use jiff::Timestamp;
use riqle_jobs_core::{
    Database, DatabaseTransaction, Enqueued, Error, ErrorKind, LeaseAnswer, LeaseRef, Limits, NewRun,
    Payload, RunFilter, RunId, StepPath, StepSave, Wake,
    store::{NewEvent, ScheduleWrite, Staged, rules::Fence},
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
    /// Whether a call has begun and not ended: its future was dropped half way.
    is_in_call: bool,
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
            is_in_call: false,
        })
    }
}

impl SqliteTransaction {
    async fn now(&mut self) -> Fallible<Timestamp> {
        self.store.now_in(&mut self.connection).await
    }

    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&Sqlite, &mut SqliteConnection) -> Result<(T, Wake), Error>,
    ) -> Result<T, Error> {
        self.is_in_call = true;
        let open = self.check_open().await;
        let called = match open {
            Ok(()) => call(&self.store, &mut self.connection).await,
            Err(error) => Err(error),
        };
        self.is_in_call = false;
        let (answer, wake) = called?;
        self.wakes.push(wake);
        Ok(answer)
    }

    /// SQLite rolls a transaction back by itself, on a full disk say; what follows would be committed statement by statement.
    async fn check_open(&mut self) -> Result<(), Error> {
        // Refused within a transaction, and without an effect there.
        if sqlx::query("BEGIN").execute(&mut *self.connection).await.is_err() {
            return Ok(());
        }
        let _ = sqlx::query("ROLLBACK").execute(&mut *self.connection).await;
        let message = "SQLite has rolled the transaction back by itself, as it does on a full disk";
        Err(Error::new(ErrorKind::Unavailable, "transaction", message))
    }
}

impl DatabaseTransaction for SqliteTransaction {
    fn limits(&self) -> Limits {
        self.store.shared.limits
    }

    async fn enqueue(&mut self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        self.call(async |store, connection| store.enqueue_in(connection, runs).await).await
    }

    async fn send_events(&mut self, events: Vec<NewEvent>) -> Result<Vec<String>, Error> {
        self.call(async |store, connection| store.send_event_in(connection, events).await).await
    }

    async fn cancel(&mut self, filter: RunFilter) -> Result<u64, Error> {
        self.call(async |store, connection| store.cancel_in(connection, filter).await).await
    }

    async fn add_schedule(&mut self, row: ScheduleWrite) -> Result<(), Error> {
        let add = async |store: &Sqlite, connection: &mut SqliteConnection| {
            store.add_schedule(connection, &row).await.map(|wake| ((), wake))
        };
        self.call(add).await
    }

    async fn stage(&mut self, items: Vec<Staged>) -> Result<(), Error> {
        let stage = async |store: &Sqlite, connection: &mut SqliteConnection| {
            store.stage_items("stage", connection, &items).await.map(|wake| ((), wake))
        };
        self.call(stage).await
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
        self.check_open().await?;
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
        self.check_open().await?;
        let kept = async {
            let now = self.now().await?;
            keep_step(&mut self.connection, run, path, &result, now).await
        };
        kept.await.map_err(|error| error.of("step_in"))
    }

    /// `Unavailable` also where SQLite has rolled it back: on a full disk.
    async fn commit(mut self) -> Result<(), Error> {
        self.store.shared.file.check("commit")?;
        let refused = |message| Err(Error::new(ErrorKind::Rejected, "commit", message));
        if SqliteTransactionManager::get_transaction_depth(&self.connection) != 1 {
            return refused("a transaction that was begun within this one has not ended; nothing is stored");
        }
        if self.is_in_call {
            return refused("a call in it was given up before it had ended; nothing is stored");
        }
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

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use jiff::Timestamp;
use riqle_jobs_core::{
    Enqueued, Error, Hint, NewRun, Wake,
    events::{check_events, runs_started_by},
    store::{EventStart, NewEvent, Staged},
};
use sqlx::{
    SqlSafeStr, Sqlite as Driver, SqliteConnection, pool::PoolConnection, sqlite::SqliteTransactionManager,
};
use sqlx_core::transaction::TransactionManager;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Sqlite,
    enqueue::enqueue,
    error::{Failure, Result as Fallible, translate},
    events::start_events,
    handle::Shared,
    lanes::Lanes,
    registry::registered_jobs,
    staging::stage,
};

/// A transaction that may write: the application's own statements run on the [`SqliteConnection`] that it derefs to.
/// Dropped without [`commit`](Self::commit) it is rolled back.
pub struct SqliteTransaction {
    // Declared first, so that it has ended when the next writer has its turn. No `sqlx::Transaction`: that one would
    // hand a connection back to its pool whose transaction SQLite has ended by itself, which can't begin another.
    connection: PoolConnection<Driver>,
    has_ended: bool,
    _turn: OwnedSemaphorePermit,
    shared: Arc<Shared>,
}

impl SqliteTransaction {
    pub(crate) async fn begin(shared: &Arc<Shared>) -> Result<Self, Error> {
        let turn = shared.in_process.turn("begin").await?;
        let mut connection = shared.connection("begin").await?;
        let begun = SqliteTransactionManager::begin(&mut connection, Some("BEGIN IMMEDIATE".into_sql_str()));
        begun.await.map_err(|error| translate("begin", error))?;
        Ok(Self { connection, has_ended: false, _turn: turn, shared: Arc::clone(shared) })
    }

    /// Makes everything in it lasting.
    ///
    /// # Errors
    /// `Unavailable` where it may or may not have been committed, and where SQLite has rolled it back: on a full disk.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.shared.file.check("commit")?;
        let committed = SqliteTransactionManager::commit(&mut self.connection).await;
        self.has_ended = committed.is_ok();
        self.shared.writer.writes.note(committed.map_err(|error| translate("commit", error)))
    }

    /// Undoes everything in it.
    ///
    /// # Errors
    /// `Unavailable`; nothing of it stays in any case.
    pub async fn rollback(mut self) -> Result<(), Error> {
        let undone = SqliteTransactionManager::rollback(&mut self.connection).await;
        self.has_ended = undone.is_ok();
        undone.map_err(|error| translate("rollback", error))
    }

    /// The store's time.
    pub(crate) async fn now(&mut self) -> Fallible<Timestamp> {
        self.shared.clock.now_in(&mut self.connection).await
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

impl Sqlite {
    /// Stores a group of runs of one queue in the caller's transaction: they are there once it commits, and never
    /// were where it rolls back. Fire the [`Wake`] after the commit.
    ///
    /// `connection` is a [`SqliteTransaction`], or a connection of [`pool`](Self::pool) in a transaction begun with
    /// `BEGIN IMMEDIATE`; without a transaction the group is one of its own.
    ///
    /// # Errors
    /// As [`Queue::enqueue`](riqle_jobs_core::Queue::enqueue); nothing of the group is stored then, and the
    /// transaction can go on, but on a full disk, where SQLite may have rolled it back: drop it where this is `Unavailable`.
    pub async fn enqueue_in(
        &self,
        connection: &mut SqliteConnection,
        runs: Vec<NewRun>,
    ) -> Result<(Vec<Enqueued>, Wake), Error> {
        self.shared.file.check("enqueue_in")?;
        self.shared.limits.check_group(&runs)?;
        let queue = runs.first().map(|run| run.queue.clone());
        let answers = all_or_nothing(connection, async |connection| {
            let now = self.now_in(connection).await?;
            let mut answers = enqueue(connection, &mut Lanes::default(), &[runs.as_slice()], now).await?;
            answers.pop().unwrap_or_else(|| Ok(Vec::new())).map_err(Failure::from)
        })
        .await
        .map_err(|error| error.of("enqueue_in"))?;
        Ok((answers, self.shared.in_process.wake.wake(Hint::Due(queue))))
    }

    /// Sends events in the caller's transaction, all or none, and stores the runs that they start: what
    /// [`Jobs::send_events`](riqle_jobs_core::Jobs::send_events) does by itself. Answers with their ids, in order.
    ///
    /// # Errors
    /// `Rejected` with the index; `Unavailable`. Nothing of it is stored then, and the transaction can go on.
    pub async fn send_event_in(
        &self,
        connection: &mut SqliteConnection,
        events: Vec<NewEvent>,
    ) -> Result<(Vec<String>, Wake), Error> {
        self.shared.file.check("send_event_in")?;
        check_events(&events, self.shared.limits)?;
        let ids = events.iter().map(|event| event.id.clone()).collect();
        all_or_nothing(connection, async |connection| {
            let now = self.now_in(connection).await?;
            let jobs = registered_jobs(connection).await?;
            let start = |event| EventStart { runs: runs_started_by(&event, &jobs, now), event };
            let starts: Vec<_> = events.into_iter().map(start).collect();
            self.shared.limits.check_event_runs(&starts)?;
            let starts: Vec<_> = starts.iter().collect();
            start_events(connection, &mut Lanes::default(), &starts, now).await
        })
        .await
        .map_err(|error| error.of("send_event_in"))?;
        Ok((ids, self.shared.in_process.wake.wake(Hint::Due(None))))
    }
}

impl Sqlite {
    /// Stages runs, of any queues, in the caller's transaction: once it commits, a [`Relay`](riqle_jobs_core::Relay)
    /// moves them into the store that they are meant for. Fire the [`Wake`] after the commit.
    ///
    /// Unique keys are looked at when the runs arrive there, delays count from now. A run that is staged here under its
    /// id already is left as it was. `connection` is as for [`enqueue_in`](Self::enqueue_in).
    ///
    /// # Errors
    /// `Rejected` over a limit of this store, with the index; `Unavailable`. Nothing is staged then, and the transaction
    /// can go on.
    pub async fn stage_in(
        &self,
        connection: &mut SqliteConnection,
        runs: Vec<NewRun>,
    ) -> Result<Wake, Error> {
        self.shared.limits.check_staged(&runs)?;
        let items = runs.into_iter().map(Staged::run).collect::<Result<Vec<_>, _>>()?;
        self.stage_all("stage_in", connection, &items).await
    }

    /// Stages events in the caller's transaction, as [`stage_in`](Self::stage_in) does runs: once moved they start the
    /// jobs that the other store knows.
    ///
    /// # Errors
    /// As [`stage_in`](Self::stage_in).
    pub async fn stage_event_in(
        &self,
        connection: &mut SqliteConnection,
        events: Vec<NewEvent>,
    ) -> Result<Wake, Error> {
        check_events(&events, self.shared.limits)?;
        let items = events.into_iter().map(Staged::event).collect::<Result<Vec<_>, _>>()?;
        self.stage_all("stage_event_in", connection, &items).await
    }

    async fn stage_all(
        &self,
        operation: &'static str,
        connection: &mut SqliteConnection,
        items: &[Staged],
    ) -> Result<Wake, Error> {
        self.shared.file.check(operation)?;
        all_or_nothing(connection, async |connection| {
            let now = self.now_in(connection).await?;
            stage(connection, items, now).await
        })
        .await
        .map_err(|error| error.of(operation))?;
        Ok(self.shared.in_process.wake.wake(Hint::Staged))
    }
}

/// Undoes what `change` wrote where it fails, and only that.
async fn all_or_nothing<T>(
    connection: &mut SqliteConnection,
    change: impl AsyncFnOnce(&mut SqliteConnection) -> Fallible<T>,
) -> Fallible<T> {
    sqlx::query("SAVEPOINT riqle_jobs").execute(&mut *connection).await?;
    match change(&mut *connection).await {
        Ok(value) => {
            sqlx::query("RELEASE riqle_jobs").execute(&mut *connection).await?;
            Ok(value)
        }
        Err(error) => {
            // A full disk has rolled the whole transaction back already; then there is nothing left to undo.
            let undo = "ROLLBACK TO riqle_jobs; RELEASE riqle_jobs";
            let _ = sqlx::query(undo).execute(&mut *connection).await;
            Err(error)
        }
    }
}

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use riqle_jobs_core::{
    Enqueued, Error, ErrorKind, Hint, NewRun, Wake,
    events::{check_events, runs_started_by},
    from_millis,
    store::{EventStart, NewEvent, Staged},
};
use sqlx::{
    AssertSqlSafe, PgConnection, Postgres as Driver, Row, SqlSafeStr, pool::PoolConnection,
    postgres::PgTransactionManager,
};
use sqlx_core::transaction::TransactionManager;

use crate::{
    Postgres,
    address::reachable,
    connect::while_running,
    enqueue::{Within, enqueue},
    error::{Failure, Result as Fallible},
    events::start_events,
    registry::registered_jobs,
    staging::stage,
    work::{Apply, BEGIN_TO_WRITE, Work, answered, within},
};

/// How often a group is tried anew because another transaction took its unique key first.
const TRIES: usize = 5;
/// The schema that [`Postgres::all_or_nothing`] has written to in a transaction.
const WRITTEN_TO: &str = "SELECT current_setting('riqle_jobs.written_to', true) AS schema";

/// A transaction: the application's own statements run on the [`PgConnection`] that it derefs to. Dropped without
/// [`commit`](Self::commit) it is rolled back.
pub struct PostgresTransaction {
    connection: PoolConnection<Driver>,
    stage: Stage,
    /// Whether it holds a write of the store's, beside those that [`Postgres::all_or_nothing`] has marked.
    pub(crate) has_written: bool,
    store: Postgres,
}

/// How far a transaction has come, and so what becomes of its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not known whether the connection is in a transaction: closed, so that nobody gets it so.
    Unsure,
    Open,
    Ended,
}

impl PostgresTransaction {
    pub(crate) async fn begin(store: &Postgres) -> Result<Self, Error> {
        let pool = &store.shared.begun_in;
        // Those that lie idle may all have reached a server that is read-only by now; a new one reaches who has taken over.
        let mut stale = pool.num_idle();
        loop {
            let connection = match pool.acquire().await {
                Ok(connection) => connection,
                Err(error) => return Err(unconnected(store, error).await),
            };
            // From here on closed where this is dropped.
            let mut begun =
                Self { connection, stage: Stage::Unsure, has_written: false, store: store.clone() };
            let begin =
                PgTransactionManager::begin(&mut begun.connection, Some(BEGIN_TO_WRITE.into_sql_str()));
            match answered(begin).await {
                Ok(()) => {
                    begun.stage = Stage::Open;
                    return Ok(begun);
                }
                Err(error) if error.is_of_the_connection() && stale > 0 => stale -= 1,
                Err(error) => return Err(begun.store.told(error.of("begin"))),
            }
        }
    }

    /// Its connection, at work for the store.
    pub(crate) fn work(&mut self) -> Work<'_> {
        Work::new(&mut self.connection, &self.store.shared.statements, self.store.frozen())
    }

    /// Makes everything in it lasting.
    ///
    /// # Errors
    /// `Rejected` where one of its statements has failed, a transaction that was begun within it has not ended, or a deferred
    /// constraint of the application refuses it: nothing of it is stored. `Unavailable` where it may or may not have been committed, and where others were in the way
    /// (a serialization failure): nothing is stored then.
    pub async fn commit(mut self) -> Result<(), Error> {
        if PgTransactionManager::get_transaction_depth(&self.connection) != 1 {
            let message = "a transaction that was begun within this one has not ended; nothing is stored";
            return Err(Error::new(ErrorKind::Rejected, "commit", message));
        }
        self.stage = Stage::Unsure;
        // PostgreSQL answers a COMMIT after a failed statement by rolling back, without an error.
        let committed = answered(async {
            let marked = sqlx::query(WRITTEN_TO).persistent(false).fetch_one(&mut *self.connection).await?;
            let marked: Option<String> = marked.try_get("schema")?;
            PgTransactionManager::commit(&mut self.connection).await?;
            Ok::<_, sqlx::Error>(marked)
        });
        let marked = committed.await.map_err(|error| match error.of_a_deferred_constraint() {
            Some(refused) => refused,
            None => self.store.failed_within("commit", error),
        })?;
        self.stage = Stage::Ended;
        if self.has_written || marked.as_deref() == Some(self.store.shared.statements.schema()) {
            self.store.shared.writes.succeeded();
        }
        Ok(())
    }

    /// Undoes everything in it.
    ///
    /// # Errors
    /// `Unavailable`; nothing of it stays in any case.
    pub async fn rollback(mut self) -> Result<(), Error> {
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

impl Postgres {
    /// Stores a group of runs of one queue in the caller's transaction: they are there once it commits, and never
    /// were where it rolls back. Fire the [`Wake`] after the commit.
    ///
    /// `connection` is a [`PostgresTransaction`], or any connection to the same database that is in a transaction. Know
    /// that PostgreSQL answers the COMMIT of a transaction in which a statement has failed by rolling back, without an
    /// error; [`PostgresTransaction::commit`] tells.
    ///
    /// # Errors
    /// As [`Queue::enqueue`](riqle_jobs_core::Queue::enqueue); nothing of the group is stored then, and the
    /// transaction can go on unless the connection itself broke off or the server did not answer in time.
    pub async fn enqueue_in(
        &self,
        connection: &mut PgConnection,
        runs: Vec<NewRun>,
    ) -> Result<(Vec<Enqueued>, Wake), Error> {
        self.shared.limits.check_group(&runs)?;
        let queue = runs.first().map(|run| run.queue.clone());
        let answers = self
            .all_or_nothing("enqueue_in", connection, &(self.clone(), runs), |work, (store, runs)| {
                Box::pin(enqueue_group(work, store, runs))
            })
            .await?;
        Ok((answers, self.shared.wake.wake(Hint::Due(queue))))
    }

    /// Sends events in the caller's transaction, all or none, and stores the runs that they start: what
    /// [`Jobs::send_events`](riqle_jobs_core::Jobs::send_events) does by itself. Answers with their ids, in order.
    ///
    /// # Errors
    /// `Rejected` with the index; `Unavailable`. Nothing of it is stored then, and the transaction can go on unless
    /// the connection itself broke off.
    pub async fn send_event_in(
        &self,
        connection: &mut PgConnection,
        events: Vec<NewEvent>,
    ) -> Result<(Vec<String>, Wake), Error> {
        check_events(&events, self.shared.limits)?;
        let ids = self
            .all_or_nothing("send_event_in", connection, &(self.clone(), events), |work, (store, events)| {
                Box::pin(send_events(work, store, events))
            })
            .await?;
        Ok((ids, self.shared.wake.wake(Hint::Due(None))))
    }

    /// Stages runs, of any queues, in the caller's transaction: once it commits, a [`Relay`](riqle_jobs_core::Relay)
    /// moves them into the store that they are meant for. Fire the [`Wake`] after the commit.
    ///
    /// Unique keys are looked at when the runs arrive there, delays count from now. A run that is staged here under its
    /// id already is left as it was. `connection` is as for [`enqueue_in`](Self::enqueue_in).
    ///
    /// # Errors
    /// `Rejected` over a limit of this store, with the index; `Unavailable`. Nothing is staged then, and the transaction
    /// can go on unless the connection itself broke off.
    pub async fn stage_in(&self, connection: &mut PgConnection, runs: Vec<NewRun>) -> Result<Wake, Error> {
        self.shared.limits.check_staged(&runs)?;
        let items = runs.into_iter().map(Staged::run).collect::<Result<Vec<_>, _>>()?;
        self.stage_all("stage_in", connection, items).await
    }

    /// Stages events in the caller's transaction, as [`stage_in`](Self::stage_in) does runs: once moved they start the
    /// jobs that the other store knows.
    ///
    /// # Errors
    /// As [`stage_in`](Self::stage_in).
    pub async fn stage_event_in(
        &self,
        connection: &mut PgConnection,
        events: Vec<NewEvent>,
    ) -> Result<Wake, Error> {
        check_events(&events, self.shared.limits)?;
        let items = events.into_iter().map(Staged::event).collect::<Result<Vec<_>, _>>()?;
        self.stage_all("stage_event_in", connection, items).await
    }

    async fn stage_all(
        &self,
        operation: &'static str,
        connection: &mut PgConnection,
        items: Vec<Staged>,
    ) -> Result<Wake, Error> {
        self.all_or_nothing(operation, connection, &items, |work, items| Box::pin(stage(work, items)))
            .await?;
        Ok(self.shared.wake.wake(Hint::Staged))
    }

    /// Undoes what `apply` wrote where it fails, and only that.
    async fn all_or_nothing<Q: Sync, A>(
        &self,
        operation: &'static str,
        connection: &mut PgConnection,
        question: &Q,
        apply: Apply<Q, A>,
    ) -> Result<A, Error> {
        let mut tries = 1;
        let schema = self.shared.statements.schema();
        let written = format!("RELEASE SAVEPOINT riqle_jobs; SET LOCAL riqle_jobs.written_to = '{schema}'");
        loop {
            let begun = sqlx::raw_sql("SAVEPOINT riqle_jobs").execute(&mut *connection);
            within(operation, begun).await?;
            let mut work = Work::new(&mut *connection, &self.shared.statements, self.frozen());
            let answer = answered(apply(&mut work, question)).await;
            let end = match &answer {
                Ok(_) => written.as_str(),
                Err(_) => "ROLLBACK TO SAVEPOINT riqle_jobs; RELEASE SAVEPOINT riqle_jobs",
            };
            let end = sqlx::raw_sql(AssertSqlSafe(end));
            let ended = within(operation, end.execute(&mut *connection)).await;
            match answer {
                Ok(answer) => return ended.map(|_| answer),
                Err(error) if ended.is_ok() && tries < TRIES && error.is_outrun() => tries += 1,
                Err(error) => return Err(self.failed_within(operation, error)),
            }
        }
    }

    /// An error of a transaction of the application.
    fn failed_within(&self, operation: &'static str, error: Failure) -> Error {
        let is_of_the_application = error.is_of_the_application();
        let error = error.of(operation);
        if is_of_the_application { error } else { self.told(error) }
    }

    /// An error of what surely writes, noted for the health.
    fn told(&self, error: Error) -> Error {
        self.shared.writes.failed(&error);
        error
    }
}

async fn enqueue_group(work: &mut Work<'_>, store: &Postgres, runs: &[NewRun]) -> Fallible<Vec<Enqueued>> {
    let mut answers = enqueue(work, Within::Callers(store), &[runs]).await?;
    answers.pop().unwrap_or_else(|| Ok(Vec::new())).map_err(Failure::from)
}

async fn send_events(work: &mut Work<'_>, store: &Postgres, events: &[NewEvent]) -> Fallible<Vec<String>> {
    let jobs = registered_jobs(work).await?;
    let now = work.timed("SELECT riqle.now($1)").fetch_one(&mut *work.connection).await?;
    let now = from_millis(now.try_get(0)?);
    let start =
        |event: &NewEvent| EventStart { event: event.clone(), runs: runs_started_by(event, &jobs, now) };
    let starts: Vec<_> = events.iter().map(start).collect();
    store.shared.limits.check_event_runs(&starts)?;
    start_events(work, Within::Callers(store), &starts).await?;
    Ok(events.iter().map(|event| event.id.clone()).collect())
}

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use riqle_jobs_core::{
    Enqueued, Error, Hint, NewRun, Wake,
    events::{check_events, runs_started_by},
    from_millis,
    store::{EventStart, NewEvent, Staged},
};
use sqlx::{PgConnection, Postgres as Driver, Row, Transaction};

use crate::{
    Postgres,
    enqueue::{Within, enqueue},
    error::{Result as DriverResult, from_driver, into_driver, is_worth_repeating},
    events::start_events,
    registry::registered_jobs,
    staging::stage,
    work::{Apply, Work, answered, within},
};

/// How often a group is tried anew because another transaction took its unique key first.
const TRIES: usize = 5;

/// A transaction: the application's own statements run on the [`PgConnection`] that it derefs to. Dropped without
/// [`commit`](Self::commit) it is rolled back.
pub struct PostgresTransaction {
    transaction: Transaction<'static, Driver>,
    store: Postgres,
}

impl PostgresTransaction {
    pub(crate) async fn begin(store: &Postgres) -> Result<Self, Error> {
        let transaction = within("begin", store.shared.begun_in.begin()).await?;
        Ok(Self { transaction, store: store.clone() })
    }

    /// Its connection, at work for the store.
    pub(crate) fn work(&mut self) -> Work<'_> {
        Work::new(&mut self.transaction, &self.store.shared.statements, self.store.frozen())
    }

    /// Makes everything in it lasting.
    ///
    /// # Errors
    /// `Rejected` where one of its statements has failed: nothing of it is stored. `Unavailable` where it may or may
    /// not have been committed.
    pub async fn commit(mut self) -> Result<(), Error> {
        // PostgreSQL answers a COMMIT after a failed statement by rolling back, without an error.
        within("commit", async {
            sqlx::query("SELECT 1").persistent(false).execute(&mut *self.transaction).await?;
            self.transaction.commit().await
        })
        .await
    }

    /// Undoes everything in it.
    ///
    /// # Errors
    /// `Unavailable`; nothing of it stays in any case.
    pub async fn rollback(self) -> Result<(), Error> {
        within("rollback", self.transaction.rollback()).await
    }
}

impl Deref for PostgresTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for PostgresTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
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
        loop {
            let begun = sqlx::raw_sql("SAVEPOINT riqle_jobs").execute(&mut *connection);
            within(operation, begun).await?;
            let mut work = Work::new(&mut *connection, &self.shared.statements, self.frozen());
            let answer = answered(apply(&mut work, question)).await;
            let end = match &answer {
                Ok(_) => "RELEASE SAVEPOINT riqle_jobs",
                Err(_) => "ROLLBACK TO SAVEPOINT riqle_jobs; RELEASE SAVEPOINT riqle_jobs",
            };
            let ended = within(operation, sqlx::raw_sql(end).execute(&mut *connection)).await;
            match answer {
                Ok(answer) => return ended.map(|_| answer),
                Err(error) if ended.is_ok() && tries < TRIES && is_worth_repeating(&error) => tries += 1,
                Err(error) => return Err(from_driver(operation, error)),
            }
        }
    }
}

async fn enqueue_group(
    work: &mut Work<'_>,
    store: &Postgres,
    runs: &[NewRun],
) -> DriverResult<Vec<Enqueued>> {
    let mut answers = enqueue(work, Within::Callers(store), &[runs]).await?;
    answers.pop().unwrap_or_else(|| Ok(Vec::new())).map_err(into_driver)
}

async fn send_events(
    work: &mut Work<'_>,
    store: &Postgres,
    events: &[NewEvent],
) -> DriverResult<Vec<String>> {
    let jobs = registered_jobs(work).await?;
    let now = work.timed("SELECT riqle.now($1)").fetch_one(&mut *work.connection).await?;
    let now = from_millis(now.try_get(0)?);
    let start =
        |event: &NewEvent| EventStart { event: event.clone(), runs: runs_started_by(event, &jobs, now) };
    let starts: Vec<_> = events.iter().map(start).collect();
    store.shared.limits.check_event_runs(&starts).map_err(into_driver)?;
    start_events(work, Within::Callers(store), &starts).await?;
    Ok(events.iter().map(|event| event.id.clone()).collect())
}

//! What producers and workers ask (`Queue`), and the connection that extends leases.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    ClaimRequest, Claimed, Clock, Enqueued, Error, Hint, LeaseAnswer, LeaseConnection, LeaseRef, LeaseToken,
    Limits, NewRun, Queue, Settlement, StepSave, WakeUps, store::Note,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    Sqlite, error::Result as Fallible, file::File, file_clock::FileClock, notes::annotate, steps::extend,
    writer::Write,
};

#[async_trait]
impl Queue for Sqlite {
    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        self.shared.limits.check_group(&runs)?;
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.writer.ask("enqueue", runs).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        self.shared.writer.ask("claim", request).await
    }

    async fn give_back(&self, queue: &str, token: LeaseToken) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("give_back", (queue.to_owned(), token), |write, (queue, token)| {
                Box::pin(give_back(write, queue, *token))
            })
            .await
    }

    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error> {
        let writer = &self.shared.writer;
        writer
            .change("extend", (leases, lease), |write, (leases, lease)| {
                Box::pin(extend(&mut write.connection, leases, *lease, write.now))
            })
            .await
    }

    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error> {
        self.shared.writer.ask("save_steps", steps).await
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<Vec<LeaseAnswer>, Error> {
        let writer = &self.shared.writer;
        writer.change("annotate", notes, |write, notes| Box::pin(annotate(write, notes))).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        self.shared.writer.ask("settle", settlements).await
    }

    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
        let options = self.shared.options.clone();
        let clock = Arc::clone(&self.shared.clock);
        let file = Arc::clone(&self.shared.file);
        Ok(Box::new(SqliteLeaseConnection { options, clock, file, connection: None }))
    }

    fn wake_ups(&self) -> WakeUps {
        self.shared.in_process.wake.wake_ups()
    }

    fn clock(&self) -> Clock {
        self.shared.clock.clock().clone()
    }

    async fn now(&self) -> Result<Timestamp, Error> {
        let clock = Arc::clone(&self.shared.clock);
        if clock.is_known() {
            return Ok(clock.known_now());
        }
        let read = self.read("now", |mut connection| async move { clock.now_in(&mut connection).await });
        // A page that says that the file can't be read shows the time all the same.
        Ok(read.await.unwrap_or_else(|_| self.shared.clock.known_now()))
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }
}

async fn give_back(write: &mut Write, queue: &str, token: LeaseToken) -> Fallible<()> {
    let freed = sqlx::query(include_str!("../queries/give_back.sql"))
        .bind(queue)
        .bind(token.as_uuid())
        .fetch_all(&mut write.connection)
        .await?;
    if !freed.is_empty() {
        write.hint(Hint::Due(Some(queue.to_owned())));
    }
    Ok(())
}

/// Extends leases on a connection of its own. It does not wait for its turn among the writers of the process: one
/// of them may be a task of a runtime that a body blocks.
struct SqliteLeaseConnection {
    options: SqliteConnectOptions,
    clock: Arc<FileClock>,
    file: Arc<File>,
    connection: Option<SqliteConnection>,
}

#[async_trait]
impl LeaseConnection for SqliteLeaseConnection {
    async fn extend(
        &mut self,
        leases: Vec<LeaseRef>,
        lease: Duration,
    ) -> Result<Vec<Option<LeaseAnswer>>, Error> {
        self.file.check("extend")?;
        let extended = self.try_extend(&leases, lease).await;
        if extended.is_err() {
            self.connection = None;
        }
        let answers = extended.map_err(|error| error.of("extend"))?;
        Ok(answers.into_iter().map(Some).collect())
    }
}

impl SqliteLeaseConnection {
    async fn try_extend(&mut self, leases: &[LeaseRef], lease: Duration) -> Fallible<Vec<LeaseAnswer>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.options.connect().await?),
        };
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let now = self.clock.now_in(&mut transaction).await?;
        let answers = extend(&mut transaction, leases, lease, now).await?;
        transaction.commit().await?;
        Ok(answers)
    }
}

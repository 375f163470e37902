//! The one writer of a store: a thread that commits together what waits.

use std::{future::Future, pin::Pin, sync::Arc, thread};

use jiff::Timestamp;
use riqle_jobs_core::{
    Error, ErrorKind, Hint,
    store::{Repeated, Writes},
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Synchronous,
    batch::{Ask, Batch, Question, Request},
    error::{Failure, Result as Fallible, is_busy},
    file::File,
    file_clock::FileClock,
    in_process::InProcess,
    lanes::Lanes,
    rows::Query,
};

/// Most requests that share a commit.
const MOST_AT_ONCE: usize = 1_024;

/// Hands requests to the one writer of a store: a thread of its own, so that a body that blocks the
/// application's runtime never leaves a write half done. Everything that waits is written in one transaction,
/// and no caller is answered before it has committed. It ends with the last handle.
pub(crate) struct Writer {
    requests: mpsc::UnboundedSender<Request>,
    /// What became of the newest batches.
    pub(crate) writes: Arc<Writes>,
}

/// A transaction of the writer.
pub(crate) struct Write {
    pub(crate) connection: SqliteConnection,
    pub(crate) lanes: Lanes,
    /// The time of everything in it.
    pub(crate) now: Timestamp,
    /// To be sent once it has committed.
    hints: Vec<Hint>,
    /// Whether a commit waits for the disk, as the connection is set.
    syncs: bool,
}

impl Write {
    /// Runs a statement that answers nothing.
    pub(crate) async fn run(&mut self, query: Query<'_>) -> Fallible<()> {
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    /// Sends a hint after the commit.
    pub(crate) fn hint(&mut self, hint: Hint) {
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }
}

/// What [`Writer::change`] runs.
pub(crate) type Changing<'w, A> = Pin<Box<dyn Future<Output = Fallible<A>> + Send + 'w>>;

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        options: SqliteConnectOptions,
        synchronous: Synchronous,
        clock: Arc<FileClock>,
        in_process: Arc<InProcess>,
        file: Arc<File>,
    ) -> Result<Self, Error> {
        let failed = |cause: std::io::Error| {
            let message = "can't start the writer's thread";
            Error::new(ErrorKind::Misconfigured, "connect", message).caused_by(cause)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let (requests, waiting) = mpsc::unbounded_channel();
        let syncs = synchronous == Synchronous::Full;
        let writes = Arc::new(Writes::default());
        let mut thread = WriterThread {
            options,
            syncs,
            clock,
            in_process,
            file,
            writes: Arc::clone(&writes),
            write: None,
        };
        thread::Builder::new()
            .name("riqle-jobs-writer".to_owned())
            .spawn(move || runtime.block_on(thread.run(waiting)))
            .map_err(failed)?;
        Ok(Self { requests, writes })
    }

    /// Writes together with whatever else waits, and answers after the commit.
    pub(crate) async fn ask<Q: Question>(
        &self,
        operation: &'static str,
        question: Q,
    ) -> Result<Q::Answer, Error> {
        let (answer, answered) = oneshot::channel();
        self.send(operation, Q::request(Ask::new(operation, question, answer)))?;
        answered.await.map_err(|_| stopped(operation))?
    }

    /// Runs `apply` in the writer's transaction, and answers after the commit. What it refuses, it must refuse
    /// before its first write: its neighbours' writes are committed all the same.
    pub(crate) async fn change<Q, A>(
        &self,
        operation: &'static str,
        question: Q,
        apply: for<'w> fn(&'w mut Write, &'w Q) -> Changing<'w, A>,
    ) -> Result<A, Error>
    where
        Q: Send + Sync + 'static,
        A: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.send(operation, Request::change(Ask::new(operation, question, answer), apply))?;
        answered.await.map_err(|_| stopped(operation))?
    }

    fn send(&self, operation: &'static str, request: Request) -> Result<(), Error> {
        self.requests.send(request).map_err(|_| stopped(operation))
    }
}

fn stopped(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, "the store's writer has stopped")
}

struct WriterThread {
    options: SqliteConnectOptions,
    /// Whether whatever is acknowledged waits for the disk.
    syncs: bool,
    clock: Arc<FileClock>,
    in_process: Arc<InProcess>,
    file: Arc<File>,
    writes: Arc<Writes>,
    /// Kept open from batch to batch; made again after a failure.
    write: Option<Write>,
}

enum Fault {
    /// Of the file or the commit: it concerns everybody.
    Common(Error),
    /// Of one of the requests, it is not known which.
    OfOne(Error),
}

impl WriterThread {
    async fn run(&mut self, mut waiting: mpsc::UnboundedReceiver<Request>) {
        let mut requests = Vec::new();
        while waiting.recv_many(&mut requests, MOST_AT_ONCE).await > 0 {
            let mut batch = Batch::default();
            requests.drain(..).for_each(|request| batch.push(request));
            self.write_all(batch).await;
        }
        if let Some(write) = self.write.take() {
            let _ = write.connection.close().await;
        }
    }

    /// One bad request must not hold up its neighbours.
    async fn write_all(&mut self, mut batch: Batch) {
        match self.write(&mut batch).await {
            Ok(()) => batch.answer(),
            Err(Fault::OfOne(error)) if batch.len() > 1 => {
                static APART: Repeated = Repeated::new();
                if let Some(times) = APART.happened() {
                    tracing::warn!(%error, requests = batch.len(), times, "a batch of writes failed; writing one by one");
                }
                for mut single in batch.split() {
                    match self.write(&mut single).await {
                        Ok(()) => single.answer(),
                        Err(Fault::Common(error) | Fault::OfOne(error)) => single.fail(&error),
                    }
                }
            }
            Err(Fault::Common(error) | Fault::OfOne(error)) => batch.fail(&error),
        }
    }

    async fn write(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        let written = self.try_write(batch).await;
        match &written {
            // A claim that finds nothing writes nothing, and would say that all is well.
            Ok(()) if batch.is_claims() => {}
            Ok(()) => self.writes.succeeded(),
            Err(Fault::Common(error) | Fault::OfOne(error)) => self.writes.failed(error),
        }
        written
    }

    async fn try_write(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        let _turn = self.in_process.turn("write").await.map_err(Fault::Common)?;
        let write = match &mut self.write {
            Some(write) => write,
            none => {
                self.file.check("write").map_err(Fault::Common)?;
                let connection = self.options.connect().await.map_err(common)?;
                // Set in each transaction.
                let now = Timestamp::default();
                none.insert(Write {
                    connection,
                    lanes: Lanes::default(),
                    now,
                    hints: Vec::new(),
                    syncs: self.syncs,
                })
            }
        };
        // A claim that a power cut undoes was worth nothing to anybody: its worker is gone, too.
        let syncs = self.syncs && !batch.is_claims();
        let begin = match (write.syncs == syncs, syncs) {
            (true, _) => "BEGIN IMMEDIATE",
            (false, true) => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
            (false, false) => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
        };
        write.syncs = syncs;
        if let Err(error) = sqlx::raw_sql(begin).execute(&mut write.connection).await {
            if !is_busy(&error) {
                self.reopen().await;
            }
            return Err(common(error));
        }
        self.file.log_is_open(true);
        // Now, since it may have waited for the file's lock.
        if let Err(gone) = self.file.check("write") {
            // The connection stays: closing the last one would remove the log of writes at the path, whosever it is.
            sqlx::query("ROLLBACK").execute(&mut write.connection).await.map_err(common)?;
            if self.file.has_lost_its_log() {
                // What was acknowledged is only in the log, which this connection still has. Tried with each write, so
                // passively: a reader that is in the way is not waited for.
                let save = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)");
                if let Err(error) = save.execute(&mut write.connection).await {
                    tracing::warn!(%error, "can't copy the removed -wal into the file");
                }
            }
            return Err(Fault::Common(gone));
        }
        let (now, noted) = match self.clock.note(&mut write.connection).await {
            Ok(noted) => noted,
            Err(error) => {
                self.reopen().await;
                return Err(common(error));
            }
        };
        write.now = now;
        write.hints.clear();
        let applied = match batch.apply(write).await {
            Ok(()) => sqlx::query("COMMIT").execute(&mut write.connection).await.map(drop).map_err(common),
            Err(error) => Err(Fault::OfOne(error.of("write"))),
        };
        match applied {
            Ok(()) => {
                noted.into_iter().for_each(|known| self.clock.take(known));
                write.hints.drain(..).for_each(|hint| self.in_process.wake.send(hint));
            }
            Err(failure) => {
                self.reopen().await;
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Rolls back and drops the connection, whatever state it is in, with what is known of the lanes.
    async fn reopen(&mut self) {
        if let Some(mut write) = self.write.take() {
            let _ = sqlx::query("ROLLBACK").execute(&mut write.connection).await;
            self.file.log_is_open(false);
            let _ = write.connection.close().await;
        }
    }
}

fn common(error: impl Into<Failure>) -> Fault {
    let translated = error.into().of("write");
    // After a commit that failed, whether it took effect may be unknown, whatever the cause.
    let error = match translated.kind() {
        ErrorKind::Misconfigured | ErrorKind::Corrupt => translated,
        _ => Error::new(ErrorKind::Unavailable, "write", translated.message()),
    };
    Fault::Common(error)
}

//! The options of a store, and how it is opened.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use riqle_jobs_core::{
    Clock, Error, ErrorKind, Limits,
    store::{MachineClock, rules::Migrations},
};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    Sqlite,
    error::{is_busy, is_out_of_reach, translate},
    file::{File, is_url},
    file_clock::FileClock,
    handle::Shared,
    in_process::{BUSY_TIMEOUT, InProcess},
    migrate::{check, migrate, migrations, none_applied},
    rows::get,
    url::{Url, in_memory, is_in_memory},
    writer::Writer,
};

/// When a commit is safe on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Before it is acknowledged: nothing acknowledged is lost, even in a power cut.
    #[default]
    Full,
    /// At the next checkpoint. A crash of the process loses nothing; a power cut or a crash of the operating
    /// system may lose the commits of the last seconds (since the last checkpoint), newest first, and never
    /// half of one. An ended run may then run again.
    Normal,
}

/// Options for opening a store.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `open`"]
pub struct SqliteOptions {
    source: Source,
    clock: Clock,
    machine: MachineClock,
    limits: Limits,
    synchronous: Option<Synchronous>,
    migrates: bool,
}

#[derive(Clone, Debug)]
enum Source {
    Url(String),
    Pool(SqlitePool),
}

impl SqliteOptions {
    pub(crate) fn of_url(url: &str) -> Self {
        Self::of(Source::Url(url.to_owned()))
    }

    /// Options for an application's own pool: reads and transactions use its connections; the store writes
    /// through a connection of its own to the same file, and switches the file to WAL mode.
    ///
    /// If a `COMMIT` of the application's own fails (a full disk), SQLite has rolled back, but the driver keeps
    /// the connection as one in a transaction, which can't begin another. The store discards such a connection
    /// when it meets one; [`Jobs::begin`](riqle_jobs_core::Jobs::begin) leaves none. For `begin_with` on the pool itself, set
    /// `after_release` of its options: `Ok(!connection.is_in_transaction())` after a `connection.ping()`.
    pub fn of_pool(pool: SqlitePool) -> Self {
        Self::of(Source::Pool(pool))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            clock: Clock::default(),
            machine: MachineClock::default(),
            limits: Limits::default(),
            synchronous: None,
            migrates: true,
        }
    }

    /// Takes the time from `clock`, such as a `&ManualClock`.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    #[cfg(test)]
    pub(crate) fn machine(mut self, machine: MachineClock) -> Self {
        self.machine = machine;
        self
    }

    /// Sets what the store accepts.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets when a commit is safe; overrides the URL.
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = Some(synchronous);
        self
    }

    /// Whether to make a missing file, and to migrate its schema. Default true. If false, both are `Misconfigured`.
    pub fn migrate(mut self, migrates: bool) -> Self {
        self.migrates = migrates;
        self
    }

    /// Which migrations the file has, and which [`open`](Self::open) would apply. Changes nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn migrations(self) -> Result<Migrations, Error> {
        let (options, _, _) = self.source()?;
        if !is_url(options.get_filename()) && !options.get_filename().exists() {
            return Ok(none_applied());
        }
        let mut connection = to_look(&options).await?;
        migrations(&mut connection, options.get_filename()).await
    }

    /// How each connection that writes is opened, when its commits are safe, and the application's pool.
    fn source(&self) -> Result<(SqliteConnectOptions, Synchronous, Option<SqlitePool>), Error> {
        match &self.source {
            Source::Url(url) => {
                let url = Url::parse(url)?;
                let synchronous = self.synchronous.unwrap_or(url.synchronous);
                Ok((writing(SqliteConnectOptions::new().filename(url.file), synchronous), synchronous, None))
            }
            Source::Pool(pool) => {
                let options = pool.connect_options().as_ref().clone();
                if is_in_memory(options.get_filename()) {
                    return Err(in_memory());
                }
                let synchronous = self.synchronous.unwrap_or_default();
                Ok((writing(options, synchronous), synchronous, Some(pool.clone())))
            }
        }
    }

    /// Opens the file; unless [`migrate`](Self::migrate) says otherwise, creates it if missing, and migrates its schema.
    ///
    /// # Errors
    /// `Misconfigured` for a wrong URL, a folder that is missing or not writable, a file that is not a database,
    /// or of a newer version or a build before 0.1.0 with other tables; `Corrupt` for a damaged file; `Unavailable` if it is busy or the disk is full.
    pub async fn open(self) -> Result<Sqlite, Error> {
        let (options, synchronous, pool) = self.source()?;
        let options = options.create_if_missing(self.migrates);
        if !self.migrates && !is_url(options.get_filename()) && !options.get_filename().exists() {
            let message = format!("there is no file {}", options.get_filename().display());
            return Err(Error::new(ErrorKind::Misconfigured, "connect", message));
        }
        if !self.migrates {
            // Before anything of it is changed, such as its journal mode.
            let mut connection = to_look(&options).await?;
            check(&mut connection, options.get_filename()).await?;
            connection.close().await.map_err(|error| translate("connect", error))?;
        }
        let mut connection = first_connection(&options).await?;
        let now = self.clock.local_now().as_millisecond();
        if self.migrates {
            migrate(&mut connection, options.get_filename(), now).await?;
        }
        let clock = FileClock::open(self.clock, self.machine, &mut connection).await;
        let clock = Arc::new(clock.map_err(|error| error.of("connect"))?);
        let opened = opened_file(&mut connection).await?;
        let file = Arc::new(File::of(options.get_filename(), &opened));
        let in_process = InProcess::of(&opened);
        // A file that is removed from here on must not be created again by the next connection.
        let mut options = options.create_if_missing(false);
        // A URL's parameters say how it is opened.
        if !is_url(options.get_filename()) || !options.get_filename().to_string_lossy().contains('?') {
            options = options.filename(opened);
        }
        let pool = match pool {
            Some(pool) => pool,
            None => SqlitePoolOptions::new()
                .max_connections(8)
                .acquire_timeout(BUSY_TIMEOUT)
                .after_release(|connection, _| Box::pin(can_begin(connection)))
                .connect_lazy_with(options.clone()),
        };
        // 16 MiB: what is hot is read from memory.
        let cached = options.clone().pragma("cache_size", "-16384");
        let writer = Writer::start(
            cached,
            synchronous,
            Arc::clone(&clock),
            Arc::clone(&in_process),
            Arc::clone(&file),
        )?;
        // Closed last: an empty file that no process has open is checkpointed away.
        connection.close().await.map_err(|error| translate("connect", error))?;
        let shared =
            Shared { pool, options, synchronous, clock, limits: self.limits, writer, in_process, file };
        Ok(Sqlite { shared: Arc::new(shared) })
    }
}

/// The options of each connection that writes.
fn writing(options: SqliteConnectOptions, synchronous: Synchronous) -> SqliteConnectOptions {
    options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(match synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        })
        // 16 MiB, so that a busy writer is not held up too often.
        .pragma("wal_autocheckpoint", "4096")
        // A long reader lets the log grow; cut down to 32 MiB once it is written from the front again.
        .pragma("journal_size_limit", "33554432")
        .statement_cache_capacity(256)
        .row_buffer_size(512)
        .disable_statement_logging()
}

/// A connection that changes nothing of the file.
async fn to_look(options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    let options = SqliteConnectOptions::new()
        .filename(options.get_filename())
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    options.connect().await.map_err(|error| translate("connect", error))
}

/// Whether a connection that comes back to the pool can begin a transaction: SQLite may have ended its last one by
/// itself, as it does when the disk is full, and the driver does not notice.
async fn can_begin(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback may still be queued.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Switching a new file to WAL fails as busy at once if another process does the same, whatever the timeout.
async fn first_connection(options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    let begun = Instant::now();
    loop {
        match options.connect().await {
            Err(error) if is_busy(&error) && begun.elapsed() < BUSY_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) if is_out_of_reach(&error) => {
                let file = options.get_filename().display();
                let message = format!(
                    "can't open {file} for writing; does its folder exist, and may this process write there?"
                );
                return Err(Error::new(ErrorKind::Misconfigured, "connect", message).caused_by(error));
            }
            other => return other.map_err(|error| translate("connect", error)),
        }
    }
}

/// The path of the file that a connection has open, absolute and with links followed.
async fn opened_file(connection: &mut SqliteConnection) -> Result<PathBuf, Error> {
    let query = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'");
    let row = query.fetch_one(connection).await.map_err(|error| translate("connect", error))?;
    match get::<Option<String>>(&row, "file").map_err(|error| error.of("connect"))? {
        Some(file) if !file.is_empty() => Ok(file.into()),
        _ => Err(in_memory()),
    }
}

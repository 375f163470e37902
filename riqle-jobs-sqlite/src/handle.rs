//! The handle of the store, and what its clones share.

use std::{fmt, future::Future, sync::Arc};

use jiff::Timestamp;
use riqle_jobs_core::{AsStore, Error, Limits, Store};
use sqlx::{
    Connection, Sqlite as Driver, SqliteConnection, SqlitePool, pool::PoolConnection,
    sqlite::SqliteConnectOptions,
};

use crate::{
    SqliteOptions, Synchronous,
    error::{Result as Fallible, translate},
    file::File,
    file_clock::FileClock,
    in_process::InProcess,
    writer::Writer,
};

/// A store in one SQLite file. A handle: clones share connections and writer, which end with the last of them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
/// use riqle_jobs_core::{JobInput, Jobs};
/// use riqle_jobs_sqlite::Sqlite;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Greet(String);
///
/// impl JobInput for Greet {
///     const JOB: &'static str = "greet";
/// }
///
/// let jobs = Jobs::new(&Sqlite::connect(&url).await?);
/// let mut tx = jobs.begin().await?;
/// sqlx::query("CREATE TABLE greeted (name TEXT)").execute(&mut *tx).await?;
/// let run = tx.enqueue(Greet("Ada".to_owned())).await?.id();
/// tx.commit().await?;
/// assert!(jobs.run(run).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sqlite {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) pool: SqlitePool,
    pub(crate) options: SqliteConnectOptions,
    pub(crate) synchronous: Synchronous,
    pub(crate) clock: Arc<FileClock>,
    pub(crate) limits: Limits,
    pub(crate) writer: Writer,
    pub(crate) in_process: Arc<InProcess>,
    pub(crate) file: Arc<File>,
}

impl Shared {
    /// A connection of the pool. One whose transaction SQLite has ended by itself is discarded: the driver
    /// believes that it is still open, and begins no other. An application's transaction may leave one in its
    /// own pool.
    pub(crate) async fn connection(&self, operation: &'static str) -> Result<PoolConnection<Driver>, Error> {
        loop {
            self.file.check(operation)?;
            let connection = self.pool.acquire().await.map_err(|error| translate(operation, error))?;
            if !connection.is_in_transaction() {
                return Ok(connection);
            }
            let _ = connection.close().await;
        }
    }
}

impl AsStore for Sqlite {
    type Database = Sqlite;

    fn as_store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    fn database(&self) -> Sqlite {
        self.clone()
    }
}

impl Sqlite {
    /// Opens `sqlite:PATH`, creating the file if missing. `?synchronous=normal` is [`Synchronous::Normal`].
    ///
    /// [`Synchronous::Normal`]: crate::Synchronous::Normal
    ///
    /// # Errors
    /// As [`SqliteOptions::open`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::options(url).open().await
    }

    /// As [`connect`](Self::connect), with more options.
    pub fn options(url: &str) -> SqliteOptions {
        SqliteOptions::of_url(url)
    }

    /// Opens the file of an application's own pool, as [`SqliteOptions::of_pool`] says.
    ///
    /// # Errors
    /// As [`SqliteOptions::open`].
    pub async fn from_pool(pool: SqlitePool) -> Result<Self, Error> {
        SqliteOptions::of_pool(pool).open().await
    }

    /// The pool that reads and transactions take their connections from.
    pub fn pool(&self) -> &SqlitePool {
        &self.shared.pool
    }

    /// The store's time, in a transaction of `connection`.
    pub(crate) async fn now_in(&self, connection: &mut SqliteConnection) -> Fallible<Timestamp> {
        self.shared.clock.now_in(connection).await
    }

    /// Reads through a connection of the pool.
    pub(crate) async fn read<T, F>(
        &self,
        operation: &'static str,
        read: impl FnOnce(PoolConnection<Driver>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Fallible<T>>,
    {
        let connection = self.shared.connection(operation).await?;
        read(connection).await.map_err(|error| error.of(operation))
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("file", &self.shared.options.get_filename()).finish_non_exhaustive()
    }
}

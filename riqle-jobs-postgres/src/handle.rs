//! The handle of the store, and what its clones share.

use std::{fmt, sync::Arc};

use riqle_jobs_core::{AsStore, Clock, Error, Limits, Store, store::Writes};
use sqlx::{PgPool, postgres::PgConnectOptions};

use crate::{
    PostgresOptions,
    batches::Batches,
    connections::{Connections, Probe},
    days::Upkeep,
    floors::Floors,
    statements::Statements,
    wake::Wakes,
};

/// A store in one schema of a PostgreSQL database. A handle: clones share connections, which close with the last of them.
///
/// [`Inspect::health`](riqle_jobs_core::Inspect::health) names a transaction that is open for more than 5
/// minutes. It sees those of other users only with the rights of `pg_monitor`.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use riqle_jobs_core::{JobInput, Jobs};
/// use riqle_jobs_postgres::Postgres;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct ConfirmOrder(String);
///
/// impl JobInput for ConfirmOrder {
///     const JOB: &'static str = "confirm-order";
/// }
///
/// let jobs = Jobs::new(&Postgres::connect("postgres://shop:secret@localhost/shop").await?);
/// let mut tx = jobs.begin().await?;
/// sqlx::query("INSERT INTO orders (id) VALUES ('o-1')").execute(&mut *tx).await?;
/// tx.enqueue(ConfirmOrder("o-1".to_owned())).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Postgres {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) connections: Arc<Connections>,
    /// Where transactions of the application are begun.
    pub(crate) begun_in: PgPool,
    /// How that pool connects, by host name, if it is the store's own.
    pub(crate) own_pool: Option<PgConnectOptions>,
    /// Whether the server that they are begun on is there.
    pub(crate) probe: Probe,
    pub(crate) options: PgConnectOptions,
    pub(crate) statements: Arc<Statements>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) keeps_succeeded: bool,
    pub(crate) floors: Floors,
    pub(crate) batches: Batches,
    pub(crate) upkeep: Upkeep,
    /// The outcome of writes.
    pub(crate) writes: Writes,
    pub(crate) wake: Arc<Wakes>,
}

impl AsStore for Postgres {
    type Database = Postgres;

    fn as_store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    fn database(&self) -> Postgres {
        self.clone()
    }
}

impl Postgres {
    /// Connects to `postgres://user:password@host:port/database` and migrates the schema. Of the parameters of
    /// [libpq's URL](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING) it takes
    /// `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `host`, `hostaddr`, `port`, `dbname`, `user`, `password`,
    /// `application_name` and `options`; also `options[NAME]`, a setting of the connection, and
    /// `statement-cache-capacity`. Its own are:
    ///
    /// - `schema=NAME`: the tables' schema; default `riqle`.
    /// - `keep_succeeded=0`: as [`PostgresOptions::keep_succeeded`] says.
    /// - `listen=off`: no LISTEN and no named prepared statements, for PgBouncer in transaction mode. Other processes'
    ///   runs are then found by polling. The application's own statements through such a pooler need sqlx's
    ///   `persistent(false)`.
    ///
    /// Any other parameter is refused. An `@` in a parameter is written as `%40` (Azure's `user=ada%40server`).
    ///
    /// If the host has several addresses and the first is silent (its packets are dropped), the store connects
    /// to the first that answers, half a second later. Two kinds of host still need their first address: with
    /// `sslmode=verify-full` the store connects by name, since the certificate is checked against it (use
    /// `verify-ca`, or a host with one address); and a server chosen by the name in the TLS handshake (SNI)
    /// can't be reached by address.
    ///
    /// # Errors
    /// As [`PostgresOptions::open`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::options(url).open().await
    }

    /// As [`connect`](Self::connect), with more options.
    pub fn options(url: &str) -> PostgresOptions {
        PostgresOptions::of_url(url)
    }

    /// Uses the database of an application's own pool, as [`PostgresOptions::of_pool`] says.
    ///
    /// # Errors
    /// As [`PostgresOptions::open`].
    pub async fn from_pool(pool: PgPool) -> Result<Self, Error> {
        PostgresOptions::of_pool(pool).open().await
    }

    /// The pool that transactions are begun in: the application's own, if there is one. Its connections have
    /// the server's default settings, also for what the store does in their transactions: while the tables have
    /// grown from nothing within the last minute, and autovacuum has not run since, that can take about 10 ms.
    pub fn pool(&self) -> &PgPool {
        &self.shared.begun_in
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("host", &self.shared.options.get_host())
            .field("database", &self.shared.options.get_database())
            .field("schema", &self.shared.statements.schema())
            .finish_non_exhaustive()
    }
}

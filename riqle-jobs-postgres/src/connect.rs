//! The options of a store, and how it is opened.

use std::sync::Arc;

use riqle_jobs_core::{
    Clock, Error, ErrorKind, Limits,
    store::{Writes, rules::Migrations},
};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    Postgres, address,
    batches::Batches,
    connections::{CONNECTED_WITHIN, Connections, Probe},
    days::{Upkeep, open_days},
    error::{Failure, Result as Fallible, translate},
    floors::Floors,
    handle::Shared,
    migrate::{check, migrate, migrations},
    statements::Statements,
    url::{OfUrl, misconfigured, parse},
    wake::{Channel, Wakes},
    work::within,
};

/// Of each connection that the store makes for its own statements. They stay prepared, and a plan that was made when the
/// tables were small must do when they are large: by their indexes, always. Connections that the application gets are
/// its own: its statements are planned as the server does by default.
const SETTINGS: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    ("default_transaction_isolation", "read committed"),
];

/// Options for opening a store.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `open`"]
pub struct PostgresOptions {
    source: Source,
    schema: Option<String>,
    listens: Option<bool>,
    migrates: bool,
    keeps_succeeded: Option<bool>,
    connections: u32,
    clock: Clock,
    limits: Limits,
}

#[derive(Clone, Debug)]
enum Source {
    Url(Secret),
    Pool(PgPool),
}

/// A URL that may contain a password.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl PostgresOptions {
    pub(crate) fn of_url(url: &str) -> Self {
        Self::of(Source::Url(Secret(url.to_owned())))
    }

    /// Options for the database of an application's own pool. Transactions use the pool's connections; for
    /// everything else the store opens its own, at most [`max_connections`](Self::max_connections) plus one
    /// each for LISTEN and for extending leases. The pool connects as sqlx does: an address of its host that
    /// drops packets delays it.
    pub fn of_pool(pool: PgPool) -> Self {
        Self::of(Source::Pool(pool))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            schema: None,
            listens: None,
            migrates: true,
            keeps_succeeded: None,
            connections: 10,
            clock: Clock::default(),
            limits: Limits::default(),
        }
    }

    /// The schema of the tables, `riqle` by default; overrides the URL.
    pub fn schema(mut self, schema: &str) -> Self {
        self.schema = Some(schema.to_owned());
        self
    }

    /// Whether to be woken by LISTEN. Default true; overrides the URL. If false, named prepared statements are
    /// not used either.
    pub fn listen(mut self, listens: bool) -> Self {
        self.listens = Some(listens);
        self
    }

    /// Whether to migrate the schema. Default true. If false, an outdated schema is `Misconfigured`; run
    /// [`Postgres::schema_sql`] yourself.
    pub fn migrate(mut self, migrates: bool) -> Self {
        self.migrates = migrates;
        self
    }

    /// Whether succeeded runs are kept in the history. Default true; overrides the URL. If false, they are gone
    /// once settled, with their steps and notes: nothing shows them, an enqueue of the same id would run again,
    /// and a settlement repeated after a lost reply returns `LeaseLost`.
    pub fn keep_succeeded(mut self, keeps: bool) -> Self {
        self.keeps_succeeded = Some(keeps);
        self
    }

    /// The most connections that the store opens for its statements. Default 10.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Takes the time from `clock`, such as a `&ManualClock`, instead of the server.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Sets what the store accepts.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which migrations the schema has, and which [`open`](Self::open) would apply. Changes nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn migrations(self) -> Result<Migrations, Error> {
        let opened = self.first_connection().await?;
        let Opened { mut connection, statements, .. } = opened;
        let migrations = within("connect", migrations(&mut connection, &statements)).await?;
        connection.close().await.map_err(|error| translate("connect", error))?;
        Ok(migrations)
    }

    /// The SQL that builds the whole schema, as [`Postgres::schema_sql`] says; of the schema that the URL names.
    ///
    /// # Errors
    /// As [`Postgres::schema_sql`]; `Misconfigured` for a wrong URL.
    pub fn schema_sql(self) -> Result<String, Error> {
        let of_url = match &self.source {
            Source::Url(Secret(url)) => parse(url)?.1.schema,
            Source::Pool(_) => None,
        };
        Postgres::schema_sql(&self.schema.or(of_url).unwrap_or_else(|| "riqle".to_owned()))
    }

    /// Connects, and migrates the schema.
    ///
    /// # Errors
    /// `Misconfigured` for a wrong URL, user, password or database, a missing permission, or a schema of a
    /// newer version or of a build before 0.1.0 with other tables; `Unavailable` if the server can't be reached.
    pub async fn open(self) -> Result<Postgres, Error> {
        let Opened {
            mut connection,
            statements,
            options,
            of_application,
            listens,
            keeps_succeeded,
            begun_in,
        } = self.first_connection().await?;
        if self.migrates {
            migrate(&mut connection, &statements).await?;
        }
        within("connect", check(&mut connection, &statements)).await?;
        let upkeep = Upkeep::default();
        if self.clock.manual().is_none() {
            // Where one can't be made, its runs are in `history_rest`.
            let today = within("connect", open_days(&mut connection, &statements)).await;
            today.unwrap_or_else(|error| upkeep.put_off(&error));
        }
        connection.close().await.map_err(|error| translate("connect", error))?;
        let connections = Connections::new(options.clone(), listens, self.connections);
        let (begun_in, own_pool) = match begun_in {
            Some(pool) => (pool, None),
            None => {
                let pool = PgPoolOptions::new()
                    .max_connections(self.connections)
                    .acquire_timeout(CONNECTED_WITHIN)
                    .connect_lazy_with(address::reachable(&of_application).await);
                (pool, Some(of_application))
            }
        };
        let wake = Wakes::new(listens.then(|| Channel::new(&connections, &options, &statements)));
        Ok(Postgres {
            shared: Arc::new(Shared {
                connections,
                begun_in,
                own_pool,
                probe: Probe::default(),
                options,
                statements,
                clock: self.clock,
                limits: self.limits,
                keeps_succeeded,
                floors: Floors::default(),
                batches: Batches::default(),
                upkeep,
                writes: Writes::default(),
                wake,
            }),
        })
    }

    /// A first connection, to a database of ours, and how the others are made.
    async fn first_connection(&self) -> Result<Opened, Error> {
        let (options, of_url, begun_in) = match self.source.clone() {
            Source::Url(Secret(url)) => {
                let (options, of_url) = parse(&url)?;
                (options, of_url, None)
            }
            Source::Pool(pool) => (pool.connect_options().as_ref().clone(), OfUrl::default(), Some(pool)),
        };
        let schema = self.schema.clone().or(of_url.schema).unwrap_or_else(|| "riqle".to_owned());
        let keeps_succeeded = self.keeps_succeeded.or(of_url.keeps_succeeded).unwrap_or(true);
        let listens = self.listens.or(of_url.listens).unwrap_or(true);
        let statements = Arc::new(Statements::new(&schema, listens)?);
        // A pooler refuses options that it does not know; there each statement is planned again.
        let of_application = if listens { options } else { options.extra_float_digits(None) };
        let of_application = of_application.disable_statement_logging();
        let options = of_application.clone();
        let options = if listens { options.options(SETTINGS) } else { options };
        let mut connection = match tokio::time::timeout(CONNECTED_WITHIN, address::connect(&options)).await {
            Ok(connection) => connection.map_err(|error| unreachable(&options, error))?,
            Err(_) => return Err(silent(&options)),
        };
        within("connect", check_encoding(&mut connection)).await?;
        Ok(Opened { connection, statements, options, of_application, listens, keeps_succeeded, begun_in })
    }
}

/// A first connection, and how the others are made.
struct Opened {
    connection: PgConnection,
    statements: Arc<Statements>,
    options: PgConnectOptions,
    /// As the application says.
    of_application: PgConnectOptions,
    listens: bool,
    keeps_succeeded: bool,
    begun_in: Option<PgPool>,
}

/// Names the server that has not answered.
pub(crate) fn silent(options: &PgConnectOptions) -> Error {
    let message = format!("{} did not answer within {CONNECTED_WITHIN:?}", place(options));
    Error::new(ErrorKind::Unavailable, "connect", message)
}

fn place(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The error of a connect after the store was opened: the caller can't fix it.
pub(crate) fn while_running(options: &PgConnectOptions, error: sqlx::Error) -> Error {
    let error = unreachable(options, error);
    Error::new(ErrorKind::Unavailable, "connect", error.message()).caused_by(error)
}

/// Any text can be stored in UTF8 alone: elsewhere an error's text could keep the end of a run from being stored.
async fn check_encoding(connection: &mut PgConnection) -> Fallible<()> {
    let encoding = "SELECT current_setting('server_encoding') AS encoding";
    let row = sqlx::query(encoding).persistent(false).fetch_one(connection).await?;
    let encoding: String = row.try_get("encoding")?;
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(Failure::from(misconfigured(format!(
        "the database uses the encoding {encoding}, but riqle-jobs needs UTF8; create one with CREATE DATABASE name \
         ENCODING 'UTF8' TEMPLATE template0"
    ))))
}

/// Says where no server answered.
fn unreachable(options: &PgConnectOptions, error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Io(cause) => {
            let message =
                format!("no PostgreSQL server answers at {} ({cause}); is it running?", place(options));
            Error::new(ErrorKind::Unavailable, "connect", message).caused_by(cause)
        }
        error => translate("connect", error),
    }
}

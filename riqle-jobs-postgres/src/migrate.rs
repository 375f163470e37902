//! The migrations of the schema, and how they are applied.

use riqle_jobs_core::{Error, ErrorKind};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::{
    Postgres,
    error::{Failure, HeldUp, Result as Fallible},
    statements::Statements,
    work::{BEGIN, within},
};

/// Forward only: once released, a migration is never edited. Each leaves the tables usable for the previous
/// version.
const MIGRATIONS: [(&str, &str); 3] = [
    ("first_schema", include_str!("../migrations/0001_first_schema.sql")),
    ("staging", include_str!("../migrations/0002_staging.sql")),
    ("dashboard", include_str!("../migrations/0003_dashboard.sql")),
];

/// How long a migration waits for each lock, as PostgreSQL reads it: behind who waits for it, others wait.
const LOCKED_WITHIN: &str = "15s";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS riqle.migrations (
    number     integer     NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)";

impl Postgres {
    /// The SQL that builds the whole schema, for running migrations by other means. Each migration stands by
    /// itself and is recorded in the table `migrations` of the schema; what is recorded need not run again.
    ///
    /// # Errors
    /// `Misconfigured` for a schema's name that is not made of lower-case letters, digits and underscores, or begins with
    /// `pg_`.
    pub fn migrations(schema: &str) -> Result<String, Error> {
        let statements = Statements::new(schema, false)?;
        let mut sql = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\";\n{};\n", statements.text(TABLE));
        for (index, (name, migration)) in MIGRATIONS.into_iter().enumerate() {
            sql += &format!("\n-- Migration {}, {name}.\n", index + 1);
            sql += &statements.text(migration);
            let insert =
                format!("INSERT INTO riqle.migrations (number, name) VALUES ({}, '{name}')", index + 1);
            sql += &format!("\n{};\n", statements.text(&insert));
        }
        Ok(sql)
    }
}

/// Brings the schema up to date; of several that start at once, one does.
pub(crate) async fn migrate(connection: &mut PgConnection, statements: &Statements) -> Result<(), Error> {
    // One that has nothing to apply needs neither the lock nor the rights.
    match within("connect", newest_in_transaction(connection, statements)).await? {
        newest if newest >= MIGRATIONS.len() => Ok(()),
        _ => apply(connection, statements).await.map_err(|error| error.of("connect")).map_err(held_up),
    }
}

/// Says what has kept a lock for too long.
fn held_up(error: Error) -> Error {
    if !HeldUp::is_cause_of(&error) {
        return error;
    }
    let message = format!(
        "can't migrate the schema: another transaction, or another process that migrates it, has held what it \
         needs for {LOCKED_WITHIN}; connect again once it has ended"
    );
    Error::new(ErrorKind::Unavailable, "connect", message).caused_by(error)
}

/// Refuses a schema that this version can't work with.
pub(crate) async fn check(connection: &mut PgConnection, statements: &Statements) -> Fallible<()> {
    let (newest, known) = (newest_in_transaction(connection, statements).await?, MIGRATIONS.len());
    let schema = statements.schema();
    let problem = match newest.cmp(&known) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => format!(
            "schema {schema} is at migration {newest}; this version of riqle-jobs needs {known}: run \
             Postgres::migrations, or open the store without migrate(false)"
        ),
        std::cmp::Ordering::Greater => format!(
            "schema {schema} is at migration {newest}; this version of riqle-jobs knows up to {known}: upgrade riqle-jobs"
        ),
    };
    Err(Failure::from(Error::new(ErrorKind::Misconfigured, "connect", problem)))
}

/// Takes as long as the tables are large; only a lock is not waited for without end.
async fn apply(connection: &mut PgConnection, statements: &Statements) -> Fallible<()> {
    let schema = statements.schema();
    let mut transaction = connection.begin_with(BEGIN).await?;
    let limits = format!("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{LOCKED_WITHIN}'");
    sqlx::raw_sql(AssertSqlSafe(limits)).execute(&mut *transaction).await?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('riqle-jobs migrations of ' || $1, 0))";
    sqlx::query(lock).persistent(false).bind(schema.to_owned()).execute(&mut *transaction).await?;
    if !exists(&mut transaction, "SELECT to_regnamespace($1) IS NOT NULL", schema).await? {
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\"")))
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::raw_sql(AssertSqlSafe(statements.text(TABLE))).execute(&mut *transaction).await?;
    let newest = newest(&mut transaction, statements).await?;
    for (index, (name, sql)) in MIGRATIONS.into_iter().enumerate().skip(newest) {
        sqlx::raw_sql(AssertSqlSafe(statements.text(sql))).execute(&mut *transaction).await?;
        let number = i32::try_from(index + 1).unwrap_or(i32::MAX);
        let insert = "INSERT INTO riqle.migrations (number, name) VALUES ($1, $2)";
        statements.query_once(insert).bind(number).bind(name).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// As [`newest`], within one transaction.
async fn newest_in_transaction(connection: &mut PgConnection, statements: &Statements) -> Fallible<usize> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let newest = newest(&mut transaction, statements).await?;
    transaction.commit().await?;
    Ok(newest)
}

/// The number of the newest migration; 0 if there is none.
async fn newest(connection: &mut PgConnection, statements: &Statements) -> Fallible<usize> {
    let table = statements.text("riqle.migrations");
    if !exists(connection, "SELECT to_regclass($1) IS NOT NULL", &table).await? {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(number), 0) FROM riqle.migrations";
    let row = statements.query_once(newest).fetch_one(connection).await?;
    Ok(usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or(usize::MAX))
}

async fn exists(connection: &mut PgConnection, question: &'static str, name: &str) -> Fallible<bool> {
    let row = sqlx::query(question).persistent(false).bind(name.to_owned()).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

//! The migrations of the schema, and how they are applied.

use riqle_jobs_core::{
    Error, ErrorKind,
    store::rules::{Migration, Migrations, Schema},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::{
    Postgres,
    error::{Failure, HeldUp, Result as Fallible},
    statements::Statements,
    work::{BEGIN, within},
};

const MIGRATIONS: [Migration; 1] =
    [Migration { name: "schema", sql: include_str!("../migrations/0001_schema.sql") }];

/// How long a migration waits for each lock, as PostgreSQL reads it: behind who waits for it, others wait.
const LOCKED_WITHIN: &str = "15s";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS riqle.migrations (
    number     integer     NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    hash       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)";

impl Postgres {
    /// The SQL that builds the whole schema, for running migrations by other means. Each migration stands by
    /// itself and is recorded in the table `migrations` of the schema; what is recorded need not run again.
    ///
    /// # Errors
    /// `Misconfigured` for a schema's name that is not made of lower-case letters, digits and underscores, or begins with
    /// `pg_`.
    pub fn schema_sql(schema: &str) -> Result<String, Error> {
        let statements = Statements::new(schema, false)?;
        let mut sql = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\";\n{};\n", statements.text(TABLE));
        for (number, migration) in (1..).zip(&MIGRATIONS) {
            sql += &format!(
                "\n-- Migration {number}, {}.\n{}\n",
                migration.name,
                statements.text(migration.sql)
            );
            let record = format!(
                "INSERT INTO riqle.migrations (number, name, hash) VALUES ({number}, '{}', '{}');\n",
                migration.name,
                migration.hash()
            );
            sql += &statements.text(&record);
        }
        Ok(sql)
    }
}

/// Brings the schema up to date; of several that start at once, one does.
pub(crate) async fn migrate(connection: &mut PgConnection, statements: &Statements) -> Result<(), Error> {
    // One that has nothing to apply needs neither the lock nor the rights.
    match within("connect", recorded_in_transaction(connection, statements)).await? {
        Schema::Applied(applied) if applied < MIGRATIONS.len() => {
            apply(connection, statements).await.map_err(|error| error.of("connect")).map_err(held_up)
        }
        _ => Ok(()),
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

/// Refuses a schema that is not up to date.
pub(crate) async fn check(connection: &mut PgConnection, statements: &Statements) -> Fallible<()> {
    let Migrations { applied, pending } = migrations(connection, statements).await?;
    if pending.is_empty() {
        return Ok(());
    }
    Err(refused(format!(
        "schema {} is at migration {applied}; this version of riqle-jobs needs {}: run `riqle-jobs migrate`, or \
         open the store without migrate(false)",
        statements.schema(),
        MIGRATIONS.len()
    )))
}

/// Which migrations the schema has. Refuses one that this version can't work with.
pub(crate) async fn migrations(
    connection: &mut PgConnection,
    statements: &Statements,
) -> Fallible<Migrations> {
    let (name, known) = (statements.schema(), MIGRATIONS.len());
    match recorded_in_transaction(connection, statements).await? {
        Schema::Newer(newest) => Err(refused(format!(
            "schema {name} is at migration {newest}; this version of riqle-jobs knows up to {known}: upgrade riqle-jobs"
        ))),
        Schema::Other(_) => Err(refused(format!(
            "schema {name} was made by a build of riqle-jobs before 0.1.0, with other tables: name another schema, or \
             drop this one if you need nothing of what is in it"
        ))),
        Schema::Applied(applied) => Ok(Migrations::of(applied, &MIGRATIONS)),
        _ => Ok(Migrations::of(0, &MIGRATIONS)),
    }
}

fn refused(message: String) -> Failure {
    Failure::from(Error::new(ErrorKind::Misconfigured, "connect", message))
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
    let Schema::Applied(applied) = recorded(&mut transaction, statements).await? else { return Ok(()) };
    sqlx::raw_sql(AssertSqlSafe(statements.text(TABLE))).execute(&mut *transaction).await?;
    for (number, migration) in (1_i32..).zip(&MIGRATIONS).skip(applied) {
        sqlx::raw_sql(AssertSqlSafe(statements.text(migration.sql))).execute(&mut *transaction).await?;
        let record = "INSERT INTO riqle.migrations (number, name, hash) VALUES ($1, $2, $3)";
        let record = statements.query_once(record).bind(number).bind(migration.name).bind(migration.hash());
        record.execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// As [`recorded`], within one transaction.
async fn recorded_in_transaction(connection: &mut PgConnection, statements: &Statements) -> Fallible<Schema> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let schema = recorded(&mut transaction, statements).await?;
    transaction.commit().await?;
    Ok(schema)
}

async fn recorded(connection: &mut PgConnection, statements: &Statements) -> Fallible<Schema> {
    let table = statements.text("riqle.migrations");
    if !exists(connection, "SELECT to_regclass($1) IS NOT NULL", &table).await? {
        return Ok(Schema::Applied(0));
    }
    // As JSON, since a build before 0.1.0 had no column for the hash.
    let recorded = "SELECT number, to_jsonb(m) ->> 'hash' AS hash FROM riqle.migrations m ORDER BY number";
    let recorded = statements.query_once(recorded).fetch_all(connection).await?;
    let recorded = recorded.iter().map(|row| {
        let number: i32 = row.try_get("number")?;
        Ok((u64::from(number.unsigned_abs()), row.try_get("hash")?))
    });
    Ok(Schema::of(&recorded.collect::<Fallible<Vec<_>>>()?, &MIGRATIONS))
}

async fn exists(connection: &mut PgConnection, question: &'static str, name: &str) -> Fallible<bool> {
    let row = sqlx::query(question).persistent(false).bind(name.to_owned()).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

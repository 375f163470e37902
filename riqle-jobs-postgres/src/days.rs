//! The days of the history: a partition each, made ahead, dropped whole.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::{error::Result, statements::Statements};

/// Today, and so many days more, have a partition.
const AHEAD: i64 = 2;

const MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// A day of the history, in UTC: its number from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day(i64);

impl Day {
    /// The day that holds a stored time.
    pub(crate) fn of(millis: i64) -> Self {
        Self(millis.div_euclid(MILLIS))
    }

    /// Its first millisecond.
    pub(crate) fn start(self) -> i64 {
        self.0.saturating_mul(MILLIS)
    }

    fn end(self) -> i64 {
        Self(self.0 + 1).start()
    }

    /// The name of its table.
    pub(crate) fn table(self) -> String {
        format!("history_{}", self.0)
    }

    fn of_table(table: &str) -> Option<Self> {
        table.strip_prefix("history_")?.parse().ok().map(Self)
    }
}

/// Makes the partitions of today and the days ahead. Where one can't be made, its rows stand in `history_rest`: slower to
/// prune, and nothing else.
pub(crate) async fn open_days(connection: &mut PgConnection, statements: &Statements) {
    if let Err(error) = try_open_days(connection, statements).await {
        tracing::warn!(%error, "a partition of the history could not be made; its runs are kept in history_rest");
    }
}

async fn try_open_days(connection: &mut PgConnection, statements: &Statements) -> Result<()> {
    let mut transaction = connection.begin().await?;
    let row = statements.query("SELECT riqle.now(NULL) AS now").fetch_one(&mut *transaction).await?;
    let today = Day::of(row.try_get("now")?);
    let known = days(&mut transaction, statements).await?;
    transaction.commit().await?;
    for day in (0..=AHEAD).map(|days| Day(today.0 + days)).filter(|day| !known.contains(day)) {
        open_day(connection, statements, day).await?;
    }
    Ok(())
}

/// Attached and not created as a partition, so that nobody who settles waits for it.
pub(crate) async fn open_day(connection: &mut PgConnection, statements: &Statements, day: Day) -> Result<()> {
    let (table, from, to) = (day.table(), day.start(), day.end());
    let sql = format!(
        "SET LOCAL lock_timeout = '2s';
         SELECT pg_advisory_xact_lock(hashtextextended('riqle-jobs days of {}', 0));
         CREATE TABLE IF NOT EXISTS riqle.{table} (LIKE riqle.history INCLUDING ALL);
         DO $$ BEGIN
             IF NOT (SELECT relispartition FROM pg_class WHERE oid = 'riqle.{table}'::regclass) THEN
                 ALTER TABLE riqle.history ATTACH PARTITION riqle.{table} FOR VALUES FROM ({from}) TO ({to});
             END IF;
         END $$;",
        statements.schema()
    );
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(statements.text(&sql))).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// The days that have a partition.
pub(crate) async fn days(connection: &mut PgConnection, statements: &Statements) -> Result<Vec<Day>> {
    let rows = statements
        .query(
            "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'riqle.history'::regclass",
        )
        .fetch_all(connection)
        .await?;
    let tables: Vec<String> = rows.iter().map(|row| row.try_get("name")).collect::<Result<_>>()?;
    Ok(tables.iter().filter_map(|table| Day::of_table(table)).collect())
}

/// Drops the days that were over before `before`, with the steps and notes of their runs, and answers with the number of
/// runs.
pub(crate) async fn drop_days(
    connection: &mut PgConnection,
    statements: &Statements,
    before: i64,
) -> Result<u64> {
    let mut runs = 0;
    for day in days(connection, statements).await? {
        if day.end() <= before {
            runs += drop_day(connection, statements, day).await?;
        }
    }
    Ok(runs)
}

async fn drop_day(connection: &mut PgConnection, statements: &Statements, day: Day) -> Result<u64> {
    let table = day.table();
    for of_run in ["steps", "progress", "log_lines"] {
        let delete = format!(
            "DELETE FROM riqle.{of_run} WHERE ctid = ANY (ARRAY(
                 SELECT o.ctid FROM riqle.{of_run} o JOIN riqle.{table} h ON h.id = o.run LIMIT 10000))"
        );
        while statements.query_once(&delete).execute(&mut *connection).await?.rows_affected() > 0 {}
    }
    let count = format!("SELECT count(*) AS runs FROM riqle.{table}");
    let row = statements.query_once(&count).fetch_one(&mut *connection).await?;
    let mut transaction = connection.begin().await?;
    let drop = format!("SET LOCAL lock_timeout = '2s'; DROP TABLE IF EXISTS riqle.{table}");
    sqlx::raw_sql(AssertSqlSafe(statements.text(&drop))).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(row.try_get::<i64, _>("runs")?.unsigned_abs())
}

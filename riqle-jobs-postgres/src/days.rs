//! The days of the history: a partition each, made ahead, dropped whole.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use riqle_jobs_core::{Error, ErrorKind};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use uuid::Uuid;

use crate::{
    error::{HeldUp, Result},
    statements::Statements,
    work::BEGIN,
};

/// Today, and this many more days, have a partition.
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

    pub(crate) fn end(self) -> i64 {
        Self(self.0.saturating_add(1)).start()
    }

    /// The name of its table.
    pub(crate) fn table(self) -> String {
        format!("history_{}", self.0)
    }

    pub(crate) fn of_table(table: &str) -> Option<Self> {
        table.strip_prefix("history_")?.parse().ok().map(Self)
    }
}

/// While a reader uses the history, a day can be neither attached nor dropped, and waiting for that holds up
/// everyone who comes after: so this waits for a moment only, one process at a time, and comes back after
/// minutes.
const LOCK: &str = "SET LOCAL lock_timeout = '50ms'";
const AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);

/// When the days may be looked after again, and what that has failed with.
#[derive(Debug, Default)]
pub(crate) struct Upkeep(Mutex<Put>);

#[derive(Debug, Default)]
struct Put {
    not_before: Option<Instant>,
    /// Until it succeeds; a reader of the history does not count.
    failure: Option<(ErrorKind, String)>,
}

impl Upkeep {
    /// Whether it is time.
    pub(crate) fn is_due(&self) -> bool {
        self.put().not_before.is_none_or(|time| time <= Instant::now())
    }

    /// Something was in the way.
    pub(crate) fn put_off(&self, error: &Error) {
        tracing::warn!(%error, "can't maintain the history's daily partitions; will retry in 5 minutes");
        let mut put = self.put();
        put.not_before = Some(Instant::now() + AGAIN_AFTER);
        if !HeldUp::is_cause_of(error) {
            put.failure = Some((error.kind(), error.message().to_owned()));
        }
    }

    pub(crate) fn succeeded(&self) {
        *self.put() = Put::default();
    }

    /// What it failed with, unless it has succeeded since.
    ///
    /// # Errors
    /// That.
    pub(crate) fn newest(&self) -> Result<(), Error> {
        match &self.put().failure {
            Some((kind, message)) => Err(Error::new(*kind, "prune", message.clone())),
            None => Ok(()),
        }
    }

    fn put(&self) -> MutexGuard<'_, Put> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the partitions of today and the days ahead. Where one can't be made, its rows are in `history_rest`:
/// slower to prune, and nothing else.
pub(crate) async fn open_days(connection: &mut PgConnection, statements: &Statements) -> Result<()> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let row = statements.query("SELECT riqle.now(NULL) AS now").fetch_one(&mut *transaction).await?;
    let today = Day::of(row.try_get("now")?);
    let known = days(&mut transaction, statements).await?;
    transaction.commit().await?;
    for day in (0..=AHEAD).map(|days| Day(today.0 + days)).filter(|day| !known.contains(day)) {
        open_day(connection, statements, day).await?;
    }
    Ok(())
}

/// Attached and not created as a partition, which would lock all of the history.
pub(crate) async fn open_day(connection: &mut PgConnection, statements: &Statements, day: Day) -> Result<()> {
    let (table, from, to) = (day.table(), day.start(), day.end());
    let sql = format!(
        "{LOCK};
         DO $$ BEGIN
             IF NOT pg_try_advisory_xact_lock(hashtextextended('riqle-jobs days of {}', 0)) THEN
                 RETURN;
             END IF;
             CREATE TABLE IF NOT EXISTS riqle.{table} (LIKE riqle.history INCLUDING ALL);
             IF NOT (SELECT relispartition FROM pg_class WHERE oid = 'riqle.{table}'::regclass) THEN
                 ALTER TABLE riqle.history ATTACH PARTITION riqle.{table} FOR VALUES FROM ({from}) TO ({to});
             END IF;
         END $$;",
        statements.schema()
    );
    let mut transaction = connection.begin_with(BEGIN).await?;
    sqlx::raw_sql(AssertSqlSafe(statements.text(&sql))).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
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
    let tables: Vec<String> = rows.iter().map(|row| crate::rows::get(row, "name")).collect::<Result<_>>()?;
    Ok(tables.iter().filter_map(|table| Day::of_table(table)).collect())
}

/// The days that were over before `before`.
pub(crate) async fn days_over(
    connection: &mut PgConnection,
    statements: &Statements,
    before: i64,
) -> Result<Vec<Day>> {
    let days = days(connection, statements).await?;
    Ok(days.into_iter().filter(|day| day.end() <= before).collect())
}

/// How many runs of a day have their steps and notes deleted at once.
const RUNS_AT_ONCE: i64 = 5_000;

/// Deletes the steps and notes of the next runs of a day, and answers up to which; `None`: that was all.
pub(crate) async fn empty_day(
    connection: &mut PgConnection,
    statements: &Statements,
    day: Day,
    after: Uuid,
) -> Result<Option<Uuid>> {
    let table = day.table();
    let empty = format!(
        "WITH ended AS MATERIALIZED (SELECT id FROM riqle.{table} WHERE id > $1 ORDER BY id LIMIT $2),
         steps AS (DELETE FROM riqle.steps WHERE run IN (SELECT id FROM ended)),
         progress AS (DELETE FROM riqle.progress WHERE run IN (SELECT id FROM ended)),
         lines AS (DELETE FROM riqle.log_lines WHERE run IN (SELECT id FROM ended))
         SELECT id FROM ended ORDER BY id DESC LIMIT 1"
    );
    let last =
        statements.query_once(&empty).bind(after).bind(RUNS_AT_ONCE).fetch_optional(connection).await?;
    Ok(last.map(|row| row.try_get("id")).transpose()?)
}

/// Drops a day, and answers with the number of its runs.
pub(crate) async fn drop_day(
    connection: &mut PgConnection,
    statements: &Statements,
    day: Day,
) -> Result<u64> {
    let table = day.table();
    let mut transaction = connection.begin_with(BEGIN).await?;
    let count = format!("SELECT count(*) AS runs FROM riqle.{table}");
    let row = statements.query_once(&count).fetch_one(&mut *transaction).await?;
    let drop = format!("{LOCK}; DROP TABLE IF EXISTS riqle.{table}");
    sqlx::raw_sql(AssertSqlSafe(statements.text(&drop))).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(row.try_get::<i64, _>("runs")?.unsigned_abs())
}

//! How the store and its work are doing, and the problems that an operator should know of.

use riqle_jobs_core::{
    from_millis,
    store::{COUNTED_TO, FirstDue, Health, Problem},
};
use sqlx::postgres::PgRow;

use crate::{
    days::{Day, days},
    error::Result,
    registry::registered_workers,
    rows::{count, get, get_count, time},
    staging::staging_status,
    work::{CHECK_WRITABLE, Work},
};

/// More dead rows than this, and more than live ones, slow claims down.
const MANY_DEAD_ROWS: i64 = 50_000;
/// A transaction that is older, in seconds, keeps dead rows from being vacuumed. Those of other users are seen only with
/// the rights of `pg_monitor`: the server hides when they began from everybody else.
pub(crate) const OLD_TRANSACTION: i64 = 5 * 60;

/// How the store and its work are doing.
pub(crate) async fn health(work: &mut Work<'_>) -> Result<Health> {
    let health = work.timed(include_str!("../queries/health.sql")).bind(count(COUNTED_TO));
    let row = health.fetch_one(&mut *work.connection).await?;
    let due = work.timed(include_str!("../queries/due_jobs.sql")).fetch_all(&mut *work.connection).await?;
    let first =
        |row| Ok(FirstDue { queue: get(row, "queue")?, job: get(row, "job")?, due_at: time(row, "due_at")? });
    let due = due.iter().map(first).collect::<Result<_>>()?;
    let workers = registered_workers(work).await?;
    let now: i64 = get(&row, "now")?;
    let mut health = Health::of_due(due, &workers, from_millis(now));
    let problems = &mut health.problems;
    problems.extend(self::problems(&row)?);
    problems.extend(staging_status(work, Some(COUNTED_TO)).await?.problems(from_millis(now)));
    if work.frozen.is_none() && !days(work.connection, work.statements).await?.contains(&Day::of(now)) {
        problems.push(Problem::new(
            "today's partition of the history is missing, so ended runs are pruned one by one",
            "Give the store's user the right to create tables in its schema.",
        ));
    }
    Ok(Health {
        expired_leases: get_count(&row, "expired_leases")?,
        schema: get::<Option<i32>>(&row, "schema")?.map(i32::unsigned_abs),
        ..health
    })
}

/// Fails if the server is read-only.
pub(crate) async fn check_writable(work: &mut Work<'_>) -> Result<()> {
    work.run(work.query(CHECK_WRITABLE)).await
}

fn problems(row: &PgRow) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    if let Some(age) = get::<Option<i64>>(row, "oldest_transaction")?.filter(|age| *age >= OLD_TRANSACTION) {
        problems.push(Problem::new(
            format!(
                "a transaction has been open for {} min, so ended runs can't be vacuumed and claims slow down",
                age / 60
            ),
            "End it: see pg_stat_activity.",
        ));
    }
    let dead: i64 = get::<Option<i64>>(row, "dead_rows")?.unwrap_or_default();
    let live: i64 = get::<Option<i64>>(row, "live_rows")?.unwrap_or_default();
    if dead > MANY_DEAD_ROWS.max(live) {
        problems.push(Problem::new(
            format!("the table of runs holds {dead} dead rows beside {live} live ones"),
            "Check whether autovacuum runs, and what holds it up.",
        ));
    }
    Ok(problems)
}

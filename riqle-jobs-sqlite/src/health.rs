//! How the store and its work are doing, and the problems that an operator should know of.

use jiff::Timestamp;
use riqle_jobs_core::store::{FirstDue, Health};
use sqlx::SqliteConnection;

use crate::{
    error::Result,
    registry::registered_workers,
    rows::{get, get_count, millis, time},
    staging::staging_status,
};

/// How the store and its work are doing.
pub(crate) async fn health(connection: &mut SqliteConnection, now: Timestamp) -> Result<Health> {
    let due = sqlx::query(include_str!("../queries/due_jobs.sql"))
        .bind(millis(now))
        .fetch_all(&mut *connection)
        .await?;
    let first =
        |row| Ok(FirstDue { queue: get(row, "queue")?, job: get(row, "job")?, due_at: time(row, "due_at")? });
    let due = due.iter().map(first).collect::<Result<_>>()?;
    let expired =
        "SELECT (SELECT count(*) FROM riqle_runs WHERE state = 'running' AND lease_until <= ?1) AS leases,
                          (SELECT max(number) FROM riqle_migrations) AS schema";
    let row = sqlx::query(expired).bind(millis(now)).fetch_one(&mut *connection).await?;
    let workers = registered_workers(&mut *connection, now).await?;
    let mut health = Health::of_due(due, &workers, now);
    health.problems.extend(staging_status(connection).await?.problems(now));
    Ok(Health { expired_leases: get_count(&row, "leases")?, schema: get(&row, "schema")?, ..health })
}

//! How the store and its work are doing, and the problems that an operator should know of.

use std::path::Path;

use jiff::Timestamp;
use riqle_jobs_core::store::{FirstDue, Health, Problem};
use sqlx::SqliteConnection;

use crate::{
    error::Result,
    registry::registered_workers,
    rows::{get, get_count, millis, time},
    staging::staging_status,
};

/// With less than this left on its disk, a store is about to take no writes.
const LITTLE: u64 = 16 * 1024 * 1024;

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

/// What is left on the disk of a file, where that can be found out.
#[cfg(unix)]
pub(crate) fn free_bytes(file: &Path) -> Option<u64> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
pub(crate) fn free_bytes(_: &Path) -> Option<u64> {
    None
}

pub(crate) fn little_left(free: u64) -> Option<Problem> {
    (free < LITTLE).then(|| {
        Problem::new(
            format!("the disk of the file is full: {} KiB are left", free / 1024),
            "Free space; nothing is lost meanwhile, and workers and producers continue by themselves.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_little_left_is_a_problem() {
        assert!(free_bytes(&std::env::temp_dir().join("jobs.db")).is_some_and(|free| free > 0));
        assert_eq!(little_left(LITTLE), None);
        let told = little_left(4_096).map(|problem| problem.what);
        assert_eq!(told.as_deref(), Some("the disk of the file is full: 4 KiB are left"));
    }
}

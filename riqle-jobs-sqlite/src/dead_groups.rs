//! Dead letters, grouped by job and error fingerprint.

use riqle_jobs_core::store::{COUNTED_TO, DeadGroup};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    error::Result,
    rows::{count, get, get_count, run_id, time},
};

/// Dead letters by job and fingerprint, the group in which a run died last first.
pub(crate) async fn dead_groups(connection: &mut SqliteConnection, limit: usize) -> Result<Vec<DeadGroup>> {
    let rows = sqlx::query(include_str!("../queries/dead_groups.sql"))
        .bind(count(COUNTED_TO))
        .fetch_all(connection)
        .await?;
    Ok(DeadGroup::merged(rows.iter().map(of_lane).collect::<Result<Vec<_>>>()?, limit))
}

fn of_lane(row: &SqliteRow) -> Result<DeadGroup> {
    Ok(DeadGroup {
        job: get(row, "job")?,
        error_fingerprint: get(row, "error_fingerprint")?,
        runs: get_count(row, "runs")?,
        first_at: time(row, "first_at")?,
        last_at: time(row, "last_at")?,
        newest: run_id(row, "newest")?,
    })
}

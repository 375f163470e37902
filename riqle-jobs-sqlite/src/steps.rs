//! Saves and reads the results of steps, and extends leases.

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{
    LeaseAnswer, LeaseRef, Payload, RunId, SavedStep, StepPath, StepSave, later, store::rules::Fence,
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    error::Result,
    fence::fences,
    rows::{Query, for_each, get, millis, payload, time},
};

/// Saves the steps whose lease still holds; the first result of a step stays, unless the new one replaces it.
pub(crate) async fn save_steps(
    connection: &mut SqliteConnection,
    steps: &[&StepSave],
    now: Timestamp,
) -> Result<Vec<LeaseAnswer>> {
    let leases: Vec<_> = steps.iter().map(|step| &step.lease).collect();
    let fences = fences(connection, &leases).await?;
    let held: Vec<&StepSave> = steps
        .iter()
        .zip(&fences)
        .filter(|(_, fence)| **fence == Fence::Holds)
        .map(|(step, _)| *step)
        .collect();
    insert_steps(connection, &held, now).await?;
    Ok(fences.into_iter().map(Fence::answer).collect())
}

/// Answers how many were written.
pub(crate) async fn insert_steps(
    connection: &mut SqliteConnection,
    steps: &[&StepSave],
    now: Timestamp,
) -> Result<usize> {
    let row = |query: Query<'static>, _, step: &&StepSave| {
        query
            .bind(step.lease.run.as_uuid())
            .bind(step.path.as_str().to_owned())
            .bind(i64::try_from(step.took.as_nanos()).unwrap_or(i64::MAX))
            .bind(step.result.codec.0)
            .bind(step.result.bytes.clone())
    };
    let mut written = 0;
    for steps in steps.chunk_by(|step, next| step.replaces == next.replaces) {
        let template = match steps.first() {
            Some(step) if step.replaces => include_str!("../queries/replace_steps.sql"),
            _ => include_str!("../queries/save_steps.sql"),
        };
        written += for_each(connection, template, |query| query.bind(millis(now)), steps, row).await?.len();
    }
    Ok(written)
}

/// Extends the leases that still hold.
pub(crate) async fn extend(
    connection: &mut SqliteConnection,
    leases: &[LeaseRef],
    lease: Duration,
    now: Timestamp,
) -> Result<Vec<LeaseAnswer>> {
    let leases: Vec<_> = leases.iter().collect();
    let fences = fences(connection, &leases).await?;
    let held: Vec<_> = leases
        .iter()
        .zip(&fences)
        .filter(|(_, fence)| **fence == Fence::Holds)
        .map(|(lease, _)| lease.run)
        .collect();
    let until = millis(later(now, lease));
    let template = include_str!("../queries/extend.sql");
    let row = |query: Query<'static>, _, id: &RunId| query.bind(id.as_uuid());
    for_each(connection, template, |query| query.bind(until), &held, row).await?;
    Ok(fences.into_iter().map(Fence::answer).collect())
}

/// A saved step, as the columns of `riqle_steps` have it.
pub(crate) fn saved_step(row: &SqliteRow) -> Result<SavedStep> {
    Ok(SavedStep {
        path: StepPath::from_stored(get(row, "name")?),
        result: payload(row, "codec", "result")?,
        saved_at: time(row, "saved_at")?,
        took: Duration::from_nanos(get::<i64>(row, "took")?.unsigned_abs()),
    })
}

/// The saved result of a step.
pub(crate) async fn saved_result(
    connection: &mut SqliteConnection,
    run: RunId,
    path: &StepPath,
) -> Result<Option<Payload>> {
    result_in(connection, "SELECT codec, result FROM riqle_steps WHERE run = ?1 AND name = ?2", run, path)
        .await
}

/// The result of a step that is kept for a run of another store.
pub(crate) async fn kept_step(
    connection: &mut SqliteConnection,
    run: RunId,
    path: &StepPath,
) -> Result<Option<Payload>> {
    let kept = "SELECT codec, result FROM riqle_kept_steps WHERE run = ?1 AND name = ?2";
    result_in(connection, kept, run, path).await
}

async fn result_in(
    connection: &mut SqliteConnection,
    query: &'static str,
    run: RunId,
    path: &StepPath,
) -> Result<Option<Payload>> {
    let query = sqlx::query(query).bind(run.as_uuid()).bind(path.as_str());
    let row = query.fetch_optional(connection).await?;
    row.map(|row| payload(&row, "codec", "result")).transpose()
}

/// Keeps the result of a step for a run of another store.
pub(crate) async fn keep_step(
    connection: &mut SqliteConnection,
    run: RunId,
    path: &StepPath,
    result: &Payload,
    now: Timestamp,
) -> Result<()> {
    sqlx::query("INSERT OR REPLACE INTO riqle_kept_steps (run, name, kept_at, codec, result) VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(run.as_uuid())
        .bind(path.as_str())
        .bind(millis(now))
        .bind(result.codec.0)
        .bind(result.bytes.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

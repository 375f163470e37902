//! Saves and reads the results of steps, and extends leases.

use std::{collections::HashSet, sync::LazyLock, time::Duration};

use riqle_jobs_core::{
    LeaseAnswer, LeaseRef, Payload, RunId, SavedStep, StepPath, StepSave, millis_of, store::rules::Fence,
};
use sqlx::postgres::PgRow;

use crate::{
    error::Result,
    fence::{answers, answers_of, runs, tokens},
    portions::portions,
    rows::{codec, get, numbers, payload, time},
    work::Work,
};

const EXTEND: &str = include_str!("../queries/extend.sql");
static EXTEND_WAITING: LazyLock<String> = LazyLock::new(|| EXTEND.replace(" SKIP LOCKED", ""));

/// Saves the steps whose lease still holds; the first result of a step stays, unless the new one replaces it.
pub(crate) async fn save_steps(work: &mut Work<'_>, steps: &[StepSave]) -> Result<Vec<LeaseAnswer>> {
    let mut all = Vec::with_capacity(steps.len());
    for portion in statements(steps) {
        let held = write_steps(work, portion).await?;
        let leases: Vec<_> = portion.iter().map(|step| &step.lease).collect();
        all.append(&mut answers(work, &leases, &held, Fence::answer).await?);
    }
    Ok(all)
}

/// What one statement may write: steps of one kind, and none that is named twice.
fn statements(steps: &[StepSave]) -> Vec<&[StepSave]> {
    let mut all = Vec::new();
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let mut seen = HashSet::new();
        let mut count = 0;
        while let Some(step) = rest.get(count)
            && step.replaces == first.replaces
            && seen.insert((step.lease.run, step.path.as_str()))
        {
            count += 1;
        }
        let (alike, after) = rest.split_at(count);
        all.append(&mut portions(alike, |step| step.result.bytes.len()));
        rest = after;
    }
    all
}

/// Answers a row for each whose lease holds, with `is_new` where it was not saved before.
pub(crate) async fn write_steps(work: &mut Work<'_>, steps: &[StepSave]) -> Result<Vec<PgRow>> {
    let template = match steps.first() {
        Some(step) if step.replaces => include_str!("../queries/replace_steps.sql"),
        _ => include_str!("../queries/save_steps.sql"),
    };
    let leases: Vec<_> = steps.iter().map(|step| &step.lease).collect();
    let nanos = |step: &StepSave| i64::try_from(step.took.as_nanos()).unwrap_or(i64::MAX);
    Ok(work
        .timed(template)
        .bind(numbers(steps.len()))
        .bind(runs(&leases))
        .bind(tokens(&leases))
        .bind(steps.iter().map(|step| step.path.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(nanos).collect::<Vec<_>>())
        .bind(steps.iter().map(|step| codec(step.result.codec)).collect::<Vec<_>>())
        .bind(steps.iter().map(|step| step.result.bytes.as_slice()).collect::<Vec<_>>())
        .fetch_all(&mut *work.connection)
        .await?)
}

/// How an extension deals with runs that others have locked: to settle them, to take them over, or to read them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// It waits for them.
    Wait,
    /// It waits for none: of these nothing is said.
    Skip,
}

/// Extends the leases that still hold.
pub(crate) async fn extend(
    work: &mut Work<'_>,
    leases: &[LeaseRef],
    lease: Duration,
    locked: Locked,
) -> Result<Vec<Option<LeaseAnswer>>> {
    let leases: Vec<&LeaseRef> = leases.iter().collect();
    let held = work
        .timed(if locked == Locked::Skip { EXTEND } else { &EXTEND_WAITING })
        .bind(millis_of(lease))
        .bind(numbers(leases.len()))
        .bind(runs(&leases))
        .bind(tokens(&leases))
        .fetch_all(&mut *work.connection)
        .await?;
    // One that holds and was not extended is that of a locked run.
    let answer = |fence: Fence| (fence != Fence::Holds).then(|| fence.answer());
    answers_of(work, &leases, &held, Some(LeaseAnswer::Done), answer).await
}

/// A saved step, as the columns of `steps` have it.
pub(crate) fn saved_step(row: &PgRow) -> Result<SavedStep> {
    Ok(SavedStep {
        path: StepPath::from_stored(get(row, "name")?),
        result: payload(row, "codec", "result")?,
        saved_at: time(row, "saved_at")?,
        took: Duration::from_nanos(get::<i64>(row, "took")?.unsigned_abs()),
    })
}

/// The saved result of a step.
pub(crate) async fn saved_result(
    work: &mut Work<'_>,
    run: RunId,
    path: &StepPath,
) -> Result<Option<Payload>> {
    let saved = work
        .query("SELECT codec, result FROM riqle.steps WHERE run = $1 AND name = $2")
        .bind(run.as_uuid())
        .bind(path.as_str().to_owned());
    let row = saved.fetch_optional(&mut *work.connection).await?;
    row.map(|row| payload(&row, "codec", "result")).transpose()
}

/// Takes the place of a step of a run that another store has, once no other transaction holds it; the result that one has
/// committed there.
pub(crate) async fn take_step(work: &mut Work<'_>, run: RunId, path: &StepPath) -> Result<Option<Payload>> {
    let taken = work
        .timed(include_str!("../queries/take_step.sql"))
        .bind(run.as_uuid())
        .bind(path.as_str().to_owned());
    let row = taken.fetch_one(&mut *work.connection).await?;
    let is_kept = get::<bool>(&row, "is_kept")?;
    is_kept.then(|| payload(&row, "codec", "result")).transpose()
}

/// Puts a result into the place that was taken.
pub(crate) async fn keep_step(
    work: &mut Work<'_>,
    run: RunId,
    path: &StepPath,
    result: &Payload,
) -> Result<()> {
    let keep = work
        .query("UPDATE riqle.kept_steps SET is_kept = true, codec = $3, result = $4 WHERE run = $1 AND name = $2")
        .bind(run.as_uuid())
        .bind(path.as_str().to_owned())
        .bind(codec(result.codec))
        .bind(result.bytes.clone());
    work.run(keep).await
}

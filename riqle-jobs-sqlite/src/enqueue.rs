//! Stores groups of runs, of each all or none, with their unique keys.

use std::borrow::Cow;

use jiff::Timestamp;
use riqle_jobs_core::{
    Due, Enqueued, Error, Fingerprint, NewRun, UniqueScope, later, millis_of,
    store::{Admission, HeldKey},
};
use sqlx::SqliteConnection;

use crate::{
    error::Result,
    lanes::Lanes,
    rows::{Query, for_each, get, millis, run_id},
};

/// Stores groups of runs: of each all or none. A group that is refused is refused before anything of it is written.
pub(crate) async fn enqueue(
    connection: &mut SqliteConnection,
    lanes: &mut Lanes,
    groups: &[&[NewRun]],
    now: Timestamp,
) -> Result<Vec<Result<Vec<Enqueued>, Error>>> {
    let mut known = known(connection, groups, now).await?;
    let (mut stored, mut keys, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups {
        let admitted = known.admit(group).map(|admitted| (admitted.answers, admitted.keys));
        if let Ok((answers, taken)) = &admitted {
            for (run, _) in group.iter().zip(answers).filter(|(_, answer)| answer.is_new()) {
                let lane = lanes.number(connection, &run.queue, &run.job, run.priority).await?;
                stored.push((run, lane));
            }
            keys.extend_from_slice(taken);
        }
        answers.push(admitted.map(|(answers, _)| answers));
    }
    insert(connection, &stored, now).await?;
    take_keys(connection, &keys, now).await?;
    Ok(answers)
}

/// Takes keys, from any earlier holder.
async fn take_keys(connection: &mut SqliteConnection, keys: &[HeldKey<'_>], now: Timestamp) -> Result<()> {
    let template = include_str!("../queries/take_unique.sql");
    let row = |query: Query<'static>, _, key: &HeldKey<'_>| {
        let expires_at = match key.scope {
            UniqueScope::Period(period) => Some(millis(later(now, period))),
            UniqueScope::WhilePending | UniqueScope::WhileNotEnded => None,
        };
        query
            .bind(key.job.to_owned())
            .bind(key.key.clone().into_owned())
            .bind(key.run.as_uuid())
            .bind(key.fingerprint.0.to_vec())
            .bind(expires_at)
    };
    for_each(connection, template, |query| query, keys, row).await.map(drop)
}

/// The word for a scope, and its period in milliseconds.
pub(crate) fn scope_word(scope: UniqueScope) -> (&'static str, Option<i64>) {
    match scope {
        UniqueScope::WhilePending => ("while-pending", None),
        UniqueScope::WhileNotEnded => ("while-not-ended", None),
        // Capped at some 30,000 years, so that SQL can add it to a time.
        UniqueScope::Period(period) => ("period", Some(millis_of(period).min(1_000_000_000_000_000))),
    }
}

/// The ids and keys of the groups that are taken.
async fn known<'a>(
    connection: &mut SqliteConnection,
    groups: &[&'a [NewRun]],
    now: Timestamp,
) -> Result<Admission<'a>> {
    let mut known = Admission::default();
    let runs: Vec<&NewRun> = groups.iter().copied().flatten().collect();
    let template = include_str!("../queries/existing_runs.sql");
    let row = |query: Query<'static>, n: usize, run: &&NewRun| query.bind(index(n)).bind(run.id.as_uuid());
    for row in for_each(connection, template, |query| query, &runs, row).await? {
        if let Some(run) = runs.get(position(&row)?) {
            known.know_run(run.id);
        }
    }
    let keyed: Vec<(&str, Cow<'_, str>)> = groups
        .iter()
        .copied()
        .flatten()
        .flat_map(|run| run.keys().map(|key| (run.job.as_str(), key)))
        .collect();
    let template = include_str!("../queries/unique_holders.sql");
    let row = |query: Query<'static>, n: usize, (job, key): &(&str, Cow<'_, str>)| {
        query.bind(index(n)).bind((*job).to_owned()).bind(key.clone().into_owned())
    };
    for row in for_each(connection, template, |query| query.bind(millis(now)), &keyed, row).await? {
        if let Some((job, key)) = keyed.get(position(&row)?) {
            let fingerprint = Fingerprint(fingerprint(get(&row, "fingerprint")?)?);
            known.know_holder(job, key.clone(), run_id(&row, "run")?, fingerprint);
        }
    }
    Ok(known)
}

async fn insert(connection: &mut SqliteConnection, runs: &[(&NewRun, i64)], now: Timestamp) -> Result<()> {
    let template = include_str!("../queries/enqueue.sql");
    let row = |query: Query<'static>, _, (run, lane): &(&NewRun, i64)| {
        let (due_at, at) = match run.due {
            Due::Now => (Some(now), None),
            Due::In(delay) => (Some(later(now, delay)), None),
            Due::At(time) => (None, Some(time)),
        };
        let scope = run.unique.as_ref().map(|unique| scope_word(unique.scope));
        query
            .bind(run.id.as_uuid())
            .bind(*lane)
            .bind(due_at.map(millis))
            .bind(at.map(millis))
            .bind(run.unique.as_ref().map(|unique| unique.key.clone()))
            .bind(scope.map(|(word, _)| word))
            .bind(scope.and_then(|(_, period)| period))
            .bind(run.reference.clone())
            .bind(run.event_id.clone())
            .bind(run.tick.as_ref().map(|tick| tick.schedule.clone()))
            .bind(run.tick.as_ref().map(|tick| millis(tick.at)))
            .bind((!run.gates.is_empty()).then(|| serde_json::json!(run.gates).to_string()))
            .bind(run.trace.as_ref().map(|trace| trace.as_str().to_owned()))
            .bind(run.fingerprint.0.to_vec())
            .bind(run.input.codec.0)
            .bind(run.input.bytes.clone())
    };
    for_each(connection, template, |query| query.bind(millis(now)), runs, row).await.map(drop)
}

pub(crate) fn fingerprint(bytes: Vec<u8>) -> Result<[u8; 16]> {
    Ok(bytes.try_into().map_err(|_| sqlx::Error::Decode("a fingerprint has 16 bytes".into()))?)
}

/// The number of an item, as it is bound.
pub(crate) fn index(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The number of the item that a row answers.
pub(crate) fn position(row: &sqlx::sqlite::SqliteRow) -> Result<usize> {
    Ok(usize::try_from(get::<i64>(row, "n")?).unwrap_or(usize::MAX))
}

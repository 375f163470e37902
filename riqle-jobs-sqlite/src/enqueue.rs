use jiff::Timestamp;
use riqle_jobs_core::{
    Due, Enqueued, Error, Fingerprint, NewRun, RunId, Unique, UniqueScope, later, millis_of, store::Admission,
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
    let answers: Vec<_> = groups.iter().map(|group| known.admit(group)).collect();
    let mut stored = Vec::new();
    for (group, answers) in groups.iter().zip(&answers) {
        let Ok(answers) = answers else { continue };
        for (run, _) in group.iter().zip(answers).filter(|(_, answer)| answer.is_new()) {
            let lane = lanes.number(connection, &run.queue, &run.job, run.priority).await?;
            stored.push((run, lane));
        }
    }
    insert(connection, &stored, now).await?;
    let keys: Vec<_> = stored
        .iter()
        .filter_map(|(run, _)| {
            let unique = run.unique.as_ref()?;
            Some(TakenKey { job: &run.job, unique, run: run.id, fingerprint: run.fingerprint })
        })
        .collect();
    take_keys(connection, &keys, now).await?;
    Ok(answers)
}

/// A unique key about to be taken.
pub(crate) struct TakenKey<'a> {
    pub(crate) job: &'a str,
    pub(crate) unique: &'a Unique,
    pub(crate) run: RunId,
    pub(crate) fingerprint: Fingerprint,
}

/// Takes keys, from any earlier holder.
pub(crate) async fn take_keys(
    connection: &mut SqliteConnection,
    keys: &[TakenKey<'_>],
    now: Timestamp,
) -> Result<()> {
    let template = include_str!("../queries/take_unique.sql");
    let row = |query: Query<'static>, _, key: &TakenKey<'_>| {
        let expires_at = match key.unique.scope {
            UniqueScope::Period(period) => Some(millis(later(now, period))),
            UniqueScope::WhilePending | UniqueScope::WhileNotEnded => None,
        };
        query
            .bind(key.job.to_owned())
            .bind(key.unique.key.clone())
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
    let keyed: Vec<(&str, &str)> = groups
        .iter()
        .copied()
        .flatten()
        .filter_map(|run| Some((run.job.as_str(), run.unique.as_ref()?.key.as_str())))
        .collect();
    let template = include_str!("../queries/unique_holders.sql");
    let row = |query: Query<'static>, n: usize, (job, key): &(&str, &str)| {
        query.bind(index(n)).bind((*job).to_owned()).bind((*key).to_owned())
    };
    for row in for_each(connection, template, |query| query.bind(millis(now)), &keyed, row).await? {
        if let Some((job, key)) = keyed.get(position(&row)?) {
            let fingerprint = Fingerprint(fingerprint(get(&row, "fingerprint")?)?);
            known.know_holder(job, key, run_id(&row, "run")?, fingerprint);
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
            .bind((!run.gates.is_empty()).then(|| serde_json::json!(run.gates).to_string()))
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

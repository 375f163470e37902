//! Stores groups of runs, of each all or none, with their unique keys.

use std::{borrow::Cow, collections::HashSet};

use riqle_jobs_core::{
    Due, Enqueued, Error, Fingerprint, Hint, NewRun, RunId, TraceContext, UniqueScope, millis_of,
    store::{Admission, HeldKey},
};
use sqlx::postgres::PgRow;

use crate::{
    Postgres,
    error::{Failure, Result},
    lanes::{Lane, store_lanes},
    portions::{BYTES_AT_ONCE, ITEMS_AT_ONCE, portions},
    rows::{codec, get, millis, numbers, position, run_id},
    work::Work,
};

/// Whether one statement stores them all: then they need no transaction.
pub(crate) fn is_one_statement(groups: &[Vec<NewRun>]) -> bool {
    let runs = || groups.iter().flatten();
    runs().all(|run| !run.has_key())
        && runs().count() <= ITEMS_AT_ONCE
        && runs().map(|run| run.input.bytes.len()).sum::<usize>() <= BYTES_AT_ONCE
}

/// Whose transaction runs are stored in.
#[derive(Clone, Copy)]
pub(crate) enum Within<'a> {
    /// Our own, or none: it ends soon.
    Ours,
    /// A caller's, which may stay open for long: lanes are stored apart from it, so that no other caller waits
    /// for it.
    Callers(&'a Postgres),
}

/// Stores groups of runs: of each all or none. A group that is refused is refused before anything of it is written.
pub(crate) async fn enqueue(
    work: &mut Work<'_>,
    within: Within<'_>,
    groups: &[&[NewRun]],
) -> Result<Vec<Result<Vec<Enqueued>, Error>>> {
    let runs: Vec<&NewRun> = groups.iter().copied().flatten().collect();
    let answers = if runs.iter().any(|run| run.has_key()) {
        enqueue_keyed(work, within, groups).await?
    } else {
        let mut new = insert(work, within, &runs).await?;
        let mut answer = |run: &NewRun| match new.remove(&run.id) {
            true => Enqueued::New(run.id),
            false => Enqueued::Existing(run.id),
        };
        groups.iter().map(|group| Ok(group.iter().map(&mut answer).collect())).collect()
    };
    for (group, answer) in groups.iter().zip(&answers) {
        if let (Some(run), Ok(answers)) = (group.first(), answer)
            && answers.iter().any(|answer| answer.is_new())
        {
            work.hint(Hint::Due(Some(run.queue.clone())));
        }
    }
    Ok(answers)
}

fn lanes_of<'a>(runs: &[&'a NewRun]) -> Vec<(i64, Lane<'a>)> {
    let distinct: HashSet<Lane<'_>> = runs.iter().map(|run| lane(run)).collect();
    distinct.into_iter().map(|lane| (lane.number(), lane)).collect()
}

fn lane(run: &NewRun) -> Lane<'_> {
    Lane { queue: &run.queue, job: &run.job, priority: run.priority }
}

/// Looks up who holds the keys, decides, and takes them; if another caller was faster in between, it starts
/// again.
async fn enqueue_keyed(
    work: &mut Work<'_>,
    within: Within<'_>,
    groups: &[&[NewRun]],
) -> Result<Vec<Result<Vec<Enqueued>, Error>>> {
    let mut known = known(work, groups).await?;
    let (mut stored, mut keys, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups {
        answers.push(known.admit(group).map(|admitted| {
            stored.extend(
                group.iter().zip(&admitted.answers).filter(|(_, answer)| answer.is_new()).map(|(run, _)| run),
            );
            keys.extend(admitted.keys);
            admitted.answers
        }));
    }
    take_keys(work, &keys).await?;
    if insert(work, within, &stored).await?.len() < stored.len() {
        return Err(Failure::Outrun);
    }
    Ok(answers)
}

/// The ids and keys of the groups that are taken.
async fn known<'a>(work: &mut Work<'_>, groups: &[&'a [NewRun]]) -> Result<Admission<'a>> {
    let mut known = Admission::default();
    let runs = || groups.iter().copied().flatten();
    let ids: Vec<_> = runs().map(|run| run.id.as_uuid()).collect();
    let stored = work.query(include_str!("../queries/existing_runs.sql")).bind(ids);
    for row in stored.fetch_all(&mut *work.connection).await? {
        known.know_run(run_id(&row, "id")?);
    }
    let keyed: Vec<(&str, Cow<'_, str>)> =
        runs().flat_map(|run| run.keys().map(|key| (run.job.as_str(), key))).collect();
    let holders = work
        .timed(include_str!("../queries/unique_holders.sql"))
        .bind(numbers(keyed.len()))
        .bind(keyed.iter().map(|(job, _)| (*job).to_owned()).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(_, key)| key.clone().into_owned()).collect::<Vec<_>>());
    for row in holders.fetch_all(&mut *work.connection).await? {
        if let Some((job, key)) = keyed.get(position(&row)?) {
            known.know_holder(job, key.clone(), run_id(&row, "run")?, fingerprint(&row)?);
        }
    }
    Ok(known)
}

async fn take_keys(work: &mut Work<'_>, keys: &[HeldKey<'_>]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let taken = work
        .timed(include_str!("../queries/take_unique.sql"))
        .bind(keys.iter().map(|held| held.job.to_owned()).collect::<Vec<_>>())
        .bind(keys.iter().map(|held| held.key.clone().into_owned()).collect::<Vec<_>>())
        .bind(keys.iter().map(|held| held.run.as_uuid()).collect::<Vec<_>>())
        .bind(keys.iter().map(|held| held.fingerprint.0.to_vec()).collect::<Vec<_>>())
        .bind(keys.iter().map(|held| scope_word(held.scope).1).collect::<Vec<_>>())
        .fetch_all(&mut *work.connection)
        .await?;
    if taken.len() < keys.len() { Err(Failure::Outrun) } else { Ok(()) }
}

/// The word for a scope, and its period in milliseconds.
fn scope_word(scope: UniqueScope) -> (&'static str, Option<i64>) {
    match scope {
        UniqueScope::WhilePending => ("while-pending", None),
        UniqueScope::WhileNotEnded => ("while-not-ended", None),
        UniqueScope::Period(period) => ("period", Some(millis_of(period))),
    }
}

/// Stores those whose ids are new, and answers with these.
async fn insert(work: &mut Work<'_>, within: Within<'_>, runs: &[&NewRun]) -> Result<HashSet<RunId>> {
    let mut new = HashSet::with_capacity(runs.len());
    let mut seen = HashSet::with_capacity(runs.len());
    let runs: Vec<&NewRun> = runs.iter().copied().filter(|run| seen.insert(run.id)).collect();
    for portion in portions(&runs, |run| run.input.bytes.len()) {
        let lanes = lanes_of(portion);
        let numbers = lanes.iter().map(|(number, _)| *number).collect();
        let mut stored = insert_portion(work, portion, numbers).await?;
        if stored.len() < portion.len() {
            // Some are stored already, or lanes are missing: new ones, or a standby took over that lagged behind.
            within.store_lanes(work, &lanes).await?;
            stored.append(&mut insert_portion(work, portion, Vec::new()).await?);
        }
        for row in &stored {
            new.insert(run_id(row, "id")?);
        }
    }
    Ok(new)
}

impl Within<'_> {
    async fn store_lanes(self, work: &mut Work<'_>, lanes: &[(i64, Lane<'_>)]) -> Result<()> {
        match self {
            Within::Ours => store_lanes(work, lanes).await,
            Within::Callers(store) => {
                let lanes = lanes.to_vec();
                let stored =
                    store.ask("enqueue_in", &lanes, |work, lanes| Box::pin(store_lanes(work, lanes))).await;
                stored.map_err(Failure::from)
            }
        }
    }
}

/// Stores nothing if one of `lanes_to_check` is missing.
async fn insert_portion(
    work: &mut Work<'_>,
    runs: &[&NewRun],
    lanes_to_check: Vec<i64>,
) -> Result<Vec<PgRow>> {
    fn column<'a, T>(runs: &[&'a NewRun], value: impl Fn(&'a NewRun) -> T) -> Vec<T> {
        runs.iter().map(|run| value(run)).collect()
    }
    let scope = |run: &NewRun| run.unique.as_ref().map(|unique| scope_word(unique.scope));
    let mut number = (None, 0);
    let mut lane_number = |run| {
        let lane = lane(run);
        if number.0.as_ref() != Some(&lane) {
            number.1 = lane.number();
            number.0 = Some(lane);
        }
        number.1
    };
    let lanes: Vec<i64> = runs.iter().map(|run| lane_number(run)).collect();
    let made_at = runs.iter().map(|run| made_at(run.id)).min();
    Ok(work
        .timed(include_str!("../queries/enqueue.sql"))
        .bind(column(runs, |run| run.id.as_uuid()))
        .bind(lanes)
        .bind(column(runs, |run| match run.due {
            Due::In(delay) => Some(millis_of(delay)),
            _ => None,
        }))
        .bind(column(runs, |run| match run.due {
            Due::At(time) => Some(millis(time)),
            _ => None,
        }))
        .bind(column(runs, |run| run.unique.as_ref().map(|unique| unique.key.as_str())))
        .bind(column(runs, |run| scope(run).map(|(word, _)| word)))
        .bind(column(runs, |run| scope(run).and_then(|(_, period)| period)))
        .bind(column(runs, |run| run.reference.as_deref()))
        .bind(column(runs, |run| run.event_id.as_deref()))
        .bind(column(runs, |run| (!run.gates.is_empty()).then(|| run.gates.join("\u{1f}"))))
        .bind(column(runs, |run| run.fingerprint.0.as_slice()))
        .bind(column(runs, |run| codec(run.input.codec)))
        .bind(column(runs, |run| run.input.bytes.as_slice()))
        // A frozen clock has nothing to do with that of the ids.
        .bind(made_at.filter(|_| work.frozen.is_none()).unwrap_or(i64::MIN))
        .bind(lanes_to_check)
        .bind(column(runs, |run| run.tick.as_ref().map(|tick| tick.schedule.as_str())))
        .bind(column(runs, |run| run.tick.as_ref().map(|tick| millis(tick.at))))
        .bind(column(runs, |run| run.trace.as_ref().map(TraceContext::as_str)))
        .fetch_all(&mut *work.connection)
        .await?)
}

/// When an id was made, in milliseconds, as it says itself.
fn made_at(id: RunId) -> i64 {
    match id.as_uuid() {
        uuid if uuid.get_version_num() == 7 => i64::try_from(uuid.as_u128() >> 80).unwrap_or(i64::MIN),
        _ => i64::MIN,
    }
}

pub(crate) fn fingerprint(row: &PgRow) -> Result<Fingerprint> {
    let bytes: &[u8] = get(row, "fingerprint")?;
    let bytes = bytes.try_into().map_err(|_| sqlx::Error::Decode("a fingerprint has 16 bytes".into()))?;
    Ok(Fingerprint(bytes))
}

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use riqle_jobs_core::{
    Due, Enqueued, Error, ErrorKind, Fingerprint, NewRun, OtherInput, RunId, Unique, UniqueScope,
    from_millis, later, millis_of,
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
    let mut known = Known::read(connection, groups, now).await?;
    let answers: Vec<_> = groups.iter().map(|group| known.answer(group)).collect();
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

/// Takes keys, from whoever held them.
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

/// The ids and keys that are taken, in the store and by the groups before.
struct Known<'a> {
    ids: HashSet<RunId>,
    keys: HashMap<(&'a str, &'a str), Holder>,
}

#[derive(Clone, Copy)]
struct Holder {
    run: RunId,
    fingerprint: Fingerprint,
}

impl Holder {
    /// Answers with the holder, where `run` may share it.
    fn hit_by(self, run: &NewRun, unique: &Unique) -> Result<RunId, Error> {
        if self.fingerprint != run.fingerprint && unique.other_input == OtherInput::Conflicts {
            let message = format!(
                "unique key {:?} of job {:?} is taken by run {} with another input",
                unique.key, run.job, self.run
            );
            return Err(Error::new(ErrorKind::Conflict, "enqueue", message));
        }
        Ok(self.run)
    }
}

impl<'a> Known<'a> {
    async fn read(
        connection: &mut SqliteConnection,
        groups: &[&'a [NewRun]],
        now: Timestamp,
    ) -> Result<Self> {
        let runs: Vec<&NewRun> = groups.iter().copied().flatten().collect();
        let template = include_str!("../queries/existing_runs.sql");
        let row =
            |query: Query<'static>, n: usize, run: &&NewRun| query.bind(index(n)).bind(run.id.as_uuid());
        let mut ids = HashSet::new();
        for row in for_each(connection, template, |query| query, &runs, row).await? {
            ids.extend(runs.get(position(&row)?).map(|run| run.id));
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
        let mut keys = HashMap::new();
        for row in for_each(connection, template, |query| query.bind(millis(now)), &keyed, row).await? {
            let fingerprint = Fingerprint(fingerprint(get(&row, "fingerprint")?)?);
            let holder = Holder { run: run_id(&row, "run")?, fingerprint };
            keys.extend(keyed.get(position(&row)?).map(|key| (*key, holder)));
        }
        Ok(Self { ids, keys })
    }

    /// What storing the group answers; where it may be stored, its ids and keys are taken.
    fn answer(&mut self, group: &'a [NewRun]) -> Result<Vec<Enqueued>, Error> {
        let mut ids: HashSet<RunId> = HashSet::new();
        let mut keys: HashMap<(&str, &str), Holder> = HashMap::new();
        let mut answers = Vec::with_capacity(group.len());
        for (index, run) in group.iter().enumerate() {
            if self.ids.contains(&run.id) || ids.contains(&run.id) {
                answers.push(Enqueued::Existing(run.id));
                continue;
            }
            if let Some(unique) = &run.unique {
                let key = (run.job.as_str(), unique.key.as_str());
                if let Some(holder) = keys.get(&key).or_else(|| self.keys.get(&key)) {
                    let id = holder.hit_by(run, unique).map_err(|error| error.at_index(index))?;
                    answers.push(Enqueued::Existing(id));
                    continue;
                }
                keys.insert(key, Holder { run: run.id, fingerprint: run.fingerprint });
            }
            ids.insert(run.id);
            answers.push(Enqueued::New(run.id));
        }
        self.ids.extend(ids);
        self.keys.extend(keys);
        Ok(answers)
    }
}

async fn insert(connection: &mut SqliteConnection, runs: &[(&NewRun, i64)], now: Timestamp) -> Result<()> {
    let template = include_str!("../queries/enqueue.sql");
    let row = |query: Query<'static>, _, (run, lane): &(&NewRun, i64)| {
        let due_at = match run.due {
            Due::Now => now,
            Due::In(delay) => later(now, delay),
            Due::At(time) => from_millis(millis(time)),
        };
        let scope = run.unique.as_ref().map(|unique| scope_word(unique.scope));
        query
            .bind(run.id.as_uuid())
            .bind(*lane)
            .bind(millis(due_at))
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
    bytes.try_into().map_err(|_| sqlx::Error::Decode("a fingerprint has 16 bytes".into()))
}

/// The number of an item, as it is bound.
pub(crate) fn index(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The number of the item that a row answers.
pub(crate) fn position(row: &sqlx::sqlite::SqliteRow) -> Result<usize> {
    Ok(usize::try_from(get::<i64>(row, "n")?).unwrap_or(usize::MAX))
}

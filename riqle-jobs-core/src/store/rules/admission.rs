//! What storing groups of runs answers: new, existing, or a conflict of unique keys.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use crate::{Enqueued, Error, ErrorKind, Fingerprint, NewRun, OtherInput, RunId, UniqueKey, UniqueScope};

/// Decides what storing groups of runs answers: for stores that read the ids and keys that are taken, ask here, and then
/// write.
///
/// A run that an event starts has two keys. The event's own says whether the job has started for the event, or has joined a
/// run for it; only where it is free does the run's own key count.
#[derive(Debug, Default)]
pub struct Admission<'a> {
    ids: HashSet<RunId>,
    keys: HashMap<(&'a str, Cow<'a, str>), Holder>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    run: RunId,
    fingerprint: Fingerprint,
}

/// A key that a stored run holds, or that was answered by the run that an event has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey<'a> {
    /// The job's name.
    pub job: &'a str,
    /// The key, unique per job.
    pub key: Cow<'a, str>,
    /// The run that holds it.
    pub run: RunId,
    /// Of the run's input; [`Fingerprint::JOINED`] of an event that has joined the run.
    pub fingerprint: Fingerprint,
    /// How long it is held.
    pub scope: UniqueScope,
}

/// What becomes of a group that may be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// The answer of each run, in order.
    pub answers: Vec<Enqueued>,
    /// The keys that are to be stored with the new ones.
    pub keys: Vec<HeldKey<'a>>,
}

impl NewRun {
    /// Its keys, which are looked for before it is stored.
    pub fn keys(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let own = self.unique.iter().map(|unique| Cow::Borrowed(unique.key.as_str()));
        own.chain(self.event_key().map(|key| Cow::Owned(key.key)))
    }

    fn own_key(&self) -> Option<HeldKey<'_>> {
        let UniqueKey { key, scope, .. } = self.unique.as_ref()?;
        let (fingerprint, key) = (self.fingerprint, Cow::Borrowed(key.as_str()));
        Some(HeldKey { job: &self.job, key, run: self.id, fingerprint, scope: *scope })
    }

    fn key_of_event(&self, run: RunId, fingerprint: Fingerprint) -> Option<HeldKey<'_>> {
        let UniqueKey { key, scope, .. } = self.event_key()?;
        Some(HeldKey { job: &self.job, key: Cow::Owned(key), run, fingerprint, scope })
    }
}

impl<'a> Admission<'a> {
    /// A run of this id is stored.
    pub fn know_run(&mut self, id: RunId) {
        self.ids.insert(id);
    }

    /// A run holds the job's key, with the fingerprint that is stored with it.
    pub fn know_holder(
        &mut self,
        job: &'a str,
        key: impl Into<Cow<'a, str>>,
        run: RunId,
        fingerprint: Fingerprint,
    ) {
        self.keys.insert((job, key.into()), Holder { run, fingerprint });
    }

    /// That the key of `run` is taken by `holder` with another input: for stores that decide where they write.
    pub fn conflict(run: &NewRun, unique: &UniqueKey, holder: RunId) -> Error {
        let message = format!(
            "unique key {:?} of job {:?} is taken by run {holder} with another input",
            unique.key, run.job
        );
        Error::new(ErrorKind::Conflict, "enqueue", message)
    }

    /// What storing the group answers; where it may be stored, its ids and keys are taken for the groups after it.
    ///
    /// # Errors
    /// `Conflict` with the index: a key is taken with another input. Nothing of the group may be stored then.
    pub fn admit(&mut self, group: &'a [NewRun]) -> Result<Admitted<'a>, Error> {
        let mut ids: HashSet<RunId> = HashSet::new();
        let mut keys: HashMap<(&str, Cow<'_, str>), Holder> = HashMap::new();
        let mut admitted = Admitted::default();
        for (index, run) in group.iter().enumerate() {
            let is_known = self.ids.contains(&run.id) || ids.contains(&run.id);
            let holder = |key: &str| {
                let key = (run.job.as_str(), Cow::Borrowed(key));
                keys.get(&key).or_else(|| self.keys.get(&key)).copied()
            };
            let (answer, taken) = match is_known {
                true => (Enqueued::Existing(run.id), [None, None]),
                false => decide(run, holder).map_err(|error| error.at_index(index))?,
            };
            for held in taken.into_iter().flatten() {
                let holder = Holder { run: held.run, fingerprint: held.fingerprint };
                keys.insert((held.job, held.key.clone()), holder);
                admitted.keys.push(held);
            }
            if answer.is_new() {
                ids.insert(run.id);
            }
            admitted.answers.push(answer);
        }
        self.ids.extend(ids);
        self.keys.extend(keys);
        Ok(admitted)
    }
}

/// What a run is answered whose id is not known, and the keys that are taken with it.
fn decide(
    run: &NewRun,
    holder: impl Fn(&str) -> Option<Holder>,
) -> Result<(Enqueued, [Option<HeldKey<'_>>; 2]), Error> {
    let event_key = run.event_key();
    if let Some(held) = event_key.as_ref().and_then(|event| holder(&event.key)) {
        let answer = match held.fingerprint {
            Fingerprint::JOINED => Enqueued::Joined(held.run),
            _ => Enqueued::Existing(held.run),
        };
        return Ok((answer, [None, None]));
    }
    let Some((unique, held)) = run.unique.as_ref().and_then(|own| Some((own, holder(&own.key)?))) else {
        return Ok((Enqueued::New(run.id), [run.own_key(), run.key_of_event(run.id, Fingerprint::NONE)]));
    };
    match event_key {
        Some(_) => {
            let joined = run.key_of_event(held.run, Fingerprint::JOINED);
            Ok((Enqueued::Joined(held.run), [None, joined]))
        }
        None if held.fingerprint != run.fingerprint && unique.other_input == OtherInput::Conflicts => {
            Err(Admission::conflict(run, unique, held.run))
        }
        None => Ok((Enqueued::Existing(held.run), [None, None])),
    }
}

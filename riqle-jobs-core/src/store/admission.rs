use std::collections::{HashMap, HashSet};

use crate::{Enqueued, Error, ErrorKind, Fingerprint, NewRun, OtherInput, RunId, Unique};

/// Decides what storing groups of runs answers: for stores that read the ids and keys that are taken, ask here, and then
/// write.
#[derive(Debug, Default)]
pub struct Admission<'a> {
    ids: HashSet<RunId>,
    keys: HashMap<(&'a str, &'a str), Holder>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    run: RunId,
    fingerprint: Fingerprint,
}

impl<'a> Admission<'a> {
    /// A run of this id is stored.
    pub fn know_run(&mut self, id: RunId) {
        self.ids.insert(id);
    }

    /// A run with this input holds the job's key.
    pub fn know_holder(&mut self, job: &'a str, key: &'a str, run: RunId, fingerprint: Fingerprint) {
        self.keys.insert((job, key), Holder { run, fingerprint });
    }

    /// That the key of `run` is taken by `holder` with another input: for stores that decide where they write.
    pub fn conflict(run: &NewRun, unique: &Unique, holder: RunId) -> Error {
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
    pub fn admit(&mut self, group: &'a [NewRun]) -> Result<Vec<Enqueued>, Error> {
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

impl Holder {
    /// Answers with the holder, where `run` may share it.
    fn hit_by(self, run: &NewRun, unique: &Unique) -> Result<RunId, Error> {
        if self.fingerprint != run.fingerprint && unique.other_input == OtherInput::Conflicts {
            return Err(Admission::conflict(run, unique, self.run));
        }
        Ok(self.run)
    }
}

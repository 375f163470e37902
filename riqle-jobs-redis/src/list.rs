//! Pages of runs. Each part of a page is read from one range of one list of ids, newest first, and ends at its limit.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use redis::cmd;
use riqle_jobs_core::{Error, Run, RunFilter, RunId, RunState, store::DeadError};

use crate::{
    Redis,
    rows::State,
    script::RUNS,
    values::{list, maybe_bytes, run_id, word},
};

/// How many runs are read at once, and of exact lists at least.
const PORTION: usize = 100;

impl Redis {
    /// A page of runs, newest id first.
    pub(crate) async fn list_runs(&self, filter: &RunFilter) -> Result<Vec<Run>, Error> {
        let queues = self.queues_of("runs", filter).await?;
        let page = filter.page_size();
        let mut listed = Vec::new();
        let mut before = filter.before;
        loop {
            let (ids, next) = self.newest_ids("runs", &queues, filter, before).await?;
            for ids in ids.chunks(PORTION) {
                let mut runs = self.read_all(&queues, ids).await?;
                for (id, _) in ids {
                    // It may have changed since.
                    let run = runs.remove(id).filter(|run| is_listed(run, filter));
                    listed.extend(run);
                    if listed.len() == page {
                        return Ok(listed);
                    }
                }
            }
            if next.is_none() {
                return Ok(listed);
            }
            before = next;
        }
    }

    /// The newest errors of a page of dead letters, newest id first.
    pub(crate) async fn list_dead_errors(&self, filter: RunFilter) -> Result<Vec<DeadError>, Error> {
        let filter = filter.states([RunState::Dead]);
        let queues = self.queues_of("dead_errors", &filter).await?;
        let page = filter.page_size();
        let mut errors = Vec::new();
        let mut before = filter.before;
        loop {
            let (ids, next) = self.newest_ids("dead_errors", &queues, &filter, before).await?;
            for ids in ids.chunks(PORTION) {
                let mut states = self.states_of(&queues, ids).await?;
                for (id, _) in ids {
                    // It may have been replayed or discarded since.
                    let state = states.remove(id).filter(State::is_dead_letter);
                    let error = state.map(|state| Ok::<_, Error>(DeadError::of(*id, &state.attempts()?)));
                    errors.extend(error.transpose()?);
                    if errors.len() == page {
                        return Ok(errors);
                    }
                }
            }
            if next.is_none() {
                return Ok(errors);
            }
            before = next;
        }
    }

    /// The newest ids of what is asked for, below one, as many as a page needs, each with the number of its queue; and below
    /// which one there may be more.
    async fn newest_ids(
        &self,
        operation: &'static str,
        queues: &[String],
        filter: &RunFilter,
        before: Option<RunId>,
    ) -> Result<(Vec<(RunId, usize)>, Option<RunId>), Error> {
        let (page, is_exact) = (filter.page_size(), Place::of(filter).is_exact(filter));
        let most = if is_exact { page.max(PORTION) } else { page };
        let ids = if is_exact {
            self.newest_in(queues, filter, before, most).await?
        } else {
            self.matching(operation, queues, filter, before, most).await?
        };
        let next = ids.last().filter(|_| ids.len() == most).map(|(last, _)| *last);
        Ok((ids, next))
    }

    /// The newest ids that may be listed, below one, each with the number of its queue.
    async fn newest_in(
        &self,
        queues: &[String],
        filter: &RunFilter,
        before: Option<RunId>,
        portion: usize,
    ) -> Result<Vec<(RunId, usize)>, Error> {
        let lists = queues.iter().map(|queue| self.newest(queue, filter, before, portion));
        let mut ids: Vec<(RunId, usize)> = Vec::new();
        for (queue, newest) in try_join_all(lists).await?.into_iter().enumerate() {
            ids.extend(newest.into_iter().map(|id| (id, queue)));
        }
        ids.retain(|(id, _)| before.is_none_or(|before| *id < before));
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        ids.truncate(portion);
        Ok(ids)
    }

    /// The queues that are asked for.
    pub(crate) async fn queues_of(
        &self,
        operation: &'static str,
        filter: &RunFilter,
    ) -> Result<Vec<String>, Error> {
        match &filter.queue {
            Some(queue) => Ok(vec![queue.clone()]),
            None => self.known_queues(operation).await,
        }
    }

    /// The newest ids of a queue that may be listed, below one.
    async fn newest(
        &self,
        queue: &str,
        filter: &RunFilter,
        before: Option<RunId>,
        portion: usize,
    ) -> Result<Vec<RunId>, Error> {
        let place = Place::of(filter);
        let lists = self.lists("runs", queue, &place, filter).await?;
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec![place.above(before), place.below(None), portion.to_string().into_bytes()];
        arguments.extend(lists.into_iter().map(String::into_bytes));
        list(self.call("runs", &RUNS, queue, arguments).await?)?.into_iter().map(run_id).collect()
    }

    /// The lists of a queue in which ids of what is asked for stand.
    pub(crate) async fn lists(
        &self,
        operation: &'static str,
        queue: &str,
        place: &Place<'_>,
        filter: &RunFilter,
    ) -> Result<Vec<String>, Error> {
        let kinds = match &place.lists {
            Lists::One(list) => return Ok(vec![(*list).to_owned()]),
            Lists::OfEachJob(kinds) => kinds,
        };
        let jobs = match &filter.job {
            Some(job) => vec![job.clone()],
            None => {
                let prefix = self.shared.keys.queue(queue);
                let members = cmd("SMEMBERS").arg(format!("{prefix}jobs")).take();
                let answers = self.shared.server.ask(operation, &prefix, &[members]).await?;
                let jobs = answers.into_iter().next().map(list).transpose()?.unwrap_or_default();
                jobs.into_iter().map(word).collect::<Result<_, _>>()?
            }
        };
        Ok(jobs.iter().flat_map(|job| kinds.iter().map(move |kind| format!("{kind}:{job}"))).collect())
    }

    async fn read_all(
        &self,
        queues: &[String],
        ids: &[(RunId, usize)],
    ) -> Result<HashMap<RunId, Run>, Error> {
        let by_queue = by_queue(queues, ids);
        let found = by_queue.iter().map(|(queue, ids)| self.read_runs("runs", queue, ids));
        let found = try_join_all(found).await?;
        found.into_iter().flatten().map(|found| Ok((found.id, found.shown()?))).collect()
    }

    /// What changes of runs, of those that were claimed or have ended.
    async fn states_of(
        &self,
        queues: &[String],
        ids: &[(RunId, usize)],
    ) -> Result<HashMap<RunId, State>, Error> {
        let by_queue = by_queue(queues, ids);
        let found = by_queue.iter().map(|(queue, ids)| async move {
            let prefix = self.shared.keys.queue(queue);
            let mut states = cmd("HMGET");
            states.arg(format!("{prefix}states"));
            for id in ids {
                states.arg(id.as_uuid().as_bytes());
            }
            let answers = self.shared.server.ask("dead_errors", &prefix, &[states]).await?;
            answers.into_iter().next().map(list).transpose()
        });
        let found = try_join_all(found).await?.into_iter().map(Option::unwrap_or_default);
        let mut states = HashMap::new();
        for ((_, ids), found) in by_queue.iter().zip(found) {
            for (id, state) in ids.iter().zip(found) {
                states.extend(
                    maybe_bytes(state)?
                        .map(|state| Ok::<_, Error>((*id, State::read(&state)?)))
                        .transpose()?,
                );
            }
        }
        Ok(states)
    }
}

/// Ids by their queue, as far as it has some.
fn by_queue<'a>(queues: &'a [String], ids: &[(RunId, usize)]) -> Vec<(&'a str, Vec<RunId>)> {
    let of = |number| ids.iter().filter(move |(_, of)| *of == number).map(|(id, _)| *id).collect();
    let by_queue = queues.iter().enumerate().map(|(number, queue)| (queue.as_str(), of(number)));
    by_queue.filter(|(_, ids): &(_, Vec<_>)| !ids.is_empty()).collect()
}

/// Where the requested ids are: all over lists, or in those of an index behind a text.
pub(crate) struct Place<'a> {
    pub(crate) lists: Lists,
    text: Option<&'a str>,
}

pub(crate) enum Lists {
    One(&'static str),
    /// What comes before the job.
    OfEachJob(Vec<&'static str>),
}

impl<'a> Place<'a> {
    pub(crate) fn of(filter: &'a RunFilter) -> Self {
        if let Some(reference) = &filter.reference {
            return Self { lists: Lists::One("references"), text: Some(reference) };
        }
        if let Some(key) = &filter.unique_key {
            return Self { lists: Lists::One("keys"), text: Some(key) };
        }
        let is_dead = |state: &RunState| *state == RunState::Dead;
        let are_dead_letters = !filter.states.is_empty() && filter.states.iter().all(is_dead);
        let (text, kinds) = match &filter.error_fingerprint {
            Some(fingerprint) if are_dead_letters => (Some(fingerprint.as_str()), vec!["dead-errors"]),
            // Of what has no error, only dead letters are indexed.
            Some(fingerprint) if !fingerprint.is_empty() => {
                let has_dead = filter.states.is_empty() || filter.states.iter().any(is_dead);
                let kinds = if has_dead { vec!["errors", "dead-errors"] } else { vec!["errors"] };
                (Some(fingerprint.as_str()), kinds)
            }
            _ => (None, kinds(&filter.states)),
        };
        Self { lists: Lists::OfEachJob(kinds), text }
    }

    /// The upper bound as ZREVRANGEBYLEX takes it: below an id, or of all.
    pub(crate) fn above(&self, before: Option<RunId>) -> Vec<u8> {
        match (self.text, before) {
            (_, Some(id)) => self.bound(id),
            (Some(text), None) => [b"(", text.as_bytes(), &[1]].concat(),
            (None, None) => b"+".to_vec(),
        }
    }

    /// The lower bound: above an id, or of all.
    pub(crate) fn below(&self, after: Option<RunId>) -> Vec<u8> {
        match (self.text, after) {
            (_, Some(id)) => self.bound(id),
            (Some(text), None) => [b"[", text.as_bytes(), &[0]].concat(),
            (None, None) => b"-".to_vec(),
        }
    }

    fn bound(&self, id: RunId) -> Vec<u8> {
        let (id, text) = (id.as_uuid().into_bytes(), self.text.map(str::as_bytes));
        text.map_or_else(|| [b"(", id.as_slice()].concat(), |text| [b"(", text, &[0], &id].concat())
    }

    /// Whether each run in the lists is asked for, as far as states and job say.
    pub(crate) fn is_exact(&self, filter: &RunFilter) -> bool {
        let is_of_time = filter.enqueued_from.is_some() || filter.enqueued_before.is_some();
        let Lists::OfEachJob(kinds) = &self.lists else { return false };
        let is_of_states = match (&filter.error_fingerprint, self.text) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(_)) => filter.states.is_empty() || kinds.as_slice() == ["dead-errors"],
        };
        is_of_states && !is_of_time
    }
}

/// The kinds of lists in which runs of these states stand.
fn kinds(states: &[RunState]) -> Vec<&'static str> {
    if states.is_empty() {
        return vec!["open", "succeeded", "cancelled", "dead", "replayed"];
    }
    let has = |state| states.contains(&state);
    let mut kinds = Vec::new();
    if has(RunState::Pending) {
        kinds.push("open");
    } else if has(RunState::Running) {
        kinds.extend(["held", "expired"]);
    }
    let ended =
        [(RunState::Succeeded, "succeeded"), (RunState::Cancelled, "cancelled"), (RunState::Dead, "dead")];
    kinds.extend(ended.into_iter().filter(|(state, _)| has(*state)).map(|(_, kind)| kind));
    kinds
}

fn is_listed(run: &Run, filter: &RunFilter) -> bool {
    let is = |asked: &Option<String>, found: Option<&str>| asked.is_none() || asked.as_deref() == found;
    let fingerprint = run.error_fingerprint.as_deref().unwrap_or_default();
    // A dead run that was replayed is no longer among the dead letters.
    let was_replayed = run.state == RunState::Dead && run.replayed_by.is_some();
    (filter.states.is_empty() || filter.states.contains(&run.state) && !was_replayed)
        && is(&filter.job, Some(&run.job))
        && is(&filter.queue, Some(&run.queue))
        && is(&filter.reference, run.reference.as_deref())
        && is(&filter.unique_key, run.unique_key.as_deref())
        && is(&filter.error_fingerprint, Some(fingerprint))
        && filter.enqueued_from.is_none_or(|from| from <= run.enqueued_at)
        && filter.enqueued_before.is_none_or(|before| run.enqueued_at < before)
}

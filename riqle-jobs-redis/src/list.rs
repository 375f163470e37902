//! Pages of runs. Each part of a page is read from one range of one list of ids, newest first, and ends at its limit.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use redis::cmd;
use riqle_jobs_core::{Error, Run, RunFilter, RunId, RunState};

use crate::{
    Redis,
    script::RUNS,
    values::{list, run_id, word},
};

/// At least so many runs are looked at at once.
const PORTION: usize = 100;

impl Redis {
    /// A page of runs, newest id first.
    pub(crate) async fn list_runs(&self, filter: &RunFilter) -> Result<Vec<Run>, Error> {
        let queues = match &filter.queue {
            Some(queue) => vec![queue.clone()],
            None => self.known_queues("runs").await?,
        };
        let (page, portion) = (filter.page_size(), filter.page_size().max(PORTION));
        let mut listed = Vec::new();
        let mut before = filter.before;
        loop {
            let lists =
                queues.iter().map(|queue| async { self.newest(queue, filter, before, portion).await });
            let mut ids: Vec<(RunId, usize)> = Vec::new();
            for (queue, newest) in try_join_all(lists).await?.into_iter().enumerate() {
                ids.extend(newest.into_iter().map(|id| (id, queue)));
            }
            ids.retain(|(id, _)| before.is_none_or(|before| *id < before));
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.dedup();
            ids.truncate(portion);
            let mut runs = self.read_all(&queues, &ids).await?;
            for (id, _) in &ids {
                let run = runs.remove(id).filter(|run| is_listed(run, filter));
                listed.extend(run);
                if listed.len() == page {
                    return Ok(listed);
                }
            }
            match ids.last() {
                Some((last, _)) if ids.len() == portion => before = Some(*last),
                _ => return Ok(listed),
            }
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
        let indexed = [
            ("references", &filter.reference),
            ("keys", &filter.unique_key),
            ("errors", &filter.error_fingerprint),
        ];
        let id = before.map(|id| id.as_uuid().into_bytes());
        let id = id.as_ref().map_or(&[][..], |id| id.as_slice());
        let indexed = indexed.into_iter().find_map(|(index, text)| Some((index, text.as_ref()?)));
        let (above, below, lists) = match indexed {
            Some((index, text)) => {
                let end: &[u8] = if before.is_some() { &[0] } else { &[1] };
                let above = [b"(", text.as_bytes(), end, id].concat();
                (above, [b"[", text.as_bytes(), &[0]].concat(), vec![index.to_owned()])
            }
            None => {
                let above = if before.is_some() { [b"(", id].concat() } else { b"+".to_vec() };
                (above, b"-".to_vec(), self.lists(queue, filter).await?)
            }
        };
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec![above, below, portion.to_string().into_bytes()];
        arguments.extend(lists.into_iter().map(String::into_bytes));
        list(self.call("runs", &RUNS, queue, arguments).await?)?.into_iter().map(run_id).collect()
    }

    /// The lists of the filter's states and jobs.
    async fn lists(&self, queue: &str, filter: &RunFilter) -> Result<Vec<String>, Error> {
        let jobs = match &filter.job {
            Some(job) => vec![job.clone()],
            None => {
                let prefix = self.shared.keys.queue(queue);
                let members = cmd("SMEMBERS").arg(format!("{prefix}jobs")).take();
                let answers = self.shared.server.ask("runs", &prefix, &[members]).await?;
                let jobs = answers.into_iter().next().map(list).transpose()?.unwrap_or_default();
                jobs.into_iter().map(word).collect::<Result<_, _>>()?
            }
        };
        let kinds = kinds(&filter.states);
        Ok(jobs.iter().flat_map(|job| kinds.iter().map(move |kind| format!("{kind}:{job}"))).collect())
    }

    async fn read_all(
        &self,
        queues: &[String],
        ids: &[(RunId, usize)],
    ) -> Result<HashMap<RunId, Run>, Error> {
        let by_queue = queues.iter().enumerate().map(|(number, queue)| async move {
            let ids: Vec<RunId> = ids.iter().filter(|(_, of)| *of == number).map(|(id, _)| *id).collect();
            if ids.is_empty() { Ok(Vec::new()) } else { self.read_runs("runs", queue, &ids).await }
        });
        let found = try_join_all(by_queue).await?;
        found.into_iter().flatten().map(|found| Ok((found.id, found.shown()?))).collect()
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
    // A dead run that was replayed is no longer among the dead letters.
    let was_replayed = run.state == RunState::Dead && run.replayed_by.is_some();
    (filter.states.is_empty() || filter.states.contains(&run.state) && !was_replayed)
        && is(&filter.job, Some(&run.job))
        && is(&filter.queue, Some(&run.queue))
        && is(&filter.reference, run.reference.as_deref())
        && is(&filter.unique_key, run.unique_key.as_deref())
        && is(&filter.error_fingerprint, run.error_fingerprint.as_deref())
        && filter.enqueued_from.is_none_or(|from| from <= run.enqueued_at)
        && filter.enqueued_before.is_none_or(|before| run.enqueued_at < before)
}

//! Stores groups of runs, of each all or none, with their unique keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use redis::Value;
use riqle_jobs_core::{
    Enqueued, Error, ErrorKind, Hint, NewRun,
    store::{Admission, GroupCommit, Stored},
};

use crate::{
    Redis,
    change::Change,
    frame::Frame,
    rows::{due, new_body, wait_millis},
    script::ENQUEUE,
    server::NOTHING_YET,
    values::{list, number, run_id, unexpected},
};

/// What waits of each queue: one whose server is unavailable holds up no other.
#[derive(Default)]
pub(crate) struct Groups(Mutex<HashMap<String, GroupCommit>>);

impl Groups {
    fn of(&self, queue: &str) -> GroupCommit {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match groups.get(queue) {
            Some(group) => group.clone(),
            None => groups.entry(queue.to_owned()).or_default().clone(),
        }
    }
}

/// A server takes no larger command as a rule.
const GROUP_BYTES: usize = 256 << 20;

impl Redis {
    /// Stores a group, together with those of other callers.
    pub(crate) async fn enqueue_group(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let bytes: usize = runs.iter().map(|run| run.input.bytes.len()).sum();
        if bytes > GROUP_BYTES {
            let message =
                format!("the inputs of a group have at most {GROUP_BYTES} bytes; these have {bytes}");
            return Err(Error::new(ErrorKind::Rejected, "enqueue", message));
        }
        let queue = runs.first().map_or_else(String::new, |run| run.queue.clone());
        let groups = self.shared.groups.of(&queue);
        let store = self.clone();
        let write = move |groups: Arc<Vec<Vec<NewRun>>>| {
            let (store, queue) = (store.clone(), queue.clone());
            async move { store.store_groups(&queue, &groups).await }
        };
        groups.enqueue(runs, write).await
    }

    async fn store_groups(&self, queue: &str, groups: &[Vec<NewRun>]) -> Stored {
        let mut arguments = arguments(self.frozen(), groups);
        let mut answer = self.call_durably("enqueue", &ENQUEUE, queue, arguments.clone()).await?;
        if answer == Value::BulkString(NOTHING_YET.to_vec()) {
            // Before its first run, so that this one is not overlooked.
            self.enter_queues([queue]).await?;
            arguments[1] = b"1".to_vec();
            answer = self.call_durably("enqueue", &ENQUEUE, queue, arguments).await?;
        }
        let stored: Vec<_> = list(answer)?
            .into_iter()
            .zip(groups)
            .map(|(answer, group)| group_answer(answer, group))
            .collect::<Result<_, Error>>()?;
        let is_new = |answer: &Result<Vec<Enqueued>, Error>| {
            answer.as_ref().is_ok_and(|answers| answers.iter().any(|answer| answer.is_new()))
        };
        if stored.iter().any(is_new) {
            self.shared.wake.send(Hint::Due(Some(queue.to_owned())));
        }
        Ok(stored)
    }

    /// Makes queues known to readers of all queues.
    pub(crate) async fn enter_queues<'a>(
        &self,
        queues: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Error> {
        let change = queues.into_iter().fold(Change::default(), |change, queue| change.sadd("queues", queue));
        self.change("enqueue", &self.shared.keys.registry(), change).await.map(drop)
    }
}

pub(crate) fn arguments(frozen: Vec<u8>, groups: &[Vec<NewRun>]) -> Vec<Vec<u8>> {
    let mut lanes: Vec<(&str, u8)> = Vec::new();
    let mut runs = Vec::with_capacity(groups.iter().map(|group| 1 + 2 * group.len()).sum());
    for group in groups {
        runs.push(group.len().to_string().into_bytes());
        for run in group {
            let lane = (run.job.as_str(), run.priority.number());
            let number = lanes.iter().position(|known| *known == lane).unwrap_or_else(|| {
                lanes.push(lane);
                lanes.len() - 1
            });
            let (kind, millis) = due(run.due);
            let kept = run.event_id_kept.filter(|_| run.event_id.is_some());
            let mut head = Frame(Vec::with_capacity(35));
            head.uuid(run.id.as_uuid());
            head.raw(&u16::try_from(number + 1).unwrap_or(u16::MAX).to_le_bytes());
            head.byte(kind).long(millis).long(kept.map_or(-1, wait_millis));
            runs.push(head.0);
            runs.push(new_body(run));
        }
    }
    let mut arguments = vec![frozen, b"0".to_vec(), lanes.len().to_string().into_bytes()];
    for (job, priority) in lanes {
        arguments.extend([job.as_bytes().to_vec(), priority.to_string().into_bytes()]);
    }
    arguments.append(&mut runs);
    arguments
}

pub(crate) fn group_answer(answer: Value, group: &[NewRun]) -> Result<Result<Vec<Enqueued>, Error>, Error> {
    let mut answers = list(answer)?;
    if let [Value::Int(_), _] = answers.as_slice() {
        let (holder, index) = (answers.pop(), answers.pop());
        let (Some(holder), Some(index)) = (holder, index) else { return Err(unexpected()) };
        let index = usize::try_from(number(index)?).unwrap_or(usize::MAX);
        let run = group.get(index).ok_or_else(unexpected)?;
        let unique = run.unique.as_ref().ok_or_else(unexpected)?;
        return Ok(Err(Admission::conflict(run, unique, run_id(holder)?).at_index(index)));
    }
    if answers.len() != group.len() {
        return Err(unexpected());
    }
    let of_run = |(answer, run): (Value, &NewRun)| match answer {
        Value::BulkString(text) if text == b"n" => Ok(Enqueued::New(run.id)),
        Value::BulkString(text) if text.len() > 16 => {
            run_id(Value::BulkString(text[1..].to_vec())).map(Enqueued::Joined)
        }
        id => run_id(id).map(Enqueued::Existing),
    };
    Ok(Ok(answers.into_iter().zip(group).map(of_run).collect::<Result<_, Error>>()?))
}

use std::{cmp::Reverse, time::Duration};

use async_trait::async_trait;
use redis::{Value, cmd};
use riqle_jobs_core::{
    Error, Queue, Registry, WorkerId,
    events::EVENT_ID_KEPT,
    from_millis,
    store::{
        JobDeclaration, MinuteMetrics, NewEvent, RegisteredJob, RegisteredWorker, StoredEvent, WorkerReport,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Redis,
    change::{Change, TRIES, outrun},
    frame::{Frame, Reader, corrupt},
    rows::wait_millis,
    script::STORE_EVENTS,
    server::Repeat,
    values::{bytes, list, maybe_bytes, unexpected, word},
};

/// How many events are deleted at once.
const PORTION: usize = 200;

#[async_trait]
impl Registry for Redis {
    async fn register_jobs(&self, jobs: Vec<JobDeclaration>) -> Result<(), Error> {
        if jobs.is_empty() {
            return Ok(());
        }
        let now = Queue::now(self).await?.as_millisecond();
        self.enter_queues(jobs.iter().map(|job| job.queue.as_str())).await?;
        let mut set = cmd("HSET");
        set.arg(self.shared.keys.of_registry("jobs"));
        for job in &jobs {
            set.arg(&job.name).arg(stamped(&[now], job)?);
        }
        self.of_registry("register_jobs", &[set]).await.map(drop)
    }

    async fn jobs(&self) -> Result<Vec<RegisteredJob>, Error> {
        let all = cmd("HVALS").arg(self.shared.keys.of_registry("jobs")).take();
        let mut jobs = Vec::new();
        for value in list(self.of_registry("jobs", &[all]).await?.remove(0))? {
            let ([seen_at], declaration) = read_stamped(&bytes(value)?)?;
            jobs.push(RegisteredJob { declaration, seen_at: from_millis(seen_at) });
        }
        jobs.sort_by(|a: &RegisteredJob, b| a.declaration.name.cmp(&b.declaration.name));
        Ok(jobs)
    }

    async fn report_worker(&self, worker: WorkerReport) -> Result<(), Error> {
        let now = Queue::now(self).await?.as_millisecond();
        let (key, id) = (self.shared.keys.of_registry("workers"), worker.id.as_uuid().into_bytes());
        // Only the worker itself writes it.
        let known = cmd("HGET").arg(&key).arg(&id).take();
        let known = maybe_bytes(self.of_registry("report_worker", &[known]).await?.remove(0))?;
        let started_at = match known {
            Some(known) => Reader(&known).long()?,
            None => now,
        };
        let set = cmd("HSET").arg(&key).arg(&id).arg(stamped(&[started_at, now], &worker)?).take();
        self.of_registry("report_worker", &[set]).await.map(drop)
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        let key = self.shared.keys.of_registry("workers");
        let remove = cmd("HDEL").arg(key).arg(worker.as_uuid().as_bytes()).take();
        self.of_registry("remove_worker", &[remove]).await.map(drop)
    }

    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        let all = cmd("HVALS").arg(self.shared.keys.of_registry("workers")).take();
        let mut workers = Vec::new();
        for value in list(self.of_registry("workers", &[all]).await?.remove(0))? {
            let ([started_at, seen_at], report) = read_stamped::<2, WorkerReport>(&bytes(value)?)?;
            let (started_at, seen_at) = (from_millis(started_at), from_millis(seen_at));
            workers.push(RegisteredWorker { report, started_at, seen_at });
        }
        workers.sort_by_key(|worker| (Reverse(worker.seen_at), worker.report.id));
        Ok(workers)
    }

    async fn report_metrics(&self, worker: WorkerId, minutes: Vec<MinuteMetrics>) -> Result<(), Error> {
        self.write_metrics(worker, &minutes).await
    }

    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec![self.frozen(), wait_millis(EVENT_ID_KEPT).to_string().into_bytes()];
        for event in &events {
            arguments.extend([event.id.as_bytes().to_vec(), event.name.as_bytes().to_vec()]);
            let mut kept = Frame::default();
            let due_at = event.due_at.map(|time| time.as_millisecond());
            kept.maybe(due_at, |frame, time| frame.long(time)).payload(&event.data);
            arguments.push(kept.0);
        }
        let registry = self.shared.keys.registry();
        let stored =
            self.durably().call("store_events", &STORE_EVENTS, &registry, &arguments, Repeat::Safe).await?;
        let stored = list(stored)?;
        if stored.len() != events.len() {
            return Err(unexpected());
        }
        stored
            .into_iter()
            .zip(events)
            .map(|(stored, event)| Ok(Kept::read(&bytes(stored)?)?.event(event.id)))
            .collect()
    }

    async fn mark_started(&self, event_id: &str, runs: u32) -> Result<(), Error> {
        let key = self.shared.keys.of_registry("events");
        for _ in 0..TRIES {
            let get = cmd("HGET").arg(&key).arg(event_id).take();
            let stored = maybe_bytes(self.of_registry("mark_started", &[get]).await?.remove(0))?;
            let Some(stored) = stored else { return Ok(()) };
            let mut kept = Kept::read(&stored)?;
            kept.started = runs;
            let change = Change::default().expect("events", event_id, Some(&stored));
            let (idle, member) = (kept.idle(), kept.member(event_id));
            let change = if runs == 0 { change.zadd(&idle, 0, member) } else { change.zrem(&idle, member) };
            let change = change.hset("events", event_id, kept.write());
            if self.change("mark_started", &self.shared.keys.registry(), change).await? {
                return Ok(());
            }
        }
        Err(outrun("mark_started"))
    }

    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        if names.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let idle = |name: &String| {
            let key = self.shared.keys.of_registry(&format!("events:idle:{name}"));
            cmd("ZRANGE").arg(key).arg(0).arg(limit - 1).take()
        };
        let lists: Vec<_> = names.iter().map(idle).collect();
        let mut members = Vec::new();
        for found in self.of_registry("idle_events", &lists).await? {
            for member in list(found)? {
                members.push(bytes(member)?);
            }
        }
        members.sort_unstable();
        members.dedup();
        members.truncate(limit);
        let ids: Vec<&[u8]> = members.iter().filter_map(|member| member.get(8..)).collect();
        let mut events = Vec::new();
        for (id, kept) in ids.iter().zip(self.events("idle_events", &ids).await?) {
            let Some(kept) = kept else { continue };
            events.push(Kept::read(&kept)?.event(crate::frame::text(id)?));
        }
        events.retain(|event| event.started == 0);
        Ok(events)
    }
}

impl Redis {
    pub(crate) async fn of_registry(
        &self,
        operation: &'static str,
        commands: &[redis::Cmd],
    ) -> Result<Vec<Value>, Error> {
        let answers = self.shared.server.ask(operation, &self.shared.keys.registry(), commands).await?;
        if answers.len() == commands.len() { Ok(answers) } else { Err(unexpected()) }
    }

    async fn events(&self, operation: &'static str, ids: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let get = cmd("HMGET").arg(self.shared.keys.of_registry("events")).arg(ids).take();
        list(self.of_registry(operation, &[get]).await?.remove(0))?.into_iter().map(maybe_bytes).collect()
    }

    /// Deletes events that came long enough ago; answers how many.
    pub(crate) async fn prune_events(&self, kept: Option<Duration>) -> Result<u64, Error> {
        let Some(kept) = kept else { return Ok(0) };
        let now = Queue::now(self).await?.as_millisecond();
        let before = now.saturating_sub(wait_millis(kept.max(EVENT_ID_KEPT)));
        let mut pruned = 0;
        loop {
            let old = cmd("ZRANGEBYSCORE")
                .arg(self.shared.keys.of_registry("events:received"))
                .arg("-inf")
                .arg(format!("({before}"))
                .arg("LIMIT")
                .arg(0)
                .arg(PORTION)
                .take();
            let old = list(self.of_registry("prune", &[old]).await?.remove(0))?;
            let ids = old.into_iter().map(word).collect::<Result<Vec<_>, _>>()?;
            let fields: Vec<&[u8]> = ids.iter().map(String::as_bytes).collect();
            let mut change = Change::default();
            for (id, stored) in ids.iter().zip(self.events("prune", &fields).await?) {
                change = change.expect("events", id, stored.as_deref()).zrem("events:received", id);
                if let Some(stored) = stored {
                    let kept = Kept::read(&stored)?;
                    change = change.zrem(&kept.idle(), kept.member(id)).hdel("events", id);
                }
            }
            // What has changed meanwhile goes with the next prune.
            if ids.is_empty() || !self.change("prune", &self.shared.keys.registry(), change).await? {
                return Ok(pruned);
            }
            pruned += ids.len() as u64;
        }
    }
}

/// An event as it is kept under its id.
struct Kept {
    received_at: i64,
    started: u32,
    number: i64,
    name: String,
    /// Due time and data.
    rest: Vec<u8>,
    event: (Option<i64>, riqle_jobs_core::Payload),
}

impl Kept {
    fn read(stored: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(stored);
        let (received_at, started, number) = (reader.long()?, reader.number()?, reader.long()?);
        let name = reader.key()?;
        let rest = reader.0.to_vec();
        let event = (reader.maybe(Reader::long)?, reader.payload()?);
        Ok(Self { received_at, started, number, name, rest, event })
    }

    fn write(&self) -> Vec<u8> {
        let mut frame = Frame::default();
        frame.long(self.received_at).number(self.started).long(self.number).key(&self.name).raw(&self.rest);
        frame.0
    }

    /// The list that it stands in while it has started nothing.
    fn idle(&self) -> String {
        format!("events:idle:{}", self.name)
    }

    fn member(&self, id: &str) -> Vec<u8> {
        [self.number.to_be_bytes().as_slice(), id.as_bytes()].concat()
    }

    fn event(self, id: String) -> StoredEvent {
        let (due_at, data) = self.event;
        StoredEvent {
            event: NewEvent { id, name: self.name, data, due_at: due_at.map(from_millis) },
            received_at: from_millis(self.received_at),
            started: self.started,
        }
    }
}

/// Times in milliseconds, and then a value as JSON.
pub(crate) fn stamped(times: &[i64], value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut frame = Frame::default();
    for time in times {
        frame.long(*time);
    }
    serde_json::to_writer(&mut frame.0, value)
        .map_err(|cause| corrupt("a value has no JSON form").caused_by(cause))?;
    Ok(frame.0)
}

pub(crate) fn read_stamped<const N: usize, T: DeserializeOwned>(
    bytes: &[u8],
) -> Result<([i64; N], T), Error> {
    let mut reader = Reader(bytes);
    let mut times = [0; N];
    for time in &mut times {
        *time = reader.long()?;
    }
    let value = serde_json::from_slice(reader.rest());
    Ok((times, value.map_err(|cause| corrupt("a value is not as it was written").caused_by(cause))?))
}

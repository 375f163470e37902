//! Registers jobs and workers, and takes their metrics and events (`Registry`).

use async_trait::async_trait;
use redis::{Value, cmd};
use riqle_jobs_core::{
    Error, Queue, Registry, WorkerId, from_millis,
    store::{
        EventRun, EventStart, JobDeclaration, JobMetrics, NewEvent, RegisteredJob, RegisteredWorker,
        StoredEvent, WorkerOrder, WorkerReport,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Redis,
    frame::{Frame, Reader, corrupt},
    values::{bytes, list, unexpected},
};

#[async_trait]
impl Registry for Redis {
    async fn register_jobs(&self, jobs: Vec<JobDeclaration>) -> Result<(), Error> {
        if jobs.is_empty() {
            return Ok(());
        }
        let now = self.now().await?.as_millisecond();
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

    async fn report_worker(&self, worker: WorkerReport) -> Result<WorkerOrder, Error> {
        self.write_report(worker).await
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        let id = worker.as_uuid().into_bytes();
        let remove = |hash: &str| cmd("HDEL").arg(self.shared.keys.of_registry(hash)).arg(&id).take();
        self.of_registry("remove_worker", &[remove("workers"), remove("workers:orders")]).await.map(drop)
    }

    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        self.list_workers().await
    }

    async fn report_metrics(&self, worker: WorkerId, metrics: Vec<JobMetrics>) -> Result<(), Error> {
        self.write_metrics(worker, &metrics).await
    }

    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        self.keep_events("store_events", events).await
    }

    async fn start_events(&self, events: Vec<EventStart>) -> Result<Vec<StoredEvent>, Error> {
        self.start_stored_events(events).await
    }

    async fn mark_started(&self, event_id: &str, runs: Vec<EventRun>) -> Result<(), Error> {
        self.mark_events("mark_started", &[(event_id, runs.as_slice())]).await
    }

    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.list_idle_events(names, limit).await
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
}

/// Times in milliseconds, and then a value as JSON.
pub(crate) fn stamped(times: &[i64], value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut frame = Frame::default();
    for time in times {
        frame.long(*time);
    }
    serde_json::to_writer(&mut frame.0, value)
        .map_err(|cause| corrupt("a value can't be written as JSON").caused_by(cause))?;
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
    Ok((times, value.map_err(|cause| corrupt("a stored value can't be read").caused_by(cause))?))
}

//! What is read of runs, queues and counts, for people and dashboards (`Inspect`).

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::{Value, cmd};
use riqle_jobs_core::{
    Error, Inspect, Run, RunFilter, RunId, RunState, SavedStep, from_millis,
    store::{
        DeadError, DeadGroup, EventFilter, Health, JobCount, JobMetrics, ListedEvent, MetricsFilter, Pause,
        Problem, QueueStatus, RunNotes,
    },
};

use crate::{
    Redis,
    claim::saved_steps,
    frame::Reader,
    notes::notes,
    rows::{Body, State, shown},
    script::{QUEUES, RUN},
    values::{bytes, count, fixed, groups, list, maybe_bytes, maybe_number, number, run_id, word},
};

#[async_trait]
impl Inspect for Redis {
    async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.find("run", id).await?.map(|found| found.shown()).transpose()
    }

    async fn steps(&self, id: RunId) -> Result<Vec<SavedStep>, Error> {
        let Some(found) = self.find("steps", id).await? else { return Ok(Vec::new()) };
        saved_steps(self.stored_steps(&found).await?)
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, Error> {
        self.list_runs(&filter).await
    }

    async fn count_runs(&self, filter: RunFilter, most: u64) -> Result<u64, Error> {
        self.count_listed(&filter, most).await
    }

    async fn dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error> {
        self.list_dead_groups(limit).await
    }

    async fn dead_errors(&self, filter: RunFilter) -> Result<Vec<DeadError>, Error> {
        self.list_dead_errors(filter).await
    }

    async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        let mut counts: BTreeMap<(String, RunState), u64> = BTreeMap::new();
        for job in self.standing("counts").await?.into_iter().flat_map(|queue| queue.jobs) {
            for (state, runs) in job.counts() {
                *counts.entry((job.name.clone(), state)).or_default() += runs;
            }
        }
        let counts = counts.into_iter().filter(|(_, runs)| *runs > 0);
        Ok(counts.map(|((job, state), runs)| JobCount { job, state, runs }).collect())
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        let mut queues: Vec<_> =
            self.standing("queues").await?.into_iter().filter_map(Standing::status).collect();
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(queues)
    }

    async fn health(&self) -> Result<Health, Error> {
        self.look_after_health().await
    }

    async fn examine(&self) -> Result<Vec<Problem>, Error> {
        self.look_into().await
    }

    async fn notes(&self, id: RunId) -> Result<RunNotes, Error> {
        let Some(found) = self.find("notes", id).await? else { return Ok(RunNotes::default()) };
        let prefix = self.shared.keys.queue(&found.queue);
        let key = |kind: &str| [prefix.as_bytes(), kind.as_bytes(), id.as_uuid().as_bytes()].concat();
        let progress = cmd("HGET").arg(key("notes:")).arg("progress").take();
        let lines = cmd("LRANGE").arg(key("lines:")).arg(0).arg(-1).take();
        let answers = self.shared.server.ask("notes", &prefix, &[progress, lines]).await?;
        let [progress, lines] = fixed(Value::Array(answers))?;
        let lines = list(lines)?.into_iter().map(bytes).collect::<Result<_, _>>()?;
        notes(maybe_bytes(progress)?, lines)
    }

    async fn events(&self, filter: EventFilter) -> Result<Vec<ListedEvent>, Error> {
        self.page_of_events(&filter).await
    }

    async fn metrics(&self, filter: MetricsFilter) -> Result<Vec<JobMetrics>, Error> {
        self.read_metrics(&filter).await
    }
}

/// A run as it was read, with its stored forms.
pub(crate) struct Found {
    pub(crate) id: RunId,
    pub(crate) queue: String,
    pub(crate) body: Body,
    pub(crate) body_bytes: Vec<u8>,
    pub(crate) state_bytes: Option<Vec<u8>>,
    pub(crate) state: State,
    /// When it is due or its lease runs out, in milliseconds, if it has not ended.
    time: Option<i64>,
    /// The store's time, in milliseconds.
    pub(crate) now: i64,
}

impl Found {
    pub(crate) fn shown(&self) -> Result<Run, Error> {
        shown(self.id, &self.queue, self.body.clone(), &self.state, self.time)
    }
}

impl Redis {
    /// Every queue that may hold runs.
    pub(crate) async fn known_queues(&self, operation: &'static str) -> Result<Vec<String>, Error> {
        let members = cmd("SMEMBERS").arg(self.shared.keys.of_registry("queues")).take();
        let registry = self.shared.keys.registry();
        let answers = self.shared.server.ask(operation, &registry, &[members]).await?;
        let mut queues = Vec::new();
        for queue in answers {
            for queue in list(queue)? {
                queues.push(word(queue)?);
            }
        }
        Ok(queues)
    }

    /// A run, in whichever queue it stands.
    pub(crate) async fn find(&self, operation: &'static str, id: RunId) -> Result<Option<Found>, Error> {
        let queues = self.known_queues(operation).await?;
        let ids = [id];
        let found = try_join_all(queues.iter().map(|queue| self.read_runs(operation, queue, &ids))).await?;
        Ok(found.into_iter().flatten().next())
    }

    /// Runs of one queue, as far as they are there.
    pub(crate) async fn read_runs(
        &self,
        operation: &'static str,
        queue: &str,
        ids: &[RunId],
    ) -> Result<Vec<Found>, Error> {
        let arguments = ids.iter().map(|id| id.as_uuid().as_bytes().to_vec()).collect();
        let [now, runs] = fixed(self.call(operation, &RUN, queue, arguments).await?)?;
        let now = match self.shared.clock.manual() {
            Some(clock) => clock.now().as_millisecond(),
            None => number(now)?,
        };
        let mut found = Vec::new();
        for [id, body, state, time] in groups(runs)? {
            let (body_bytes, state_bytes, time) = (bytes(body)?, maybe_bytes(state)?, maybe_number(time)?);
            let body = Body::read(&body_bytes)?;
            let state = match &state_bytes {
                Some(state) => State::read(state)?,
                None => State::fresh(&body, time.unwrap_or(now)),
            };
            let (id, queue) = (run_id(id)?, queue.to_owned());
            found.push(Found { id, queue, body, body_bytes, state_bytes, state, time, now });
        }
        Ok(found)
    }

    /// The hash of a run's steps.
    pub(crate) async fn stored_steps(&self, found: &Found) -> Result<Value, Error> {
        let prefix = self.shared.keys.queue(&found.queue);
        let key = [prefix.as_bytes(), b"steps:", found.id.as_uuid().as_bytes()].concat();
        let answers = self.shared.server.ask("steps", &prefix, &[cmd("HGETALL").arg(key).take()]).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// How every queue stands.
    pub(crate) async fn standing(&self, operation: &'static str) -> Result<Vec<Standing>, Error> {
        let queues = self.known_queues(operation).await?;
        try_join_all(queues.into_iter().map(|queue| async move {
            let answer = self.call(operation, &QUEUES, &queue, vec![self.frozen()]).await?;
            Standing::read(queue, answer)
        }))
        .await
    }
}

/// The status of a queue.
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) now: i64,
    pub(crate) pause: Option<Pause>,
    pub(crate) jobs: Vec<JobStanding>,
}

/// What a queue holds of a job.
pub(crate) struct JobStanding {
    pub(crate) name: String,
    open: u64,
    running: u64,
    /// Running ones whose lease has run out.
    pub(crate) expired: u64,
    due: u64,
    /// When the first of the pending ones that are due was due.
    pub(crate) first_due: Option<i64>,
    succeeded: u64,
    cancelled: u64,
    dead: u64,
}

impl Standing {
    pub(crate) fn read(name: String, answer: Value) -> Result<Self, Error> {
        let [now, pause, jobs] = fixed(answer)?;
        Ok(Self {
            name,
            now: number(now)?,
            pause: maybe_bytes(pause)?.map(|pause| read_pause(&pause)).transpose()?,
            jobs: list(jobs)?.into_iter().map(JobStanding::read).collect::<Result<_, _>>()?,
        })
    }

    /// `None` if it is not paused and nothing of it is open.
    fn status(self) -> Option<QueueStatus> {
        let sum = |of: fn(&JobStanding) -> u64| self.jobs.iter().map(of).sum::<u64>();
        if self.pause.is_none() && sum(|job| job.open) == 0 {
            return None;
        }
        Some(QueueStatus {
            due: sum(|job| job.due),
            scheduled: sum(|job| job.open.saturating_sub(job.running + job.due)),
            running: sum(|job| job.running),
            waiting: 0,
            oldest_due: self.jobs.iter().filter_map(|job| job.first_due).min().map(from_millis),
            name: self.name,
            pause: self.pause,
        })
    }
}

impl JobStanding {
    fn read(answer: Value) -> Result<Self, Error> {
        let [name, open, running, expired, due, first_due, succeeded, cancelled, dead] = fixed(answer)?;
        Ok(Self {
            name: word(name)?,
            open: count(open)?,
            running: count(running)?,
            expired: count(expired)?,
            due: count(due)?,
            first_due: maybe_number(first_due)?,
            succeeded: count(succeeded)?,
            cancelled: count(cancelled)?,
            dead: count(dead)?,
        })
    }

    fn counts(&self) -> [(RunState, u64); 5] {
        [
            (RunState::Pending, self.open.saturating_sub(self.running)),
            (RunState::Running, self.running),
            (RunState::Succeeded, self.succeeded),
            (RunState::Dead, self.dead),
            (RunState::Cancelled, self.cancelled),
        ]
    }
}

fn read_pause(bytes: &[u8]) -> Result<Pause, Error> {
    let mut reader = Reader(bytes);
    Ok(Pause { at: from_millis(reader.long()?), by: reader.text()?, why: reader.text()? })
}

//! Jobs, workers and events, as they are known across processes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::Memory;
use crate::{
    Error, ErrorKind, Hint, Registry, WorkerId, clock,
    events::EVENT_ID_KEPT,
    store::{
        EventFilter, EventRun, EventStart, JobDeclaration, JobMetrics, ListedEvent, NewEvent, RegisteredJob,
        RegisteredWorker, StoredEvent, WORKER_FORGOTTEN_AFTER, WorkerOrder, WorkerReport,
    },
};

/// The jobs, workers and events.
#[derive(Clone, Default)]
pub(super) struct Known {
    jobs: BTreeMap<String, RegisteredJob>,
    workers: BTreeMap<WorkerId, RegisteredWorker>,
    /// By their number, which rises as they come.
    events: BTreeMap<u64, StoredEvent>,
    event_numbers: HashMap<String, u64>,
    next_event: u64,
}

#[async_trait]
impl Registry for Memory {
    async fn register_jobs(&self, jobs: Vec<JobDeclaration>) -> Result<(), Error> {
        let (mut state, seen_at) = self.begin();
        for declaration in jobs {
            state.known.jobs.insert(declaration.name.clone(), RegisteredJob { declaration, seen_at });
        }
        Ok(())
    }

    async fn jobs(&self) -> Result<Vec<RegisteredJob>, Error> {
        Ok(self.state().known.jobs.values().cloned().collect())
    }

    async fn report_worker(&self, report: WorkerReport) -> Result<WorkerOrder, Error> {
        let (mut state, now) = self.begin();
        let known = state.known.workers.get(&report.id);
        let (started_at, order) =
            known.map_or((now, WorkerOrder::Work), |worker| (worker.started_at, worker.order));
        let worker = RegisteredWorker { started_at, seen_at: now, order, report };
        state.known.workers.insert(worker.report.id, worker);
        Ok(order)
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        self.state().known.workers.remove(&worker);
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        let (state, now) = self.begin();
        let listed = state.known.workers.values().filter(|worker| worker.is_listed(now));
        let mut workers: Vec<_> = listed.cloned().collect();
        workers.sort_by_key(|worker| (std::cmp::Reverse(worker.seen_at), worker.report.id));
        Ok(workers)
    }

    async fn report_metrics(&self, worker: WorkerId, metrics: Vec<JobMetrics>) -> Result<(), Error> {
        let known = &mut self.state().metrics;
        metrics.into_iter().for_each(|one| known.report(worker, one));
        Ok(())
    }

    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        let (mut state, now) = self.begin();
        Ok(events.into_iter().map(|event| state.known.store_event(event, now)).collect())
    }

    async fn start_events(&self, events: Vec<EventStart>) -> Result<Vec<StoredEvent>, Error> {
        self.limits.check_event_runs(&events)?;
        let (mut state, now) = self.begin();
        let mut due = BTreeSet::new();
        let mut answers = Vec::with_capacity(events.len());
        for start in events {
            let mut stored = state.known.store_event(start.event.clone(), now);
            let runs = start.runs_for(&stored);
            if !runs.is_empty() {
                let enqueued = state.store(runs.clone(), now)?;
                let new = runs.iter().zip(&enqueued).filter(|(_, answer)| answer.is_new());
                due.extend(new.map(|(run, _)| run.queue.clone()));
                for (run, answer) in runs.iter().zip(enqueued) {
                    EventRun::of(run, answer).file_in(&mut stored.runs);
                }
                state.known.mark_started(&stored.event.id, stored.runs.clone());
            }
            answers.push(stored);
        }
        drop(state);
        due.into_iter().for_each(|queue| self.wake.send(Hint::Due(Some(queue))));
        Ok(answers)
    }

    async fn mark_started(&self, event_id: &str, runs: Vec<EventRun>) -> Result<(), Error> {
        self.state().known.mark_started(event_id, runs);
        Ok(())
    }

    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        let state = self.state();
        let idle = state.known.events.values().filter(|stored| stored.is_idle());
        Ok(idle.filter(|stored| names.contains(&stored.event.name)).take(limit).cloned().collect())
    }
}

#[cfg(test)]
impl Known {
    pub(super) fn event_count(&self) -> usize {
        self.events.len()
    }
}

impl Known {
    /// Returns what is stored under the id.
    fn store_event(&mut self, mut event: NewEvent, now: Timestamp) -> StoredEvent {
        if let Some(number) = self.event_numbers.get(&event.id)
            && let Some(first) = self.events.get(number)
        {
            if clock::later(first.received_at, first.event.id_kept) > now {
                return first.clone();
            }
            self.events.remove(number);
        }
        event.due_at = event.due_at.map(|time| clock::from_millis(time.as_millisecond()));
        event.id_kept = Duration::from_millis(clock::millis_of(event.id_kept).unsigned_abs());
        let stored = StoredEvent { event, received_at: now, runs: Vec::new() };
        let number = self.next_event;
        self.next_event += 1;
        self.event_numbers.insert(stored.event.id.clone(), number);
        self.events.insert(number, stored.clone());
        stored
    }

    /// Newest first.
    pub(super) fn list_events(&self, filter: &EventFilter) -> Vec<ListedEvent> {
        let below = match &filter.before {
            Some(id) => self.event_numbers.get(id).copied().unwrap_or_default(),
            None => u64::MAX,
        };
        let is_listed = |stored: &&StoredEvent| {
            filter.name.as_ref().is_none_or(|name| *name == stored.event.name)
                && filter.id.as_ref().is_none_or(|id| *id == stored.event.id)
        };
        let older = self.events.range(..below).rev().map(|(_, stored)| stored);
        let looked_at = if filter.id.is_some() { usize::MAX } else { filter.looked_at() };
        let listed = older.take(looked_at).filter(is_listed).take(filter.page_size());
        listed
            .map(|StoredEvent { event, received_at, runs }| ListedEvent {
                id: event.id.clone(),
                name: event.name.clone(),
                received_at: *received_at,
                runs: runs.clone(),
            })
            .collect()
    }

    fn mark_started(&mut self, event_id: &str, runs: Vec<EventRun>) {
        if let Some(event) = self.event_numbers.get(event_id).and_then(|number| self.events.get_mut(number)) {
            event.runs = runs;
        }
    }

    pub(super) fn order_worker(&mut self, id: WorkerId, order: WorkerOrder) -> Result<(), Error> {
        let worker = self.workers.get_mut(&id).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "order_worker", format!("no worker {id} is registered"))
        })?;
        worker.order = order;
        Ok(())
    }

    /// Takes workers off the list that have long been silent.
    pub(super) fn forget_workers(&mut self, now: Timestamp) {
        let before = clock::earlier(now, WORKER_FORGOTTEN_AFTER);
        self.workers.retain(|_, worker| worker.seen_at >= before);
    }

    /// Deletes old events; answers how many.
    pub(super) fn prune(&mut self, kept: Option<Duration>, now: Timestamp) -> u64 {
        let Some(kept) = kept else { return 0 };
        let before = clock::earlier(now, kept.max(EVENT_ID_KEPT));
        let count = self.events.len();
        self.events.retain(|_, stored| stored.received_at >= before);
        self.event_numbers.retain(|_, number| self.events.contains_key(number));
        (count - self.events.len()) as u64
    }
}

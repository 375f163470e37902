use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Memory, run::StoredRun};
use crate::{
    Error, Inspect, Registry, Run, RunFilter, RunId, RunState, SavedStep,
    store::{Health, JobCount, MetricsFilter, MinuteMetrics, QueueStatus, RunNotes},
};

#[async_trait]
impl Inspect for Memory {
    async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        Ok(self.state().runs.get(&id).map(|run| run.shown(id)))
    }

    async fn steps(&self, id: RunId) -> Result<Vec<SavedStep>, Error> {
        Ok(self.state().runs.get(&id).map(|run| run.steps.clone()).unwrap_or_default())
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, Error> {
        let before = filter.before.map_or(Unbounded, Excluded);
        let state = self.state();
        let newest_first = state.runs.range((Unbounded, before)).rev();
        Ok(newest_first
            .filter(|(_, run)| run.is_listed_by(&filter))
            .take(filter.page_size())
            .map(|(id, run)| run.shown(*id))
            .collect())
    }

    async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        let state = self.state();
        let mut counts: BTreeMap<(&str, RunState), u64> = BTreeMap::new();
        for run in state.runs.values().filter(|run| run.counts_as(run.state)) {
            *counts.entry((&run.job, run.state)).or_default() += 1;
        }
        let counts = counts.into_iter();
        Ok(counts.map(|((job, state), runs)| JobCount { job: job.to_owned(), state, runs }).collect())
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        let (state, now) = self.begin();
        Ok(state.queues(now))
    }

    async fn health(&self) -> Result<Health, Error> {
        let workers = Registry::workers(self).await?;
        let (state, now) = self.begin();
        let pending = |run: &&StoredRun| {
            run.state == RunState::Pending
                && run.due_at <= now
                && !state.paused.contains_key(run.queue.as_ref())
        };
        let mut due: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for run in state.runs.values().filter(pending) {
            let first = due.entry(&run.job).or_insert(run.due_at);
            *first = run.due_at.min(*first);
        }
        let due = due.into_iter().map(|(job, due_at)| (job.to_owned(), due_at)).collect();
        let leases = state.runs.values().filter_map(|run| run.lease);
        let expired_leases = leases.filter(|lease| lease.until <= now).count() as u64;
        Ok(Health { expired_leases, ..Health::of_due(due, &workers, now) })
    }

    async fn notes(&self, id: RunId) -> Result<RunNotes, Error> {
        Ok(self.state().runs.get(&id).map(|run| run.notes.shown.clone()).unwrap_or_default())
    }

    async fn metrics(&self, filter: MetricsFilter) -> Result<Vec<MinuteMetrics>, Error> {
        Ok(self.state().metrics.read(&filter))
    }
}

impl StoredRun {
    /// A dead run that was replayed is no longer among the dead letters.
    fn counts_as(&self, state: RunState) -> bool {
        self.state == state && !(state == RunState::Dead && self.replayed_by.is_some())
    }

    fn is_listed_by(&self, filter: &RunFilter) -> bool {
        let state = filter.states.is_empty() || filter.states.iter().any(|state| self.counts_as(*state));
        state
            && filter.job.as_ref().is_none_or(|job| **job == *self.job)
            && filter.queue.as_ref().is_none_or(|queue| **queue == *self.queue)
            && (filter.reference.is_none() || filter.reference == self.reference)
            && filter.unique_key.as_ref().is_none_or(|key| self.unique_key() == Some(key.as_str()))
            && (filter.error_fingerprint.is_none() || filter.error_fingerprint == self.error_fingerprint)
            && filter.enqueued_from.is_none_or(|from| from <= self.enqueued_at)
            && filter.enqueued_before.is_none_or(|before| self.enqueued_at < before)
    }
}

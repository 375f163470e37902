//! What operators, dashboards and tests read.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{
    Memory, State,
    due::Lane,
    lists::{LaneLists, NewestFirst, lists_print},
    run::StoredRun,
};
use crate::{
    Error, Inspect, Registry, Run, RunFilter, RunId, RunState, SavedStep,
    store::{
        DeadError, DeadGroup, EventFilter, FirstDue, Health, JobCount, JobMetrics, ListedEvent,
        MetricsFilter, Problem, QueueStatus, RegisteredWorker, RunNotes,
    },
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
        let state = self.state();
        let running = state.running_alone(&filter);
        Ok(state
            .newest_first(&filter, &running)
            .filter_map(|id| Some((id, state.runs.get(&id)?)))
            .filter(|(_, run)| run.is_listed_by(&filter))
            .take(filter.page_size())
            .map(|(id, run)| run.shown(id))
            .collect())
    }

    async fn count_runs(&self, filter: RunFilter, most: u64) -> Result<u64, Error> {
        let state = self.state();
        if filter.is_known_by_lane() {
            let counts = state.lane_counts(&filter).filter(|(_, state, _)| filter.asks_for(*state));
            return Ok(counts.map(|(_, _, runs)| runs).sum::<u64>().min(most));
        }
        let running = state.running_alone(&filter);
        let ids = state.newest_first(&filter, &running);
        let listed = ids.filter(|id| state.runs.get(id).is_some_and(|run| run.is_listed_by(&filter)));
        Ok(listed.take(usize::try_from(most).unwrap_or(usize::MAX)).count() as u64)
    }

    async fn dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error> {
        Ok(DeadGroup::merged(self.state().dead_groups(), limit))
    }

    async fn dead_errors(&self, filter: RunFilter) -> Result<Vec<DeadError>, Error> {
        let filter = filter.states([RunState::Dead]);
        let (state, none) = (self.state(), BTreeSet::new());
        Ok(state
            .newest_first(&filter, &none)
            .filter_map(|id| Some((id, state.runs.get(&id)?)))
            .filter(|(_, run)| run.is_listed_by(&filter))
            .take(filter.page_size())
            .map(|(id, run)| DeadError::of(id, &run.attempts))
            .collect())
    }

    async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        let state = self.state();
        let mut counts: BTreeMap<(&str, RunState), u64> = BTreeMap::new();
        for (job, state, runs) in state.lane_counts(&RunFilter::default()).filter(|(_, _, runs)| *runs > 0) {
            *counts.entry((job, state)).or_default() += runs;
        }
        let counts = counts.into_iter();
        Ok(counts.map(|((job, state), runs)| JobCount { job: job.to_owned(), state, runs }).collect())
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        let (state, now) = self.begin();
        Ok(state.queues(now))
    }

    async fn health(&self) -> Result<Health, Error> {
        let workers = self.workers().await?;
        self.health_of(&workers).with_what_waits(self).await
    }

    async fn examine(&self) -> Result<Vec<Problem>, Error> {
        Ok(Vec::new())
    }

    async fn notes(&self, id: RunId) -> Result<RunNotes, Error> {
        Ok(self.state().runs.get(&id).map(|run| run.notes.shown.clone()).unwrap_or_default())
    }

    async fn events(&self, filter: EventFilter) -> Result<Vec<ListedEvent>, Error> {
        Ok(self.state().known.list_events(&filter))
    }

    async fn metrics(&self, filter: MetricsFilter) -> Result<Vec<JobMetrics>, Error> {
        Ok(self.state().metrics.read(&filter))
    }
}

impl Memory {
    fn health_of(&self, workers: &[RegisteredWorker]) -> Health {
        let (state, now) = self.begin();
        let lanes = || state.due.lanes().map(|(_, lane)| lane);
        let given = lanes().filter(|lane| !state.paused.contains_key(lane.queue.as_ref()));
        let first_due = |lane: &Lane| {
            let (queue, job) = (lane.queue.as_ref().to_owned(), lane.job.as_ref().to_owned());
            Some(FirstDue { queue, job, due_at: lane.first_due()? })
        };
        let due = given.filter_map(first_due).filter(|first| first.due_at <= now).collect();
        let expired_leases = lanes().map(|lane| lane.expired_count(now) as u64).sum();
        let ends = "It ends with this process, or when the clock is set back.";
        let problem = state.time.and_then(|time| time.problem(self.machine.read_for(time), ends));
        let mut health = Health::of_due(due, workers, now);
        health.problems.extend(problem);
        Health { expired_leases, ..health }
    }
}

impl State {
    fn lanes_for(&self, filter: &RunFilter) -> impl Iterator<Item = (&Lane, &LaneLists)> {
        let asked = self.due.lanes().filter(|(_, lane)| {
            filter.job.as_ref().is_none_or(|job| **job == *lane.job)
                && filter.queue.as_ref().is_none_or(|queue| **queue == *lane.queue)
        });
        asked.filter_map(|(number, lane)| Some((lane, self.lists.lane(number)?)))
    }

    /// The running runs, where a filter asks for them and for none else that have not ended: few among many pending.
    fn running_alone(&self, filter: &RunFilter) -> BTreeSet<RunId> {
        if filter.asks_for(RunState::Pending) || !filter.asks_for(RunState::Running) {
            return BTreeSet::new();
        }
        self.lanes_for(filter).flat_map(|(lane, _)| lane.running()).collect()
    }

    /// The lists in which a filter may find some.
    fn lists_for<'a>(&'a self, filter: &RunFilter, running: &'a BTreeSet<RunId>) -> Vec<&'a BTreeSet<RunId>> {
        let mut all = vec![running];
        for (lane, lists) in self.lanes_for(filter) {
            all.extend(lists.ended_lists(filter));
            let waits = filter.asks_for(RunState::Waiting) && lane.waiting_count(lists) > 0;
            let pends = filter.asks_for(RunState::Pending) && lane.pending_count() > 0;
            let beside_pending = filter.asks_for(RunState::Pending) && filter.asks_for(RunState::Running);
            if pends || waits || (beside_pending && lane.running_count() > 0) {
                all.push(lists.live());
            }
        }
        all
    }

    /// The runs that a filter may list, greatest id first.
    fn newest_first<'a>(
        &'a self,
        filter: &RunFilter,
        running: &'a BTreeSet<RunId>,
    ) -> Box<dyn Iterator<Item = RunId> + 'a> {
        match self.names.found(filter) {
            Some(found) => Box::new(found),
            None => Box::new(NewestFirst::of(self.lists_for(filter, running), filter.before)),
        }
    }

    /// How many runs are in each state, by lane; a lane is told by its job.
    fn lane_counts(&self, filter: &RunFilter) -> impl Iterator<Item = (&str, RunState, u64)> {
        self.lanes_for(filter).flat_map(|(lane, lists)| {
            RunState::ALL.iter().map(move |state| {
                let runs = match state {
                    RunState::Pending => lane.pending_count(),
                    RunState::Running => lane.running_count(),
                    RunState::Waiting => lane.waiting_count(lists),
                    RunState::Succeeded | RunState::Dead | RunState::Cancelled => lists.ended(*state),
                };
                (lane.job.as_ref(), *state, runs as u64)
            })
        })
    }

    /// The groups of each lane.
    fn dead_groups(&self) -> Vec<DeadGroup> {
        let groups = self.due.lanes().filter_map(|(number, lane)| Some((lane, self.lists.lane(number)?)));
        let groups = groups.flat_map(|(lane, lists)| {
            lists.dead().filter_map(|(print, letters)| {
                let (first_at, (last_at, newest)) = letters.ends()?;
                Some(DeadGroup {
                    job: lane.job.as_ref().to_owned(),
                    error_fingerprint: print.clone(),
                    runs: letters.len() as u64,
                    first_at,
                    last_at,
                    newest,
                })
            })
        });
        groups.collect()
    }
}

impl Lane {
    fn waiting_count(&self, lists: &LaneLists) -> usize {
        lists.live().len() - self.pending_count() - self.running_count()
    }
}

impl RunFilter {
    fn asks_for(&self, state: RunState) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    /// Whether it asks for certain states, and beside them for nothing but job and queue.
    fn is_known_by_lane(&self) -> bool {
        let known = Self {
            states: self.states.clone(),
            job: self.job.clone(),
            queue: self.queue.clone(),
            limit: self.limit,
            ..Self::default()
        };
        !self.states.is_empty() && *self == known
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
            && lists_print(filter, self.error_fingerprint.as_deref())
            && filter.enqueued_from.is_none_or(|from| from <= self.enqueued_at)
            && filter.enqueued_before.is_none_or(|before| self.enqueued_at < before)
    }
}

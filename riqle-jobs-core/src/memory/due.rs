//! Which runs are due when, and whose leases run out, in a lane for each job of each queue.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use super::run::StoredRun;
use crate::{Priority, RunId, RunState};

/// Which runs are due when: a lane for each job of each queue, so that a claim touches only the jobs it names and
/// pays for each run with the logarithm of its lane.
#[derive(Clone, Debug, Default)]
pub(super) struct DueRuns {
    lanes: Vec<Lane>,
    numbers: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
}

#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) queue: Arc<str>,
    pub(super) job: Arc<str>,
    /// Pending runs, and those whose lease was found to have run out, for each priority.
    due: [BTreeSet<(Timestamp, RunId)>; Priority::ALL.len()],
    /// Running runs by the end of their lease, with their place among the due ones.
    leases: BTreeMap<(Timestamp, RunId), Place>,
    /// Running runs that are in `due`, and no longer in `leases`.
    expired: BTreeSet<RunId>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    priority: Priority,
    due_at: Timestamp,
}

impl DueRuns {
    /// The number of the lane of a job in a queue.
    pub(super) fn lane(&mut self, queue: &str, job: &str) -> usize {
        if let Some(number) = self.numbers.get(queue).and_then(|jobs| jobs.get(job)) {
            return *number;
        }
        let queue = match self.numbers.get_key_value(queue) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(queue),
        };
        let job: Arc<str> = Arc::from(job);
        let number = self.lanes.len();
        self.numbers.entry(Arc::clone(&queue)).or_default().insert(Arc::clone(&job), number);
        self.lanes.push(Lane {
            queue,
            job,
            due: Default::default(),
            leases: BTreeMap::new(),
            expired: BTreeSet::new(),
        });
        number
    }

    /// The queue and the job of a lane.
    pub(super) fn names(&self, lane: usize) -> (Arc<str>, Arc<str>) {
        (Arc::clone(&self.lanes[lane].queue), Arc::clone(&self.lanes[lane].job))
    }

    /// Files a run that is pending or running; no other.
    pub(super) fn insert(&mut self, id: RunId, run: &StoredRun) {
        let lane = &mut self.lanes[run.lane];
        match (run.state, &run.lease) {
            (RunState::Running, Some(lease)) => {
                let place = Place { priority: run.priority, due_at: run.due_at };
                lane.leases.insert((lease.until, id), place);
            }
            (RunState::Pending, _) => {
                lane.due[usize::from(run.priority.number())].insert((run.due_at, id));
            }
            _ => {}
        }
    }

    /// Takes a run out, wherever it stands.
    pub(super) fn remove(&mut self, id: RunId, run: &StoredRun) {
        if run.state.is_ended() {
            return;
        }
        let lane = &mut self.lanes[run.lane];
        let is_leased = run.lease.is_some_and(|lease| lane.leases.remove(&(lease.until, id)).is_some());
        if !is_leased {
            lane.expired.remove(&id);
            lane.due[usize::from(run.priority.number())].remove(&(run.due_at, id));
        }
    }

    /// Takes out at most `limit` runs that are due, in order.
    pub(super) fn take(&mut self, queue: &str, jobs: &[String], limit: usize, now: Timestamp) -> Vec<RunId> {
        let lanes = self.lanes_of(queue, jobs);
        for number in &lanes {
            self.lanes[*number].find_expired(now);
        }
        let mut taken = Vec::new();
        for priority in Priority::ALL.map(|priority| usize::from(priority.number())) {
            let mut heads: BinaryHeap<_> = lanes
                .iter()
                .filter_map(|number| Some(Reverse((*self.lanes[*number].due[priority].first()?, *number))))
                .collect();
            while taken.len() < limit
                && let Some(Reverse(((due_at, id), number))) = heads.pop()
                && due_at <= now
            {
                let lane = &mut self.lanes[number];
                lane.due[priority].pop_first();
                lane.expired.remove(&id);
                taken.push(id);
                heads.extend(lane.due[priority].first().map(|head| Reverse((*head, number))));
            }
        }
        taken
    }

    /// When the next of these jobs' runs is due or the next lease runs out; `None` if there is neither.
    pub(super) fn next_due(&self, queue: &str, jobs: &[String]) -> Option<Timestamp> {
        let lanes = self.lanes_of(queue, jobs);
        let lanes = lanes.iter().map(|number| &self.lanes[*number]);
        lanes
            .flat_map(|lane| {
                let due = lane.due.iter().filter_map(|runs| Some(runs.first()?.0));
                due.chain(lane.leases.first_key_value().map(|((until, _), _)| *until))
            })
            .min()
    }

    /// Every running run of a queue.
    pub(super) fn running(&self, queue: &str) -> Vec<RunId> {
        let numbers = self.numbers.get(queue).into_iter().flat_map(HashMap::values);
        numbers.flat_map(|number| self.lanes[*number].running()).collect()
    }

    /// Every lane, with its number.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (usize, &Lane)> {
        self.lanes.iter().enumerate()
    }

    fn lanes_of(&self, queue: &str, jobs: &[String]) -> Vec<usize> {
        let Some(numbers) = self.numbers.get(queue) else { return Vec::new() };
        let mut lanes: Vec<_> = jobs.iter().filter_map(|job| numbers.get(job.as_str()).copied()).collect();
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }
}

impl Lane {
    /// Its running runs, in no order.
    pub(super) fn running(&self) -> impl Iterator<Item = RunId> {
        self.leases.keys().map(|(_, id)| id).chain(&self.expired).copied()
    }

    pub(super) fn running_count(&self) -> usize {
        self.leases.len() + self.expired.len()
    }

    pub(super) fn pending_count(&self) -> usize {
        self.due.iter().map(BTreeSet::len).sum::<usize>() - self.expired.len()
    }

    /// Running runs whose lease has run out.
    pub(super) fn expired_count(&self, now: Timestamp) -> usize {
        self.expired.len() + self.leases.keys().take_while(|(until, _)| *until <= now).count()
    }

    /// When the first of its pending runs is due.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        let pending = |runs: &BTreeSet<(Timestamp, RunId)>| {
            runs.iter().find(|(_, id)| !self.expired.contains(id)).map(|(due_at, _)| *due_at)
        };
        self.due.iter().filter_map(pending).min()
    }

    /// How many pending runs are due and how many later, each counted to `most` at most.
    pub(super) fn due_and_later(&self, now: Timestamp, most: u64) -> (usize, usize) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let pending = |(_, id): &&(Timestamp, RunId)| !self.expired.contains(id);
        let due = self.due.iter().flat_map(|runs| runs.iter().take_while(|(due_at, _)| *due_at <= now));
        let later =
            self.due.iter().flat_map(|runs| runs.iter().rev().take_while(|(due_at, _)| *due_at > now));
        (due.filter(pending).take(most).count(), later.filter(pending).take(most).count())
    }

    /// Files runs whose lease has run out among the due ones, in the place that they had.
    fn find_expired(&mut self, now: Timestamp) {
        while let Some(lease) = self.leases.first_entry()
            && lease.key().0 <= now
        {
            let ((_, id), place) = lease.remove_entry();
            self.expired.insert(id);
            self.due[usize::from(place.priority.number())].insert((place.due_at, id));
        }
    }
}

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
#[derive(Default)]
pub(super) struct DueRuns {
    lanes: Vec<Lane>,
    numbers: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
}

struct Lane {
    queue: Arc<str>,
    job: Arc<str>,
    /// Pending runs, and those whose lease was found to have run out, for each priority.
    due: [BTreeSet<(Timestamp, RunId)>; Priority::ALL.len()],
    /// Running runs by the end of their lease, with their place among the due ones.
    leases: BTreeMap<(Timestamp, RunId), Place>,
    /// Running runs that stand in `due`, and no longer in `leases`.
    expired: BTreeSet<RunId>,
}

#[derive(Clone, Copy)]
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

    /// When the next of these jobs' runs is due or the next lease runs out; `None` where there is neither.
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
        numbers
            .map(|number| &self.lanes[*number])
            .flat_map(|lane| lane.leases.keys().map(|(_, id)| id).chain(&lane.expired))
            .copied()
            .collect()
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

//! Schedules: which are due, and which of their runs live.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Memory, State, run::StoredRun};
use crate::{
    Error, Hint, RunId, clock,
    store::{
        AT_ONCE, DueRequest, DueSchedules, LIVE_RUNS_READ, ScheduleAnswer, ScheduleFilter, ScheduleRow,
        ScheduleWrite, Schedules, StoredSchedule,
    },
};

/// A job and the name of a schedule of it.
type Key = (String, String);

#[derive(Clone, Default)]
pub(super) struct AllSchedules {
    rows: BTreeMap<Key, Kept>,
    /// By queue and job, the due times with the names.
    due: BTreeMap<(String, String), BTreeSet<(Timestamp, String)>>,
    live: BTreeMap<Key, BTreeSet<RunId>>,
    woken: bool,
}

#[derive(Clone)]
struct Kept {
    queue: String,
    version: u64,
    row: ScheduleRow,
}

impl AllSchedules {
    fn put(&mut self, key: Key, kept: Kept) {
        self.remove(&key);
        if let Some(due_at) = kept.row.due_at {
            let lane = (kept.queue.clone(), key.0.clone());
            self.due.entry(lane).or_default().insert((due_at, key.1.clone()));
        }
        self.rows.insert(key, kept);
    }

    fn remove(&mut self, key: &Key) -> Option<Kept> {
        let kept = self.rows.remove(key)?;
        if let Some(due_at) = kept.row.due_at
            && let Some(due) = self.due.get_mut(&(kept.queue.clone(), key.0.clone()))
        {
            due.remove(&(due_at, key.1.clone()));
        }
        Some(kept)
    }

    pub(super) fn run_lives(&mut self, id: RunId, run: &StoredRun) {
        if let Some(key) = key_of(run) {
            self.live.entry(key).or_default().insert(id);
        }
    }

    pub(super) fn run_ended(&mut self, id: RunId, run: &StoredRun) {
        let Some(key) = key_of(run) else { return };
        let Some(live) = self.live.get_mut(&key) else { return };
        if !live.remove(&id) {
            return;
        }
        if live.is_empty() {
            self.live.remove(&key);
        }
        if let Some(mut kept) = self.rows.get(&key).filter(|kept| kept.row.wakes).cloned() {
            kept.version += 1;
            kept.row.due_at = Some(AT_ONCE);
            self.woken = true;
            self.put(key, kept);
        }
    }

    fn all_live(&self, key: &Key, runs: &[RunId]) -> bool {
        runs.iter().all(|run| self.live.get(key).is_some_and(|live| live.contains(run)))
    }

    /// Whether the end of a run has made any due since it was last asked.
    pub(super) fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    /// Makes due those that wait for the end of a run, and of which none lives. Answers whether there are any.
    pub(super) fn wake_forgotten(&mut self) -> bool {
        let waits = |(key, kept): &(&Key, &Kept)| {
            kept.row.wakes && kept.row.due_at != Some(AT_ONCE) && !self.live.contains_key(*key)
        };
        let forgotten: Vec<_> =
            self.rows.iter().filter(waits).map(|(key, kept)| (key.clone(), kept.clone())).collect();
        let any = !forgotten.is_empty();
        for (key, mut kept) in forgotten {
            kept.row.due_at = Some(AT_ONCE);
            kept.version += 1;
            self.put(key, kept);
        }
        any
    }

    fn read(&self, key: &Key, kept: &Kept) -> StoredSchedule {
        let live = self.live.get(key).into_iter().flatten().rev().take(LIVE_RUNS_READ);
        StoredSchedule {
            queue: kept.queue.clone(),
            job: key.0.clone(),
            name: key.1.clone(),
            version: kept.version,
            row: kept.row.clone(),
            live: live.copied().collect(),
        }
    }
}

fn key_of(run: &StoredRun) -> Option<Key> {
    let tick = run.tick.as_ref()?;
    Some((run.job.as_ref().to_owned(), tick.schedule.clone()))
}

#[async_trait]
impl Schedules for Memory {
    async fn due_schedules(&self, request: DueRequest) -> Result<DueSchedules, Error> {
        let (state, now) = self.begin();
        let now = state.wall_time(now);
        if state.paused.contains_key(&request.queue) {
            return Ok(DueSchedules { schedules: Vec::new(), next_due: None, now });
        }
        let all = &state.schedules;
        let lanes = request.jobs.iter().filter_map(|job| {
            let due = all.due.get(&(request.queue.clone(), job.clone()))?;
            Some((job, due))
        });
        let first =
            lanes.flat_map(|(job, due)| due.iter().take(request.limit + 1).map(move |due| (due, job)));
        let mut first: Vec<_> = first.collect();
        first.sort();
        let is_due = |((due_at, _), _): &&(&(Timestamp, String), &String)| *due_at <= now;
        let due = first.iter().take_while(is_due).take(request.limit);
        let schedules: Vec<_> = due
            .filter_map(|((_, name), job)| {
                let key = ((*job).clone(), name.clone());
                all.rows.get(&key).map(|kept| all.read(&key, kept))
            })
            .collect();
        let next_due = first.get(schedules.len()).map(|((due_at, _), _)| *due_at);
        Ok(DueSchedules { schedules, next_due, now })
    }

    async fn write_schedules(&self, writes: Vec<ScheduleWrite>) -> Result<Vec<ScheduleAnswer>, Error> {
        let runs: Vec<_> = writes.iter().filter_map(|write| write.run.clone()).collect();
        self.limits.check_runs("write_schedules", &runs)?;
        let (mut state, now) = self.begin();
        let (mut answers, mut hints) = (Vec::with_capacity(writes.len()), HashSet::new());
        for write in writes {
            let key = (write.job.clone(), write.name.clone());
            let found = state.schedules.rows.get(&key).map(|kept| kept.version);
            if let Some(answer) = write.answer_without_writing(found) {
                answers.push(answer);
                continue;
            }
            if !state.schedules.all_live(&key, write.waits_for()) {
                answers.push(ScheduleAnswer::Stale);
                continue;
            }
            let enqueued = match &write.run {
                Some(run) => state.store(vec![run.clone()], now)?.first().copied(),
                None => None,
            };
            hints.extend(write.hints(enqueued));
            match write.row {
                Some(row) => {
                    state.schedules.put(key, Kept { queue: write.queue, version: write.version, row });
                }
                None => {
                    state.schedules.remove(&key);
                }
            }
            answers.push(ScheduleAnswer::Written(enqueued));
        }
        drop(state);
        hints.into_iter().for_each(|hint| self.wake.send(hint));
        Ok(answers)
    }

    async fn wall_time(&self) -> Result<Timestamp, Error> {
        let (state, now) = self.begin();
        Ok(state.wall_time(now))
    }

    async fn schedule(&self, job: &str, name: &str) -> Result<Option<StoredSchedule>, Error> {
        let state = self.state();
        let key = (job.to_owned(), name.to_owned());
        Ok(state.schedules.rows.get(&key).map(|kept| state.schedules.read(&key, kept)))
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<StoredSchedule>, Error> {
        let state = self.state();
        let first = filter.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = state.schedules.rows.range((first, Bound::Unbounded));
        let listed = rows.filter(|((job, name), _)| filter.lists(job, name)).take(filter.page());
        Ok(listed.map(|(key, kept)| state.schedules.read(key, kept)).collect())
    }

    async fn gather_schedules(&self, job: &str, queue: &str) -> Result<(), Error> {
        let mut state = self.state();
        let elsewhere =
            state.schedules.rows.iter().filter(|((of, _), kept)| of == job && kept.queue != queue);
        let moved: Vec<_> = elsewhere.map(|(key, kept)| (key.clone(), kept.clone())).collect();
        let any = !moved.is_empty();
        for (key, kept) in moved {
            state.schedules.put(key, Kept { queue: queue.to_owned(), version: kept.version + 1, ..kept });
        }
        drop(state);
        if any {
            self.wake.send(Hint::Schedules(Some(queue.to_owned())));
        }
        Ok(())
    }
}

impl State {
    /// What the machine's clock shows when the store's shows this.
    pub(super) fn wall_time(&self, time: Timestamp) -> Timestamp {
        clock::from_millis(time.as_millisecond().saturating_sub(self.offset()))
    }
}

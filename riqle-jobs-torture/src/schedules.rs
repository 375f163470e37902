//! Schedules of a second: each of their ticks starts one run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use riqle_jobs_conformance::{history::Recorded, workload::Walk};
use riqle_jobs_core::{
    Inspect, JobInput, Jobs, Run, RunFilter, Timestamp,
    schedule::{MOST_MISSED, Missed, Overlap, Schedule},
    store::{ScheduleFilter, Schedules},
};

use crate::{process::Process, server::Kind, verdict::again};

const PERIOD: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 16;
const PAGE: usize = 1_000;

/// Schedules that tick while a store is tortured.
pub(crate) struct Ticking {
    jobs: Jobs,
    store: Recorded,
    names: Vec<String>,
    first: Timestamp,
    /// Whether the store's wall clock is set now and then: then more ticks may be missed at once than are made up for.
    is_set: bool,
}

impl Ticking {
    /// Makes so many.
    pub(crate) async fn begin(process: &Process, kind: Kind, count: usize) -> Result<Self, String> {
        let store = process.store().await?;
        let jobs = Jobs::new(&store).erase();
        again(|| jobs.declare::<Walk>()).await?;
        let now = again(|| store.wall_time()).await?;
        // By then all are made.
        let first = now + Duration::from_secs(10) + Duration::from_millis(20) * count as u32;
        let first = Timestamp::from_second(first.as_second()).map_err(|error| error.to_string())?;
        let ticking = Self {
            jobs,
            store,
            names: (0..count).map(|n| format!("{n:04}")).collect(),
            first,
            is_set: kind == Kind::Sqlite,
        };
        ticking.on_each(|name| ticking.make(name)).await?;
        match ticking.all().await?.iter().find(|(_, seen)| seen.next != Some(first)) {
            Some((name, _)) => Err(format!("schedule {name} was made after its first tick")),
            None => Ok(ticking),
        }
    }

    async fn make(&self, name: &str) -> Result<(), String> {
        let walk = |script| Walk { steps: 0, script };
        let script = name.bytes().map(u64::from).sum();
        let schedule = || Schedule::every(name, PERIOD, walk(script)).starting(self.first);
        let all = || schedule().missed(Missed::All(MOST_MISSED)).overlap(Overlap::Allow);
        again(|| self.jobs.schedule(all())).await
    }

    /// Lets them tick no more.
    pub(crate) async fn end(&self) -> Result<(), String> {
        self.on_each(|name| again(move || self.jobs.pause_schedule(Walk::JOB, name, "torture", ""))).await
    }

    async fn on_each<'a, F>(&'a self, act: impl Fn(&'a str) -> F) -> Result<(), String>
    where
        F: Future<Output = Result<(), String>> + 'a,
    {
        let acts = stream::iter(&self.names).map(|name| act(name));
        acts.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn all(&self) -> Result<BTreeMap<String, Seen>, String> {
        let (mut all, mut filter) =
            (BTreeMap::new(), ScheduleFilter { limit: PAGE, ..ScheduleFilter::default() });
        loop {
            let page = again(|| self.jobs.schedules(filter.clone())).await?;
            let Some(last) = page.last() else { return Ok(all) };
            filter.after = Some((last.job.clone(), last.name.clone()));
            all.extend(page.into_iter().map(|one| {
                let skipped = one.state.skipped.values().sum();
                (one.name, Seen { next: one.state.next, skipped })
            }));
        }
    }

    /// Checks, once they have ended, that no tick is missing and none has two runs.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let mut ticks: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
        let mut runs = 0;
        let mut filter = RunFilter::all().job(Walk::JOB).limit(PAGE);
        loop {
            let page: Vec<Run> = again(|| self.store.runs(filter.clone())).await?;
            let Some(last) = page.last() else { break };
            filter = filter.before(last.id);
            for tick in page.into_iter().filter_map(|run| run.tick) {
                runs += 1;
                if !ticks.entry(tick.schedule.clone()).or_default().insert(tick.at) {
                    return Err(format!("the tick {} of schedule {} has two runs", tick.at, tick.schedule));
                }
            }
        }
        let (all, now, mut skipped) = (self.all().await?, again(|| self.store.wall_time()).await?, 0);
        for name in &self.names {
            let seen = all.get(name).ok_or_else(|| format!("schedule {name} is gone"))?;
            let next = seen.next.ok_or_else(|| format!("schedule {name} has ended"))?;
            let started = ticks.remove(name).unwrap_or_default();
            let had_turns = std::iter::successors(Some(self.first), |tick| Some(*tick + PERIOD))
                .take_while(|tick| *tick < next);
            let left = had_turns.filter(|tick| !started.contains(tick)).count() as u64;
            if left != seen.skipped || left > 0 && !self.is_set {
                let Seen { skipped, .. } = seen;
                return Err(format!(
                    "{left} ticks of schedule {name} have started no run, {skipped} were skipped"
                ));
            }
            if started.iter().any(|tick| *tick < self.first || *tick >= next || tick.subsec_nanosecond() > 0)
            {
                return Err(format!("a run of schedule {name} is of no tick"));
            }
            if !self.is_set && now.duration_since(next).as_secs() > 360 {
                return Err(format!("schedule {name} has not ticked since {next}"));
            }
            skipped += seen.skipped;
        }
        if runs == 0 && !self.names.is_empty() {
            return Err("no tick has started a run".to_owned());
        }
        println!(
            "{} schedules of {PERIOD:?}: {runs} ticks started a run, {skipped} were skipped",
            self.names.len()
        );
        Ok(())
    }
}

struct Seen {
    next: Option<Timestamp>,
    skipped: u64,
}

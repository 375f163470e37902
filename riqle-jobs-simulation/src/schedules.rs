//! Schedules in a simulation: some that tick all the time, operators who change them, and what must be there at the end.

use std::{collections::BTreeSet, time::Duration};

use riqle_jobs_conformance::{Random, workload::Walk};
use riqle_jobs_core::{
    Error, Inspect, JobInput, Jobs, RunFilter, RunId, ScheduleStatus, Timestamp,
    schedule::{Missed, NewSchedule, Overlap, Schedule, Tick},
    store::{ScheduleFilter, Schedules},
};
use tokio::time::sleep;

use crate::{process::Process, scenario::Scene};

/// Each of whose ticks starts a run.
const ALL: &str = "all";

impl Scene {
    /// Makes schedules, and lets operators change them.
    pub(crate) async fn schedule(self) {
        let process = Process::new("who schedules", &self.world);
        let jobs = Jobs::new(&process.store());
        for new in self.schedules() {
            self.until_done(|| jobs.schedule_named(new.clone())).await;
        }
        if !self.drawn.operators {
            return;
        }
        let names: Vec<_> = self.schedules().into_iter().map(|new| new.name).collect();
        loop {
            sleep(self.world.up_to(6_000)).await;
            let Some(name) = self.world.draw(|random| random.pick(&names)) else { return };
            let done = match self.world.below(6) {
                0 => jobs.pause_schedule(Walk::JOB, &name, "operator", "").await,
                1 => jobs.resume_schedule(Walk::JOB, &name).await,
                2 => jobs.trigger_schedule(Walk::JOB, &name).await.map(drop),
                3 => {
                    let until = self.world.store.wall_time().await.unwrap_or_default();
                    let from = until - Duration::from_secs(30);
                    jobs.backfill_schedule(Walk::JOB, &name, from, until, "operator").await
                }
                4 => jobs.remove_schedule(Walk::JOB, &name).await,
                _ => {
                    let new = self.schedules().into_iter().find(|new| new.name == name);
                    match new {
                        Some(new) if self.world.percent(50) => jobs.schedule_named(new).await,
                        Some(new) => jobs.edit_schedule(new, "operator").await,
                        None => Ok(()),
                    }
                }
            };
            drop(done);
        }
    }

    fn schedules(&self) -> Vec<NewSchedule> {
        let walk = || Walk { steps: self.world.below(3) as u8, script: self.world.draw(Random::number) };
        let every = |name, seconds| Schedule::every(name, Duration::from_secs(seconds), walk());
        [
            every(ALL, 4).missed(Missed::All(1_000)).overlap(Overlap::Allow),
            every("one waits", 3),
            every("cancels", 7).overlap(Overlap::CancelEarlier).jitter(Duration::from_secs(2)),
            every("skips", 5).overlap(Overlap::Skip).missed(Missed::Skip),
        ]
        .into_iter()
        .filter_map(|schedule| schedule.erase().ok())
        .collect()
    }

    async fn until_done<F: Future<Output = Result<(), Error>>>(&self, change: impl Fn() -> F) {
        while change().await.is_err() {
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends the schedules, and makes their runs known. Where nothing but workers and faults has had to do with it, each tick of
    /// one has its run.
    pub(crate) async fn end_schedules(&self) {
        let store = &self.world.store;
        let jobs = Jobs::new(store);
        // What has been missed is seen by the worker that is there now.
        sleep(Duration::from_secs(30)).await;
        let all = jobs.schedules(ScheduleFilter::default()).await.unwrap_or_default();
        for schedule in &all {
            drop(jobs.remove_schedule(&schedule.job, &schedule.name).await);
        }
        let waits = |schedule: &&ScheduleStatus| {
            let ScheduleStatus { state, live, .. } = schedule;
            state.owed.is_some() && live.is_empty() && !state.is_at_rest()
        };
        if let Some(schedule) = all.iter().find(waits) {
            self.world.went_wrong(format!("a tick of schedule {:?} waits for no run", schedule.name));
        }
        let runs = store.runs(RunFilter::all().limit(100_000)).await.unwrap_or_default();
        let known: BTreeSet<RunId> = self.world.known().into_iter().collect();
        for run in runs.iter().filter(|run| run.tick.is_some() && !known.contains(&run.id)) {
            self.world.know(run.id);
        }
        let faults = self.drawn;
        if faults.operators || faults.prunes || faults.clock_steps {
            return;
        }
        let ticks: BTreeSet<Timestamp> =
            runs.iter().filter_map(|run| run.tick.as_ref()).filter(of_all).map(|tick| tick.at).collect();
        let Some(all) = all.iter().find(|schedule| schedule.name == ALL) else {
            self.world.went_wrong("a schedule is gone");
            return;
        };
        if let Some(missing) = first_missing(all, &ticks) {
            self.world.went_wrong(format!("the tick {missing} has started no run"));
        }
    }
}

fn of_all(tick: &&Tick) -> bool {
    tick.schedule == ALL
}

/// Of the ticks between the first that has a run and the next.
fn first_missing(schedule: &ScheduleStatus, ticks: &BTreeSet<Timestamp>) -> Option<Timestamp> {
    let mut tick = *ticks.first()?;
    while Some(tick) < schedule.state.next {
        if !ticks.contains(&tick) {
            return Some(tick);
        }
        tick = *schedule.state.rule.next_after(tick, 1).ok()?.first()?;
    }
    None
}

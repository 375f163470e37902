//! Schedules, and a worker of their job.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use riqle_jobs_core::{
    Enqueued, JobError, Jobs, NamedJob, NewRun, Payload, RunContext, RunFilter, RunId, RunState,
    ScheduleStatus, Store, Worker,
    schedule::{NewSchedule, Rule, Tick},
    store::{
        DueRequest, DueSchedules, ScheduleAnswer, ScheduleFilter, ScheduleRow, ScheduleWrite, StoredSchedule,
    },
};

use super::*;
use crate::Harness;

pub(crate) const DIGEST: &str = "digest";
pub(crate) const MINUTE: Duration = secs(60);
pub(crate) const HOUR: Duration = secs(60 * 60);
pub(crate) const DAY: Duration = secs(24 * 60 * 60);

pub(crate) fn cron(name: &str, expression: &str, zone: &str) -> NewSchedule {
    let rule = Rule::Cron { expression: expression.to_owned(), zone: zone.to_owned() };
    NewSchedule::new(DIGEST, name, rule, json(r#"{"shop":7}"#)).queue(QUEUE)
}

/// At each full hour.
pub(crate) fn hourly() -> NewSchedule {
    cron("hourly", "0 * * * *", "UTC")
}

pub(crate) fn every(name: &str, period: Duration) -> NewSchedule {
    let rule = Rule::Every { period, from: Timestamp::UNIX_EPOCH };
    NewSchedule { rule, ..cron(name, "", "") }
}

/// A worker of the job, and the ticks that its runs had.
pub(crate) struct Digests {
    pub(crate) worker: Worker,
    ticks: Arc<Mutex<Vec<Tick>>>,
    /// While it holds, a run sleeps for a year.
    pub(crate) sleeps: Arc<AtomicBool>,
}

impl Digests {
    pub(crate) fn of(store: &Arc<dyn Store>) -> Self {
        Self::declaring(store, Vec::new())
    }

    pub(crate) fn declaring(store: &Arc<dyn Store>, schedules: Vec<NewSchedule>) -> Self {
        Self::in_queue(store, QUEUE, schedules)
    }

    pub(crate) fn in_queue(store: &Arc<dyn Store>, queue: &str, schedules: Vec<NewSchedule>) -> Self {
        let (ticks, sleeps) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (noted, asleep) = (Arc::clone(&ticks), Arc::clone(&sleeps));
        let body = move |run: RunContext, _: Payload| {
            let sleeps = asleep.load(Ordering::Relaxed);
            if !sleeps {
                noted.lock().unwrap().extend(run.tick().cloned());
            }
            async move { if sleeps { Err(JobError::snooze(DAY * 365, "asleep")) } else { Ok(()) } }
        };
        let mut job = NamedJob::new(DIGEST, body).queue(queue);
        for schedule in schedules {
            job = job.schedule(schedule);
        }
        Self { worker: Worker::new(store).register_named_job(job), ticks, sleeps }
    }

    /// The ticks of the runs that ended in what was due.
    pub(crate) async fn ended(&self) -> Vec<String> {
        self.worker.run_until_idle().await.unwrap();
        let ticks = std::mem::take(&mut *self.ticks.lock().unwrap());
        ticks.into_iter().map(|tick| tick.at.to_string()).collect()
    }

    /// Runs what is due, and lets the runs sleep.
    pub(crate) async fn sleep(&self) {
        self.sleeps.store(true, Ordering::Relaxed);
        self.worker.run_until_idle().await.unwrap();
        self.sleeps.store(false, Ordering::Relaxed);
    }
}

/// Of a job that is registered.
pub(crate) async fn made(store: &Arc<dyn Store>, new: NewSchedule) {
    if !store.jobs().await.unwrap().iter().any(|job| job.declaration.name == new.job) {
        store.register_jobs(vec![job_of(&new.job)]).await.unwrap();
    }
    Jobs::new(store).schedule_named(new).await.unwrap();
}

pub(crate) async fn status(store: &Arc<dyn Store>, name: &str) -> ScheduleStatus {
    let all = Jobs::new(store).schedules(ScheduleFilter::default()).await.unwrap();
    all.into_iter().find(|schedule| schedule.name == name).expect("the schedule is there")
}

pub(crate) async fn names(store: &Arc<dyn Store>) -> Vec<String> {
    let all = Jobs::new(store).schedules(ScheduleFilter::default()).await.unwrap();
    all.into_iter().map(|schedule| schedule.name).collect()
}

pub(crate) async fn due(store: &Arc<dyn Store>) -> DueSchedules {
    let jobs = [DIGEST.to_owned()].into_iter().collect();
    store.due_schedules(DueRequest { queue: QUEUE.to_owned(), jobs, limit: 10 }).await.unwrap()
}

/// What a worker writes that has seen it due: here, its run, and that it is due no more.
pub(crate) fn write_of(found: &StoredSchedule, version: u64, tick: Timestamp) -> ScheduleWrite {
    let tick = Tick { schedule: found.name.clone(), at: tick };
    let run = NewRun { id: tick.run_id(DIGEST), tick: Some(tick), ..run_of(DIGEST) };
    let row = ScheduleRow { due_at: None, ..found.row.clone() };
    ScheduleWrite {
        queue: found.queue.clone(),
        job: found.job.clone(),
        name: found.name.clone(),
        expects: Some(found.version),
        version,
        row: Some(row),
        run: Some(run),
        live: found.live.clone(),
    }
}

/// The run that stands for the tick.
pub(crate) fn run_of_answer(answer: ScheduleAnswer) -> Option<RunId> {
    match answer {
        ScheduleAnswer::Written(run) => run.map(Enqueued::id),
        ScheduleAnswer::Stale => None,
    }
}

pub(crate) async fn runs(store: &Arc<dyn Store>) -> Vec<(RunId, RunState)> {
    let runs = store.runs(RunFilter { job: Some(DIGEST.to_owned()), ..RunFilter::default() }).await.unwrap();
    runs.into_iter().map(|run| (run.id, run.state)).collect()
}

/// To this time of the clock.
pub(crate) fn advance_to(harness: &dyn Harness, time: &str) {
    let time: Timestamp = time.parse().unwrap();
    let ahead = time.duration_since(harness.clock().now());
    harness.clock().advance(Duration::try_from(ahead).unwrap());
}

/// Hourly, in a zone that is not known here; another machine has made it.
pub(crate) async fn made_of_atlantis(store: &Arc<dyn Store>) {
    made(store, cron("of-atlantis", "0 * * * *", "UTC")).await;
    let found = store.schedule(DIGEST, "of-atlantis").await.unwrap().unwrap();
    let mut write = write_of(&found, 7, at(0));
    let state = found.row.state.replace(r#""zone":"UTC""#, r#""zone":"Europe/Atlantis""#);
    (write.row, write.run) = (Some(ScheduleRow { state, ..found.row.clone() }), None);
    store.write_schedules(vec![write]).await.unwrap();
}

//! Schedules: a run at each of their times, never two, none lost.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use riqle_jobs_core::{
    Enqueued, Error, ErrorKind, JobError, Jobs, NamedJob, NewRun, OtherInput, Payload, Replay, RunContext,
    RunFilter, RunId, RunState, ScheduleStatus, Store, UniqueKey, UniqueScope, Worker,
    schedule::{MOST_BACKFILLED, Missed, NewSchedule, Overlap, Rule, SkipReason, Tick},
    store::{
        AT_ONCE, DueRequest, DueSchedules, ScheduleAnswer, ScheduleFilter, ScheduleWrite, StoredSchedule,
    },
};

use crate::{Harness, given::*};

const DIGEST: &str = "digest";
const MINUTE: Duration = secs(60);
const HOUR: Duration = secs(60 * 60);
const DAY: Duration = secs(24 * 60 * 60);

fn cron(name: &str, expression: &str, zone: &str) -> NewSchedule {
    let rule = Rule::Cron { expression: expression.to_owned(), zone: zone.to_owned() };
    NewSchedule::new(DIGEST, name, rule, json(r#"{"shop":7}"#)).queue(QUEUE)
}

/// At each full hour.
fn hourly() -> NewSchedule {
    cron("hourly", "0 * * * *", "UTC")
}

fn every(name: &str, period: Duration) -> NewSchedule {
    let rule = Rule::Every { period, from: Timestamp::UNIX_EPOCH };
    NewSchedule { rule, ..cron(name, "", "") }
}

/// A worker of the job, and the ticks that its runs had.
struct Digests {
    worker: Worker,
    ticks: Arc<Mutex<Vec<Tick>>>,
    /// While it holds, a run sleeps for a year.
    sleeps: Arc<AtomicBool>,
}

impl Digests {
    fn of(store: &Arc<dyn Store>) -> Self {
        Self::declaring(store, Vec::new())
    }

    fn declaring(store: &Arc<dyn Store>, schedules: Vec<NewSchedule>) -> Self {
        Self::in_queue(store, QUEUE, schedules)
    }

    fn in_queue(store: &Arc<dyn Store>, queue: &str, schedules: Vec<NewSchedule>) -> Self {
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
    async fn ended(&self) -> Vec<String> {
        self.worker.run_until_idle().await.unwrap();
        let ticks = std::mem::take(&mut *self.ticks.lock().unwrap());
        ticks.into_iter().map(|tick| tick.at.to_string()).collect()
    }

    /// Runs what is due, and lets the runs sleep.
    async fn sleep(&self) {
        self.sleeps.store(true, Ordering::Relaxed);
        self.worker.run_until_idle().await.unwrap();
        self.sleeps.store(false, Ordering::Relaxed);
    }
}

/// Of a job that is registered.
async fn made(store: &Arc<dyn Store>, new: NewSchedule) {
    if !store.jobs().await.unwrap().iter().any(|job| job.declaration.name == new.job) {
        store.register_jobs(vec![job_of(&new.job)]).await.unwrap();
    }
    Jobs::new(store).schedule_named(new).await.unwrap();
}

async fn status(store: &Arc<dyn Store>, name: &str) -> ScheduleStatus {
    let all = Jobs::new(store).schedules(ScheduleFilter::default()).await.unwrap();
    all.into_iter().find(|schedule| schedule.name == name).expect("the schedule is there")
}

async fn names(store: &Arc<dyn Store>) -> Vec<String> {
    let all = Jobs::new(store).schedules(ScheduleFilter::default()).await.unwrap();
    all.into_iter().map(|schedule| schedule.name).collect()
}

async fn due(store: &Arc<dyn Store>) -> DueSchedules {
    let jobs = [DIGEST.to_owned()].into_iter().collect();
    store.due_schedules(DueRequest { queue: QUEUE.to_owned(), jobs, limit: 10 }).await.unwrap()
}

/// What a worker writes that has seen it due: here, its run, and that it is due no more.
fn write_of(found: &StoredSchedule, version: u64, tick: Timestamp) -> ScheduleWrite {
    let tick = Tick { schedule: found.name.clone(), at: tick };
    let run = NewRun { id: tick.run_id(DIGEST), tick: Some(tick), ..run_of(DIGEST) };
    let row = riqle_jobs_core::store::ScheduleRow { due_at: None, ..found.row.clone() };
    ScheduleWrite {
        queue: found.queue.clone(),
        job: found.job.clone(),
        name: found.name.clone(),
        expects: Some(found.version),
        version,
        row: Some(row),
        run: Some(run),
    }
}

/// The run that stands for the tick.
fn run_of_answer(answer: ScheduleAnswer) -> Option<RunId> {
    match answer {
        ScheduleAnswer::Written(run) => run.map(Enqueued::id),
        ScheduleAnswer::Stale => None,
    }
}

async fn runs(store: &Arc<dyn Store>) -> Vec<(RunId, RunState)> {
    let runs = store.runs(RunFilter { job: Some(DIGEST.to_owned()), ..RunFilter::default() }).await.unwrap();
    runs.into_iter().map(|run| (run.id, run.state)).collect()
}

/// To this time of the clock.
fn advance_to(harness: &dyn Harness, time: &str) {
    let time: Timestamp = time.parse().unwrap();
    let ahead = time.duration_since(harness.clock().now());
    harness.clock().advance(Duration::try_from(ahead).unwrap());
}

pub async fn each_tick_starts_a_run_that_knows_it(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, hourly()).await;
    assert_eq!(digests.ended().await, [""; 0]);

    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, ["2026-01-01T01:00:00Z"]);
    assert_eq!(digests.ended().await, [""; 0]);
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, ["2026-01-01T02:00:00Z"]);

    let status = status(&store, "hourly").await;
    let last = status.state.last.unwrap();
    assert_eq!((last.tick, status.state.next), (at(7_200_000), Some(at(10_800_000))));
    let run = seen(&*store, last.run).await;
    assert_eq!(run.tick, Some(Tick { schedule: "hourly".to_owned(), at: at(7_200_000) }));
    assert_eq!((run.due_at, run.queue.as_str(), run.input), (at(7_200_000), QUEUE, json(r#"{"shop":7}"#)));
    assert!(status.live.is_empty() && status.state.skipped.is_empty());
}

pub async fn a_due_schedule_is_told_with_the_time_of_the_next(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    made(&store, cron("late", "30 1 * * *", "UTC")).await;
    let seen = due(&store).await;
    assert_eq!((seen.schedules.len(), seen.next_due, seen.now), (0, Some(at(3_600_000)), at(0)));

    harness.clock().advance(HOUR);
    let seen = due(&harness.second_handle().await).await;
    assert_eq!(seen.schedules.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["hourly"]);
    assert_eq!(seen.next_due, Some(at(5_400_000)));

    harness.clock().advance(HOUR);
    let jobs = [DIGEST.to_owned()].into_iter().collect();
    let one = DueRequest { queue: QUEUE.to_owned(), jobs, limit: 1 };
    let seen = store.due_schedules(one.clone()).await.unwrap();
    assert_eq!((seen.schedules[0].name.as_str(), seen.next_due), ("hourly", Some(at(5_400_000))));
    let other = [GREET.to_owned()].into_iter().collect();
    let seen = store.due_schedules(DueRequest { jobs: other, ..one }).await.unwrap();
    assert_eq!((seen.schedules.len(), seen.next_due), (0, None));
}

pub async fn f22_two_workers_at_the_same_tick_start_one_run(harness: &dyn Harness) {
    let (store, other) = (harness.store(), harness.second_handle().await);
    for number in 0..20 {
        made(&store, every(&format!("every-{number}"), HOUR)).await;
    }
    let (first, second) = (Digests::of(&store), Digests::of(&other));
    for hour in 1..=3 {
        harness.clock().advance(HOUR);
        let (mut ticks, others) = tokio::join!(first.ended(), second.ended());
        ticks.extend(others);
        // What one has claimed of the other's runs may end after it has seen nothing due.
        ticks.extend(first.ended().await);
        let expected = at(3_600_000 * hour).to_string();
        assert_eq!(ticks, vec![expected; 20]);
    }
}

pub async fn a_write_whose_answer_is_lost_can_be_repeated(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    harness.clock().advance(HOUR);
    let found = due(&store).await.schedules.remove(0);
    let write = write_of(&found, 7, at(3_600_000));
    let id = write.run.as_ref().unwrap().id;

    let answers = store.write_schedules(vec![write.clone()]).await.unwrap();
    assert_eq!(run_of_answer(answers[0]), Some(id));
    let answers = harness.second_handle().await.write_schedules(vec![write]).await.unwrap();
    assert_eq!(answers, [ScheduleAnswer::Written(Some(Enqueued::Existing(id)))]);

    assert_eq!(runs(&store).await, [(id, RunState::Pending)]);
    let found = store.schedule(DIGEST, "hourly").await.unwrap().unwrap();
    assert_eq!((found.version, found.row.due_at, found.live), (7, None, vec![id]));
}

pub async fn who_looked_before_another_wrote_writes_nothing(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    made(&store, cron("other", "0 * * * *", "UTC")).await;
    harness.clock().advance(HOUR);
    let seen = due(&store).await;
    let (hourly, other) = (&seen.schedules[0], &seen.schedules[1]);
    store.write_schedules(vec![write_of(hourly, 7, at(3_600_000))]).await.unwrap();

    // Its neighbour is written all the same.
    let late = [write_of(hourly, 8, at(1)), write_of(other, 9, at(3_600_000))];
    let id = late[1].run.as_ref().unwrap().id;
    let answers = store.write_schedules(late.to_vec()).await.unwrap();
    assert_eq!((answers[0], run_of_answer(answers[1])), (ScheduleAnswer::Stale, Some(id)));
    assert_eq!(runs(&store).await.len(), 2);
}

pub async fn a_worker_that_is_killed_after_its_look_loses_no_tick(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    harness.clock().advance(HOUR);
    drop(due(&store).await);
    assert_eq!(Digests::of(&harness.second_handle().await).ended().await, ["2026-01-01T01:00:00Z"]);
}

pub async fn the_end_of_a_run_changes_the_version(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    harness.clock().advance(HOUR);
    let found = due(&store).await.schedules.remove(0);
    let mut write = write_of(&found, 7, at(3_600_000));
    write.row.as_mut().unwrap().wakes = true;
    store.write_schedules(vec![write]).await.unwrap();
    let claim = store.claim(claim_of(&[DIGEST], 1)).await.unwrap().runs.remove(0);
    settled(&*store, fails(&claim, Duration::ZERO)).await;
    let found = store.schedule(DIGEST, "hourly").await.unwrap().unwrap();
    assert_eq!((found.version, found.row.due_at, &found.live[..]), (7, None, &[claim.lease.run][..]));

    let claim = store.claim(claim_of(&[DIGEST], 1)).await.unwrap().runs.remove(0);
    let mut hints = store.wake_ups();
    settled(&*store, succeeds(&claim)).await;
    let found = store.schedule(DIGEST, "hourly").await.unwrap().unwrap();
    assert_ne!(found.version, 7);
    assert_eq!((found.row.due_at, found.live.len()), (Some(AT_ONCE), 0));
    assert!(matches!(hints.next().await, riqle_jobs_core::Hint::Schedules(_)), "workers are told");
}

pub async fn a_time_in_the_gap_comes_after_it_and_one_in_the_overlap_once(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    advance_to(harness, "2026-03-28T12:00:00Z");
    made(&store, cron("night", "30 2 * * *", "Europe/Berlin")).await;
    advance_to(harness, "2026-03-29T00:59:59.999Z");
    assert_eq!(digests.ended().await, [""; 0]);
    advance_to(harness, "2026-03-29T01:00:00Z");
    assert_eq!(digests.ended().await, ["2026-03-29T01:00:00Z"]);
    advance_to(harness, "2026-10-25T00:30:00Z");
    assert_eq!(digests.ended().await, ["2026-10-25T00:30:00Z"]);
    // The clock shows 02:30 again.
    advance_to(harness, "2026-10-25T01:30:00Z");
    assert_eq!(digests.ended().await, [""; 0]);
    advance_to(harness, "2026-10-26T01:30:00Z");
    assert_eq!(digests.ended().await, ["2026-10-26T01:30:00Z"]);
}

pub async fn leap_days_come_every_four_years(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, cron("leap-day", "0 12 29 2 *", "UTC")).await;
    advance_to(harness, "2027-03-01T00:00:00Z");
    assert_eq!(digests.ended().await, [""; 0]);
    advance_to(harness, "2028-02-29T12:00:00Z");
    assert_eq!(digests.ended().await, ["2028-02-29T12:00:00Z"]);
    assert_eq!(status(&store, "leap-day").await.state.next, Some("2032-02-29T12:00:00Z".parse().unwrap()));
}

pub async fn of_missed_ticks_the_latest_starts_a_run(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, hourly()).await;
    harness.clock().advance(HOUR * 5 + MINUTE * 30);
    assert_eq!(digests.ended().await, ["2026-01-01T05:00:00Z"]);
    let state = status(&store, "hourly").await.state;
    assert_eq!((state.skipped[&SkipReason::Missed], state.next), (4, Some(at(6 * 3_600_000))));
    assert_eq!(state.last_skipped.unwrap().tick, at(4 * 3_600_000));
}

pub async fn missed_ticks_are_skipped_where_the_schedule_says_so(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, NewSchedule { missed: Missed::Skip, ..hourly() }).await;
    // A minute late is in time.
    harness.clock().advance(HOUR * 2 + MINUTE);
    assert_eq!(digests.ended().await, ["2026-01-01T02:00:00Z"]);
    harness.clock().advance(HOUR + ms(1));
    assert_eq!(digests.ended().await, [""; 0]);
    let state = status(&store, "hourly").await.state;
    assert_eq!((state.skipped[&SkipReason::Missed], state.next), (2, Some(at(4 * 3_600_000))));
}

pub async fn missed_ticks_start_a_run_each_up_to_a_number(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, NewSchedule { missed: Missed::All(3), overlap: Overlap::Allow, ..hourly() }).await;
    harness.clock().advance(HOUR * 2);
    let mut ticks = digests.ended().await;
    ticks.sort();
    assert_eq!(ticks, ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]);
    harness.clock().advance(HOUR * 24 * 365);
    let mut ticks = digests.ended().await;
    ticks.sort();
    assert_eq!(ticks, ["2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z", "2027-01-01T02:00:00Z"]);
    assert_eq!(status(&store, "hourly").await.state.skipped[&SkipReason::Missed], 365 * 24 - 3);
}

pub async fn a_paused_queue_has_no_ticks_and_missed_them_once_it_is_resumed(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, hourly()).await;
    store.pause_queue(QUEUE, "ada", "").await.unwrap();
    harness.clock().advance(HOUR * 3);
    assert_eq!(digests.ended().await, [""; 0]);
    assert_eq!((due(&store).await.schedules.len(), runs(&store).await.len()), (0, 0));
    store.resume_queue(QUEUE).await.unwrap();
    assert_eq!(digests.ended().await, ["2026-01-01T03:00:00Z"]);
}

pub async fn a_job_that_no_worker_knows_gets_one_run_and_not_a_heap(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, NewSchedule { overlap: Overlap::Allow, ..hourly() }).await;
    let other = Worker::new(&store).register_named("other", |_: RunContext, _: Payload| async { Ok(()) });
    for _ in 0..3 {
        harness.clock().advance(HOUR);
        other.run_until_idle().await.unwrap();
    }
    assert_eq!(Digests::of(&store).ended().await, ["2026-01-01T03:00:00Z"]);
}

pub async fn a_tick_may_start_beside_an_earlier_run(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, NewSchedule { overlap: Overlap::Allow, ..hourly() }).await;
    for live in 1..=3 {
        harness.clock().advance(HOUR);
        digests.sleep().await;
        assert_eq!(status(&store, "hourly").await.live.len(), live);
    }
}

pub async fn a_tick_is_skipped_while_an_earlier_run_lives(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, NewSchedule { overlap: Overlap::Skip, ..hourly() }).await;
    harness.clock().advance(HOUR);
    digests.sleep().await;
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, [""; 0]);
    let seen = status(&store, "hourly").await;
    assert_eq!(seen.state.skipped[&SkipReason::Overlap], 1);
    store.run_now(seen.live[0]).await.unwrap();
    assert_eq!(digests.ended().await, ["2026-01-01T01:00:00Z"]);
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, ["2026-01-01T03:00:00Z"]);
}

pub async fn one_tick_waits_for_an_earlier_run_and_starts_when_it_ends(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, hourly()).await;
    harness.clock().advance(HOUR);
    digests.sleep().await;
    let first = status(&store, "hourly").await.live[0];
    for _ in 0..3 {
        harness.clock().advance(HOUR);
        assert_eq!(digests.ended().await, [""; 0]);
    }
    let state = status(&store, "hourly").await.state;
    assert_eq!((state.owed, state.skipped[&SkipReason::Overlap]), (Some(at(4 * 3_600_000)), 2));

    store.run_now(first).await.unwrap();
    assert_eq!(digests.ended().await, ["2026-01-01T01:00:00Z", "2026-01-01T04:00:00Z"]);
    let state = status(&store, "hourly").await.state;
    assert_eq!((state.owed, state.next), (None, Some(at(5 * 3_600_000))));
}

/// Whatever ends it.
pub async fn a_waiting_tick_starts_once_the_earlier_run_is_cancelled(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, hourly()).await;
    harness.clock().advance(HOUR);
    digests.sleep().await;
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, [""; 0]);
    store.cancel(status(&store, "hourly").await.live[0]).await.unwrap();
    assert_eq!(digests.ended().await, ["2026-01-01T02:00:00Z"]);
}

pub async fn a_waiting_tick_starts_once_the_earlier_run_is_a_dead_letter(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, hourly()).await;
    harness.clock().advance(HOUR);
    digests.sleep().await;
    let first = status(&store, "hourly").await.live[0];
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, [""; 0]);
    store.run_now(first).await.unwrap();
    let claim = store.claim(claim_of(&[DIGEST], 1)).await.unwrap().runs.remove(0);
    settled(&*store, dies(&claim)).await;
    assert_eq!(digests.ended().await, ["2026-01-01T02:00:00Z"]);

    // The replay of a dead letter has its tick, and is a run of the schedule.
    let replay = RunId::new();
    store.replay(first, replay, Replay::default()).await.unwrap();
    assert_eq!(status(&store, "hourly").await.live, [replay]);
    assert_eq!(digests.ended().await, ["2026-01-01T01:00:00Z"]);
}

pub async fn a_settlement_at_the_moment_of_a_tick_leaves_no_tick_waiting(harness: &dyn Harness) {
    let (store, other) = (harness.store(), harness.second_handle().await);
    let digests = Digests::of(&store);
    made(&store, every("each-second", secs(1))).await;
    let mut seen = Vec::new();
    for _ in 0..30 {
        harness.clock().advance(secs(1));
        digests.sleep().await;
        let run = status(&store, "each-second").await.live[0];
        store.run_now(run).await.unwrap();
        let claim = store.claim(claim_of(&[DIGEST], 1)).await.unwrap().runs.remove(0);
        harness.clock().advance(secs(1));
        let settles = async { settled(&*other, succeeds(&claim)).await };
        let (ended, ()) = tokio::join!(digests.ended(), settles);
        seen.extend(ended);
        // What it saw before the settlement is due by it.
        seen.extend(digests.ended().await);
    }
    let expected: Vec<_> = (1..=30).map(|round| at(round * 2_000).to_string()).collect();
    assert_eq!(seen, expected);
    assert!(status(&store, "each-second").await.state.skipped.is_empty());
}

pub async fn a_tick_cancels_the_earlier_run_where_the_schedule_says_so(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, NewSchedule { overlap: Overlap::CancelEarlier, ..hourly() }).await;
    harness.clock().advance(HOUR);
    digests.sleep().await;
    let first = status(&store, "hourly").await.live[0];
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, ["2026-01-01T02:00:00Z"]);
    assert_eq!(seen(&*store, first).await.state, RunState::Cancelled);
    let status = status(&store, "hourly").await;
    assert!(status.state.cancels.is_empty() && status.live.is_empty());
}

/// Whoever sees what a tick left to be cancelled does it.
pub async fn a_crash_between_a_tick_and_its_cancel_keeps_no_run_alive(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, NewSchedule { overlap: Overlap::CancelEarlier, ..hourly() }).await;
    harness.clock().advance(HOUR);
    digests.sleep().await;
    let first = status(&store, "hourly").await.live[0];
    harness.clock().advance(HOUR);
    // The write of a worker that goes down behind it.
    let found = due(&store).await.schedules.remove(0);
    let mut write = write_of(&found, 7, at(2 * 3_600_000));
    write.run = None;
    let mut state = serde_json::from_str::<serde_json::Value>(&found.row.state).unwrap();
    state["cancels"] = serde_json::json!([first]);
    state["owed"] = serde_json::json!(at(2 * 3_600_000));
    state["next"] = serde_json::json!(at(3 * 3_600_000));
    let row = write.row.as_mut().unwrap();
    (row.state, row.due_at) = (state.to_string(), Some(at(2 * 3_600_000)));
    store.write_schedules(vec![write]).await.unwrap();

    assert_eq!(digests.ended().await, ["2026-01-01T02:00:00Z"]);
    assert_eq!(seen(&*store, first).await.state, RunState::Cancelled);
}

pub async fn a_pause_an_edit_or_a_removal_before_the_write_of_a_tick_wins(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    for (hour, change) in (1..).zip(["pause", "edit", "remove"]) {
        let name = format!("to-{change}");
        made(&store, cron(&name, "0 * * * *", "UTC")).await;
        harness.clock().advance(HOUR);
        let seen = due(&store).await;
        let found = seen.schedules.iter().find(|found| found.name == name).unwrap();
        match change {
            "pause" => jobs.pause_schedule(DIGEST, &name, "ada", "").await.unwrap(),
            "edit" => jobs.edit_schedule(cron(&name, "30 * * * *", "UTC"), "ada").await.unwrap(),
            _ => jobs.remove_schedule(DIGEST, &name).await.unwrap(),
        }
        let answers = store.write_schedules(vec![write_of(found, 7, at(hour * 3_600_000))]).await.unwrap();
        assert_eq!(answers, [ScheduleAnswer::Stale], "{change}");
        assert_eq!(runs(&store).await, [], "{change}");
    }
    assert_eq!(names(&store).await, ["to-edit", "to-pause"]);
    // Made again after its removal it is another one.
    made(&store, cron("to-remove", "0 * * * *", "UTC")).await;
    assert_eq!(names(&store).await, ["to-edit", "to-pause", "to-remove"]);
}

pub async fn a_paused_schedule_has_no_ticks_and_counts_from_its_resumption(harness: &dyn Harness) {
    let store = harness.store();
    let (jobs, digests) = (Jobs::new(&store), Digests::of(&store));
    made(&store, NewSchedule { missed: Missed::All(10), ..hourly() }).await;
    harness.clock().advance(secs(1));
    jobs.pause_schedule(DIGEST, "hourly", "ada", "a fair").await.unwrap();
    jobs.pause_schedule(DIGEST, "hourly", "bob", "").await.unwrap();
    let pause = status(&store, "hourly").await.state.pause.unwrap();
    assert_eq!((pause.by.as_str(), pause.why.as_str(), pause.at), ("ada", "a fair", at(1000)));
    harness.clock().advance(HOUR * 3);
    assert_eq!(digests.ended().await, [""; 0]);
    jobs.resume_schedule(DIGEST, "hourly").await.unwrap();
    assert_eq!(digests.ended().await, [""; 0]);
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, ["2026-01-01T04:00:00Z"]);
}

pub async fn a_changed_rule_counts_from_now_and_fires_nothing_back(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, hourly()).await;
    harness.clock().advance(MINUTE * 50);
    made(&store, cron("hourly", "15 * * * *", "UTC")).await;
    assert_eq!(digests.ended().await, [""; 0]);
    harness.clock().advance(MINUTE * 25);
    assert_eq!(digests.ended().await, ["2026-01-01T01:15:00Z"]);
    // Only its input.
    let new = NewSchedule { input: json(r#"{"shop":8}"#), ..cron("hourly", "15 * * * *", "UTC") };
    harness.clock().advance(HOUR);
    made(&store, new).await;
    assert_eq!(digests.ended().await, ["2026-01-01T02:15:00Z"]);
    let last = status(&store, "hourly").await.state.last.unwrap();
    assert_eq!(seen(&*store, last.run).await.input, json(r#"{"shop":8}"#));
}

pub async fn made_again_with_the_same_text_nothing_changes(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    made(&store, hourly()).await;
    let before = store.schedule(DIGEST, "hourly").await.unwrap().unwrap();
    harness.clock().advance(MINUTE);
    made(&store, NewSchedule { input: json(r#"{ "shop": 7 }"#), ..hourly() }).await;
    assert_eq!(store.schedule(DIGEST, "hourly").await.unwrap().unwrap(), before);

    jobs.edit_schedule(cron("hourly", "15 * * * *", "UTC"), "ada").await.unwrap();
    made(&store, hourly()).await;
    let state = status(&store, "hourly").await.state;
    assert_eq!((state.next, state.edited.unwrap().by.as_str()), (Some(at(900_000)), "ada"));
}

pub async fn an_operators_word_lasts_through_a_redeploy(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    let declared = || ["paused", "edited", "removed"].map(|name| cron(name, "0 * * * *", "UTC")).to_vec();
    Digests::declaring(&store, declared()).ended().await;
    jobs.pause_schedule(DIGEST, "paused", "ada", "").await.unwrap();
    jobs.edit_schedule(cron("edited", "15 * * * *", "UTC"), "ada").await.unwrap();
    jobs.remove_schedule(DIGEST, "removed").await.unwrap();

    let again = Digests::declaring(&store, declared());
    harness.clock().advance(HOUR);
    assert_eq!(again.ended().await, ["2026-01-01T00:15:00Z"]);
    assert!(status(&store, "removed").await.state.is_removed);

    // Until the code says something new.
    let new = ["paused", "edited", "removed"].map(|name| cron(name, "30 * * * *", "UTC"));
    let new = Digests::declaring(&store, new.to_vec());
    new.ended().await;
    harness.clock().advance(MINUTE * 30);
    assert_eq!(new.ended().await, ["2026-01-01T01:30:00Z"; 3]);
}

pub async fn a_schedule_that_leaves_the_code_goes_and_one_made_at_run_time_stays(harness: &dyn Harness) {
    let store = harness.store();
    Digests::declaring(&store, vec![hourly(), cron("daily", "0 8 * * *", "UTC")]).ended().await;
    made(&store, cron("of-a-tenant", "0 8 * * *", "UTC")).await;
    assert_eq!(names(&store).await, ["daily", "hourly", "of-a-tenant"]);
    let taken = Jobs::new(&store).schedule_named(hourly()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Rejected, "the code declares it");

    Digests::declaring(&store, vec![cron("daily", "0 8 * * *", "UTC")]).ended().await;
    assert_eq!(names(&store).await, ["daily", "of-a-tenant"]);
    Digests::of(&store).ended().await;
    assert_eq!(names(&store).await, ["of-a-tenant"]);
}

pub async fn an_old_build_undoes_nothing_while_a_new_one_works(harness: &dyn Harness) {
    let store = harness.store();
    let old = Digests::declaring(&store, vec![cron("old", "0 8 * * *", "UTC")]);
    old.ended().await;
    harness.clock().advance(MINUTE);
    let new = Digests::declaring(&store, vec![cron("new", "0 8 * * *", "UTC")]);
    new.ended().await;
    harness.clock().advance(MINUTE);
    old.ended().await;
    assert_eq!(names(&store).await, ["new"]);
    // A rollback: the last new worker is gone for a while.
    harness.clock().advance(MINUTE * 4);
    old.ended().await;
    assert_eq!(names(&store).await, ["old"]);
}

pub async fn a_schedule_follows_its_job_to_another_queue(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    Digests::declaring(&store, vec![cron("declared", "30 * * * *", "UTC")]).ended().await;
    harness.clock().advance(MINUTE);
    let moved = Digests::in_queue(&store, "reports", vec![cron("declared", "30 * * * *", "UTC")]);
    moved.ended().await;
    harness.clock().advance(HOUR);
    // At the same time.
    let mut ticks = moved.ended().await;
    ticks.sort();
    assert_eq!(ticks, ["2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"]);
    let of_schedules = [status(&store, "hourly").await.queue, status(&store, "declared").await.queue];
    assert_eq!(of_schedules, ["reports", "reports"]);
    assert_eq!(due(&store).await.next_due, None);
}

pub async fn a_backfill_starts_the_ticks_of_a_range_one_after_the_other(harness: &dyn Harness) {
    let store = harness.store();
    let (jobs, digests) = (Jobs::new(&store), Digests::of(&store));
    harness.clock().advance(HOUR * 12);
    made(&store, hourly()).await;
    jobs.backfill_schedule(DIGEST, "hourly", at(3_600_000), at(3 * 3_600_000), "ada").await.unwrap();
    let busy = jobs.backfill_schedule(DIGEST, "hourly", at(0), at(0), "bob").await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Conflict);
    digests.sleep().await;
    let first = status(&store, "hourly").await.live;
    assert_eq!(first.len(), 1, "one after the other");
    // It meets no tick of the schedule.
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, ["2026-01-01T13:00:00Z"]);
    store.run_now(first[0]).await.unwrap();
    let filled_in = ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"];
    assert_eq!(digests.ended().await, filled_in);
    assert_eq!(status(&store, "hourly").await.state.backfill, None);

    // Again: a tick whose run is kept starts none.
    jobs.backfill_schedule(DIGEST, "hourly", at(3_600_000), at(4 * 3_600_000), "ada").await.unwrap();
    assert_eq!(digests.ended().await, ["2026-01-01T04:00:00Z"]);
}

pub async fn a_range_that_can_not_be_filled_in_is_refused(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    harness.clock().advance(DAY);
    made(&store, every("each-second", secs(1))).await;
    let refused = async |from, until| {
        let refused =
            jobs.backfill_schedule(DIGEST, "each-second", at(from), at(until), "ada").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rejected);
        refused.to_string()
    };
    let most = i64::try_from(MOST_BACKFILLED).unwrap() * 1000;
    assert!(refused(0, most).await.contains("more than 10000 ticks"));
    assert!(refused(1, 999).await.contains("no tick"));
    assert!(refused(0, 86_400_001).await.contains("has not come yet"));
    jobs.backfill_schedule(DIGEST, "each-second", at(1), at(most), "ada").await.unwrap();
}

pub async fn a_schedule_that_is_triggered_starts_a_run_of_its_own(harness: &dyn Harness) {
    let store = harness.store();
    let (jobs, digests) = (Jobs::new(&store), Digests::of(&store));
    digests.ended().await;
    made(&store, hourly()).await;
    jobs.pause_schedule(DIGEST, "hourly", "ada", "").await.unwrap();
    harness.clock().advance(secs(5));
    let ids = [(); 2].map(|()| jobs.trigger_schedule(DIGEST, "hourly"));
    let ids = futures_util::future::try_join_all(ids).await.unwrap();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(digests.ended().await, ["2026-01-01T00:00:05Z"; 2]);
    let nobody = jobs.trigger_schedule(DIGEST, "other").await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
}

pub async fn jitter_delays_runs_and_not_their_ticks(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    for number in 0..10 {
        made(&store, NewSchedule { jitter: MINUTE, ..cron(&format!("shop-{number}"), "0 * * * *", "UTC") })
            .await;
    }
    harness.clock().advance(HOUR + ms(59_999));
    digests.sleep().await;
    harness.clock().advance(ms(1));
    digests.sleep().await;
    let mut due = Vec::new();
    for (id, _) in runs(&store).await {
        due.push(seen(&*store, id).await.tick.unwrap());
    }
    assert_eq!(due.iter().map(|tick| tick.at).collect::<Vec<_>>(), vec![at(3_600_000); 10]);
    let delays: std::collections::BTreeSet<_> = due.iter().map(|tick| tick.delay(DIGEST, MINUTE)).collect();
    assert!(delays.len() > 5 && delays.iter().all(|delay| *delay <= MINUTE), "{delays:?}");
}

pub async fn a_tick_whose_key_another_run_holds_is_skipped(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    let key =
        |input| UniqueKey { key: "shop-7".to_owned(), scope: UniqueScope::WhileNotEnded, other_input: input };
    let holder = NewRun { unique: Some(key(OtherInput::Conflicts)), ..run_of(DIGEST) };
    let holder = enqueued(&*store, holder).await;
    harness.clock().advance(HOUR);
    let found = due(&store).await.schedules.remove(0);
    let mut write = write_of(&found, 7, at(3_600_000));
    write.run.as_mut().unwrap().unique = Some(key(OtherInput::IsIgnored));
    let own = write.run.as_ref().unwrap().id;
    let answers = store.write_schedules(vec![write]).await.unwrap();
    // A repeated write is not told of the holder again.
    assert!([own, holder].contains(&run_of_answer(answers[0]).unwrap()));
    assert_eq!(runs(&store).await.len(), 1);
    assert_eq!(store.schedule(DIGEST, "hourly").await.unwrap().unwrap().version, 7);
}

pub async fn schedules_are_listed_by_job_and_name_in_pages(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    for name in ["digest/b", "digest/a", "digest%", "Digest/c", "sync/a", "digest/ä"] {
        made(&store, cron(name, "0 8 * * *", "UTC")).await;
    }
    made(&store, NewSchedule { job: "another".to_owned(), ..hourly() }).await;
    let list = async |filter| {
        let page: Vec<ScheduleStatus> = jobs.schedules(filter).await.unwrap();
        page.into_iter().map(|schedule| (schedule.job, schedule.name)).collect::<Vec<_>>()
    };
    let of = |name: &str| (DIGEST.to_owned(), name.to_owned());
    assert_eq!(list(ScheduleFilter::prefix("digest/")).await, ["digest/a", "digest/b", "digest/ä"].map(of));
    assert_eq!(list(ScheduleFilter::prefix("digest%")).await, ["digest%"].map(of));
    let mut all = Vec::new();
    loop {
        let filter = ScheduleFilter { after: all.last().cloned(), limit: 2, ..ScheduleFilter::default() };
        let page = list(filter).await;
        all.extend(page.iter().cloned());
        if page.len() < 2 {
            break;
        }
    }
    let mut expected = vec![("another".to_owned(), "hourly".to_owned())];
    expected.extend(["Digest/c", "digest%", "digest/a", "digest/b", "digest/ä", "sync/a"].map(of));
    assert_eq!(all, expected);
    let of_job = ScheduleFilter { job: Some("another".to_owned()), ..ScheduleFilter::default() };
    assert_eq!(list(of_job).await.len(), 1);
}

pub async fn what_is_wrong_with_a_schedule_is_refused_and_nothing_stored(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    let refused = async |new: NewSchedule| {
        let refused: Error = jobs.schedule_named(new).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rejected);
        refused.to_string()
    };
    assert!(refused(cron("x", "0 25 * * *", "UTC")).await.contains("column 3"));
    assert!(refused(cron("x", "0 8 * * *", "Europe/Atlantis")).await.contains("Europe/Atlantis"));
    assert!(refused(cron("x", "0 0 30 2 *", "UTC")).await.contains("never comes"));
    assert!(refused(every("x", ms(999))).await.contains("a second"));
    assert!(refused(cron(&"x".repeat(256), "0 8 * * *", "UTC")).await.contains("255"));
    assert!(refused(cron("", "0 8 * * *", "UTC")).await.contains("empty"));
    assert!(refused(cron("a\nb", "0 8 * * *", "UTC")).await.contains("control"));
    assert!(refused(NewSchedule { input: json("{"), ..hourly() }).await.contains("not JSON"));
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    assert!(refused(NewSchedule { input: json(&long), ..hourly() }).await.contains("limit"));
    assert!(refused(NewSchedule { missed: Missed::All(0), ..hourly() }).await.contains("missed"));
    assert!(refused(NewSchedule { jitter: DAY + ms(1), ..hourly() }).await.contains("jitter"));
    assert_eq!(names(&store).await, [""; 0]);
    for operation in [
        jobs.pause_schedule(DIGEST, "x", "ada", "").await,
        jobs.resume_schedule(DIGEST, "x").await,
        jobs.edit_schedule(cron("x", "0 8 * * *", "UTC"), "ada").await,
        jobs.backfill_schedule(DIGEST, "x", at(0), at(0), "ada").await,
    ] {
        assert_eq!(operation.unwrap_err().kind(), ErrorKind::NotFound);
    }
    jobs.remove_schedule(DIGEST, "x").await.unwrap();
}

/// A worker that prunes looks for it.
pub async fn a_tick_that_waits_for_a_run_that_is_gone_is_found(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    let found = store.schedule(DIGEST, "hourly").await.unwrap().unwrap();
    let mut write = write_of(&found, 7, at(0));
    write.run = None;
    write.row.as_mut().unwrap().wakes = true;
    store.write_schedules(vec![write]).await.unwrap();
    assert_eq!(due(&store).await.next_due, None);
    store.prune(riqle_jobs_core::Retention::FOREVER).await.unwrap();
    assert_eq!(due(&store).await.schedules.len(), 1);
}

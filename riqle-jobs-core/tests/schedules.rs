//! Schedules as applications write them, and as a running worker ticks them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use riqle_jobs_core::{
    ErrorKind, Job, JobError, JobFn, JobInput, Jobs, ManualClock, Memory, RunContext, Timestamp, Worker,
    schedule::{Missed, Overlap, Schedule},
    store::ScheduleFilter,
    testing,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize)]
struct SalesDigest {
    shop: u32,
}

impl JobInput for SalesDigest {
    const JOB: &'static str = "send-sales-digest";
}

struct SendDigest {
    sent: mpsc::UnboundedSender<(u32, Timestamp)>,
}

impl Job for SendDigest {
    type Input = SalesDigest;
    type Output = ();

    fn schedules(&self) -> Vec<Schedule<SalesDigest>> {
        let every_morning = Schedule::cron("every-morning", "0 8 * * 1-5", SalesDigest { shop: 1 });
        vec![every_morning.zone("Europe/Berlin").missed(Missed::All(2)).overlap(Overlap::Allow)]
    }

    async fn run(&self, run: &RunContext, input: SalesDigest) -> Result<(), JobError> {
        let tick = run.tick().ok_or_else(|| JobError::dead("no tick"))?;
        self.sent.send((input.shop, tick.at))?;
        Ok(())
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_job_declares_its_schedules_and_tests_move_from_tick_to_tick() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let (sent, mut digests) = mpsc::unbounded_channel();
    let worker = Worker::new(&store).register(SendDigest { sent });
    worker.run_until_idle().await.unwrap();
    testing::assert_scheduled::<SalesDigest>(&store, "every-morning", serde_json::json!({"shop": 1})).await;
    for _ in 0..3 {
        assert!(testing::advance_to_next_due(&store, &clock).await.unwrap().is_some());
        testing::work_through(&worker, &clock).await.unwrap();
    }
    let mut ticks = Vec::new();
    while let Ok((shop, tick)) = digests.try_recv() {
        ticks.push((shop, tick));
    }
    // The first of January is a Thursday.
    let expected = ["2026-01-01T07:00:00Z", "2026-01-02T07:00:00Z", "2026-01-05T07:00:00Z"];
    assert_eq!(ticks, expected.map(|tick| (1, time(tick))));
    let status = Jobs::new(&store).schedules(ScheduleFilter::default()).await.unwrap().remove(0);
    assert_eq!(status.state.rule.to_string(), "at 08:00 on weekdays, Europe/Berlin");
    let next = status.state.rule.next_after(clock.now(), 2).unwrap();
    assert_eq!(next, [time("2026-01-06T07:00:00Z"), time("2026-01-07T07:00:00Z")]);
}

#[tokio::test]
#[should_panic(expected = "no schedule \"every-evening\"")]
async fn a_schedule_that_is_not_there_is_told_with_those_that_are() {
    let store = Memory::new();
    testing::assert_scheduled::<SalesDigest>(&store, "every-evening", serde_json::json!({})).await;
}

#[tokio::test]
async fn a_running_worker_ticks_what_is_scheduled_while_it_runs() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let (jobs, (sent, mut digests)) = (Jobs::new(&store), mpsc::unbounded_channel());
    // Nothing is found by polling.
    let worker = Worker::new(&store).poll_interval(Duration::from_secs(3_600)).register(SendDigest { sent });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        worker
            .run_until(async {
                let _ = stopped.await;
            })
            .await
    });
    jobs.declare::<SalesDigest>().await.unwrap();
    let every = Schedule::every("shop-7", Duration::from_secs(600), SalesDigest { shop: 7 });
    jobs.schedule(every.starting(time("2026-01-01T00:05:00Z"))).await.unwrap();
    for minute in [5, 15, 25] {
        let tick = time(&format!("2026-01-01T00:{minute:02}:00Z"));
        // The worker sleeps until the clock is there, however late it is.
        tokio::task::yield_now().await;
        clock.advance(Duration::try_from(tick.duration_since(clock.now())).unwrap());
        let seen = tokio::time::timeout(Duration::from_secs(10), digests.recv()).await.unwrap();
        assert_eq!(seen, Some((7, tick)));
    }
    drop(stop);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_with_a_wrong_schedule_does_not_start() {
    let store = Memory::new();
    let job = |schedule: fn() -> Vec<Schedule<SalesDigest>>| {
        JobFn::new(|_: RunContext, _: SalesDigest| async { Ok(()) }).schedules(schedule)
    };
    let wrong = job(|| vec![Schedule::cron("digest", "0 8 * * MOM", SalesDigest { shop: 1 })]);
    let error = Worker::new(&store).register(wrong).run_until_idle().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("\"MOM\""), "{error}");
    let twice = job(|| {
        vec![
            Schedule::cron("digest", "0 8 * * *", SalesDigest { shop: 1 }),
            Schedule::cron("digest", "0 9 * * *", SalesDigest { shop: 1 }),
        ]
    });
    let error = Worker::new(&store).register(twice).run_until_idle().await.unwrap_err();
    assert!(error.to_string().contains("has two schedules \"digest\""), "{error}");
    let zone =
        Schedule::every("digest", Duration::from_secs(60), SalesDigest { shop: 1 }).zone("Europe/Berlin");
    let error = Jobs::new(&store).schedule(zone).await.unwrap_err();
    assert!(error.to_string().contains("an interval has no zone"), "{error}");
}

#[derive(Serialize, Deserialize)]
struct OfUser {
    user: Option<String>,
}

impl JobInput for OfUser {
    const JOB: &'static str = "of-user";
    const UNIQUE: Option<riqle_jobs_core::Unique> = Some(riqle_jobs_core::Unique::by("{user}"));
}

#[tokio::test]
async fn an_input_that_lacks_what_its_keys_are_made_of_is_refused_when_it_is_scheduled() {
    let jobs = Jobs::new(&Memory::new());
    let of = |user| Schedule::cron("x", "@daily", OfUser { user });
    let unknown = jobs.schedule(of(Some("ada".to_owned()))).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert!(unknown.to_string().contains("no job \"of-user\" is registered"), "{unknown}");
    jobs.declare::<OfUser>().await.unwrap();
    let refused = jobs.schedule(of(None)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert!(refused.to_string().contains("unique key"), "{refused}");
}

#[tokio::test]
async fn a_tick_whose_key_is_taken_is_counted_as_skipped() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let jobs = Jobs::new(&store);
    let input = || OfUser { user: Some("ada".to_owned()) };
    jobs.enqueue(input()).at(time("2027-01-01T00:00:00Z")).await.unwrap();
    jobs.declare::<OfUser>().await.unwrap();
    jobs.schedule(Schedule::cron("x", "@hourly", input())).await.unwrap();
    let worker = Worker::new(&store).register(JobFn::new(|_: RunContext, _: OfUser| async { Ok(()) }));
    clock.advance(Duration::from_secs(3_600));
    worker.run_until_idle().await.unwrap();
    let state = jobs.schedules(ScheduleFilter::prefix("x")).await.unwrap().remove(0).state;
    assert_eq!(state.skipped[&riqle_jobs_core::schedule::SkipReason::Unique], 1);
    assert_eq!(state.next, Some(time("2026-01-01T02:00:00Z")));
}

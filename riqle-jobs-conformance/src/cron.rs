//! Schedules: a run at each of their times, never two, none lost.

use riqle_jobs_core::{
    Enqueued, Payload, RunContext, RunState, Worker,
    schedule::{Missed, NewSchedule, Overlap, SkipReason, Tick},
    store::{DueRequest, ScheduleAnswer},
};

use crate::{
    Harness,
    given::{schedules::*, *},
};

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

pub async fn one_that_can_not_be_ticked_keeps_no_other(harness: &dyn Harness) {
    let store = harness.store();
    let digests = Digests::of(&store);
    made(&store, hourly()).await;
    made_of_atlantis(&store).await;

    for hour in ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"] {
        harness.clock().advance(HOUR);
        assert_eq!(digests.ended().await, [hour]);
    }
    // By a worker that can, before the tick counts as missed.
    let looked_at_again = at(2 * 3_600_000 + 10_000);
    let found = store.schedule(DIGEST, "of-atlantis").await.unwrap().unwrap();
    assert_eq!(found.row.due_at, Some(looked_at_again));
}

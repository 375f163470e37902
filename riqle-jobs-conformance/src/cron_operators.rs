//! What jobs, applications and operators do to schedules.

use riqle_jobs_core::{
    Error, ErrorKind, Jobs, ScheduleStatus,
    schedule::{MOST_BACKFILLED, Missed, NewSchedule, Overlap},
    store::{ScheduleAnswer, ScheduleFilter},
};

use crate::{
    Harness,
    given::{schedules::*, *},
};

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

pub async fn one_whose_zone_is_not_known_here_is_operated_all_the_same(harness: &dyn Harness) {
    let store = harness.store();
    let (jobs, digests) = (Jobs::new(&store), Digests::of(&store));
    made_of_atlantis(&store).await;
    let seen = status(&store, "of-atlantis").await;
    let as_it_is = NewSchedule::new(DIGEST, "of-atlantis", seen.state.rule.clone(), seen.input.clone());
    jobs.edit_schedule(NewSchedule { overlap: Overlap::Skip, ..as_it_is }, "ada").await.unwrap();
    assert_eq!(status(&store, "of-atlantis").await.state.overlap, Overlap::Skip);
    jobs.pause_schedule(DIGEST, "of-atlantis", "ada", "").await.unwrap();
    harness.clock().advance(HOUR * 3);
    jobs.resume_schedule(DIGEST, "of-atlantis").await.unwrap();
    assert_eq!(digests.ended().await, [""; 0]);

    jobs.edit_schedule(cron("of-atlantis", "0 * * * *", "UTC"), "ada").await.unwrap();
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

pub async fn a_pause_keeps_the_tick_that_waits_for_an_earlier_run(harness: &dyn Harness) {
    let store = harness.store();
    let (jobs, digests) = (Jobs::new(&store), Digests::of(&store));
    made(&store, hourly()).await;
    for _ in 0..2 {
        harness.clock().advance(HOUR);
        digests.sleep().await;
    }
    jobs.pause_schedule(DIGEST, "hourly", "ada", "").await.unwrap();
    store.run_now(status(&store, "hourly").await.live[0]).await.unwrap();
    assert_eq!(digests.ended().await, ["2026-01-01T01:00:00Z"]);
    harness.clock().advance(HOUR);
    jobs.resume_schedule(DIGEST, "hourly").await.unwrap();
    assert_eq!(digests.ended().await, ["2026-01-01T02:00:00Z"]);
}

pub async fn an_old_build_without_schedules_undoes_nothing_either(harness: &dyn Harness) {
    let store = harness.store();
    let old = Digests::of(&store);
    old.ended().await;
    harness.clock().advance(MINUTE);
    Digests::declaring(&store, vec![cron("new", "0 8 * * *", "UTC")]).ended().await;
    harness.clock().advance(MINUTE);
    Digests::of(&store).ended().await;
    assert_eq!(names(&store).await, ["new"]);
}

pub async fn a_rule_that_is_over_is_refused_unless_the_code_declares_it(harness: &dyn Harness) {
    let store = harness.store();
    let over = || cron("over", "0 0 0 1 1 * 2020", "UTC");
    Digests::declaring(&store, vec![over()]).ended().await;
    assert_eq!(status(&store, "over").await.state.next, None);
    let jobs = Jobs::new(&store);
    let refused =
        jobs.schedule_named(NewSchedule { name: "another".to_owned(), ..over() }).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert!(refused.to_string().contains("never comes"), "{refused}");
}

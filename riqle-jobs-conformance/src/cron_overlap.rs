//! Schedules whose earlier run has not ended when a tick is due.

use std::time::Duration;

use riqle_jobs_core::{
    Hint, Jobs, NewRun, OtherInput, Replay, Retention, RunId, RunState, UniqueKey, UniqueScope,
    schedule::{NewSchedule, Overlap, SkipReason},
    store::{AT_ONCE, LIVE_RUNS_READ, ScheduleAnswer, ScheduleWrite},
};

use crate::{
    Harness,
    given::{schedules::*, *},
};

pub async fn the_end_of_a_run_changes_a_schedule_that_waits_for_it(harness: &dyn Harness) {
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
    assert!(matches!(hints.next().await, Hint::Schedules(_)), "workers are told");
}

/// It would wait for ever.
pub async fn a_schedule_begins_to_wait_only_while_the_run_lives(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    harness.clock().advance(HOUR);
    let found = due(&store).await.schedules.remove(0);
    store.write_schedules(vec![write_of(&found, 7, at(3_600_000))]).await.unwrap();
    let before = store.schedule(DIGEST, "hourly").await.unwrap().unwrap();
    let claim = store.claim(claim_of(&[DIGEST], 1)).await.unwrap().runs.remove(0);
    assert_eq!(before.live, [claim.lease.run]);
    settled(&*store, succeeds(&claim)).await;

    let mut waits = ScheduleWrite { run: None, ..write_of(&before, 8, at(0)) };
    waits.row.as_mut().unwrap().wakes = true;
    let answers = store.write_schedules(vec![waits.clone()]).await.unwrap();
    assert_eq!(answers, [ScheduleAnswer::Stale]);
    let found = store.schedule(DIGEST, "hourly").await.unwrap().unwrap();
    assert_eq!(
        (found.version, found.row.wakes, found.live.len()),
        (7, false, 0),
        "it did not wait for the run"
    );
    let does_not_wait = ScheduleWrite { live: Vec::new(), ..waits.clone() };
    for written in [does_not_wait, waits] {
        let answers = store.write_schedules(vec![written]).await.unwrap();
        assert_eq!(answers, [ScheduleAnswer::Written(None)], "what is there by now was written before");
    }
}

/// Other workers look at it when it was due; they need not be told.
pub async fn a_tick_that_starts_a_run_tells_of_the_run_alone(harness: &dyn Harness) {
    let store = harness.store();
    made(&store, hourly()).await;
    harness.clock().advance(HOUR);
    let told = async |version: u64, has_run: bool, is_at_once: bool| {
        let found = store.schedule(DIGEST, "hourly").await.unwrap().unwrap();
        let mut write = write_of(&found, version, at(version.cast_signed() * 3_600_000));
        write.run = write.run.filter(|_| has_run);
        write.row.as_mut().unwrap().due_at = is_at_once.then_some(AT_ONCE);
        let mut hints = store.wake_ups();
        store.write_schedules(vec![write]).await.unwrap();
        std::iter::from_fn(|| hints.try_next()).any(|hint| hint == Hint::Schedules(Some(QUEUE.to_owned())))
    };
    assert!(!told(7, true, false).await);
    assert!(told(8, true, true).await, "of one that is due at once again");
    assert!(told(9, false, false).await, "of one that has changed");
}

pub async fn runs_that_end_together_change_the_schedule_of_each_once(harness: &dyn Harness) {
    let store = harness.store();
    let names: Vec<String> = (0..10).map(|number| format!("of {number}")).collect();
    for name in &names {
        made(&store, NewSchedule { name: name.clone(), ..hourly() }).await;
    }
    harness.clock().advance(HOUR);
    let found = due(&store).await.schedules;
    let mut writes: Vec<_> = found.iter().map(|found| write_of(found, 7, at(3_600_000))).collect();
    writes.iter_mut().for_each(|write| write.row.as_mut().unwrap().wakes = true);
    store.write_schedules(writes).await.unwrap();
    let claimed = store.claim(claim_of(&[DIGEST], names.len())).await.unwrap().runs;
    assert_eq!(claimed.len(), names.len());
    store.settle(claimed.iter().map(succeeds).collect()).await.unwrap();
    for name in &names {
        let found = store.schedule(DIGEST, name).await.unwrap().unwrap();
        assert_eq!((found.version, found.live.len()), (8, 0), "{name}");
    }
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
    store.prune(Retention::FOREVER).await.unwrap();
    assert_eq!(due(&store).await.schedules.len(), 1);
}

pub async fn more_earlier_runs_than_are_read_at_once_are_all_cancelled(harness: &dyn Harness) {
    let store = harness.store();
    let (jobs, digests) = (Jobs::new(&store), Digests::of(&store));
    made(&store, NewSchedule { overlap: Overlap::CancelEarlier, ..hourly() }).await;
    for _ in 0..=LIVE_RUNS_READ {
        jobs.trigger_schedule(DIGEST, "hourly").await.unwrap();
    }
    digests.sleep().await;
    harness.clock().advance(HOUR);
    assert_eq!(digests.ended().await, ["2026-01-01T01:00:00Z"]);
    assert!(status(&store, "hourly").await.live.is_empty());
}

//! Events: the first one under an id wins.

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{
    Jobs, Retention, Run, RunFilter, RunId, RunState, Store,
    store::{EventEffect, EventRun, NewEvent, StoredEvent},
};

use crate::{Harness, given::*};

pub(crate) fn event(id: &str, data: &str) -> NewEvent {
    NewEvent::new(id, "user/created", json(data))
}

/// 35 days.
pub(crate) const LONG: Duration = Duration::from_secs(35 * 24 * 3600);

/// An event that its sender may repeat for weeks.
pub(crate) fn kept_long(id: &str, data: &str) -> NewEvent {
    NewEvent { id_kept: LONG, ..event(id, data) }
}

/// An event as it is stored, with the number of its runs.
pub(crate) type Kept = (NewEvent, Timestamp, usize);

pub(crate) fn kept(event: NewEvent, millis: i64, runs: usize) -> Kept {
    (event, at(millis), runs)
}

pub(crate) fn counted(stored: Vec<StoredEvent>) -> Vec<Kept> {
    stored.into_iter().map(|stored| (stored.event, stored.received_at, stored.runs.len())).collect()
}

/// What is noted of so many jobs that an event has started.
pub(crate) fn noted(jobs: u32) -> Vec<EventRun> {
    let run = |number: u32| EventRun {
        job: format!("greet-{number}"),
        run: RunId::from_uuid(uuid::Uuid::from_u128(number.into())),
        effect: EventEffect::Started,
        lacking: Vec::new(),
    };
    (0..jobs).map(run).collect()
}

/// Every run, the first one first.
pub(crate) async fn runs(store: &dyn Store) -> Vec<Run> {
    let mut runs = store.runs(RunFilter::all().limit(1000)).await.unwrap();
    runs.reverse();
    runs
}

pub async fn an_event_is_stored_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    let later = NewEvent { due_at: Some(at(60_000)), trace: trace(), ..event("evt_2", r#"{"user":7}"#) };
    harness.clock().advance(ms(5));

    let answers = store.store_events(vec![event("evt_1", "1"), later.clone()]).await.unwrap();

    assert_eq!(counted(answers.clone()), [kept(event("evt_1", "1"), 5, 0), kept(later, 5, 0)]);
    let names = vec!["user/created".to_owned()];
    assert_eq!(harness.second_handle().await.idle_events(names, 10).await.unwrap(), answers);
}

pub async fn a_known_event_id_keeps_the_first(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    harness.clock().advance(secs(1));

    let other = NewEvent { name: "user/deleted".to_owned(), ..event("evt_1", "2") };
    let answers = store.store_events(vec![event("evt_0", "0"), other]).await.unwrap();

    assert_eq!(counted(answers), [kept(event("evt_0", "0"), 1000, 0), kept(event("evt_1", "1"), 0, 0)]);
}

pub async fn an_event_id_twice_in_a_list_keeps_the_first(harness: &dyn Harness) {
    let store = harness.store();

    let answers = store.store_events(vec![event("evt_1", "1"), event("evt_1", "2")]).await.unwrap();

    assert_eq!(counted(answers), [kept(event("evt_1", "1"), 0, 0), kept(event("evt_1", "1"), 0, 0)]);
}

pub async fn a_started_event_says_so_when_it_comes_again(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    store.mark_started("evt_1", noted(2)).await.unwrap();
    store.mark_started("evt_1", noted(2)).await.unwrap();
    store.mark_started("never-sent", noted(1)).await.unwrap();

    let answers = store.store_events(vec![event("evt_1", "1")]).await.unwrap();

    assert_eq!(answers[0].runs, noted(2));
    assert_eq!(counted(answers), [kept(event("evt_1", "1"), 0, 2)]);
}

pub async fn an_event_id_is_free_again_after_24_hours(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    store.mark_started("evt_1", noted(1)).await.unwrap();

    harness.clock().advance(ms(24 * 3_600_000 - 1));
    let early = store.store_events(vec![event("evt_1", "2")]).await.unwrap();
    harness.clock().advance(ms(1));
    let late = store.store_events(vec![event("evt_1", "3")]).await.unwrap();

    assert_eq!(counted(early), [kept(event("evt_1", "1"), 0, 1)]);
    assert_eq!(counted(late.clone()), [kept(event("evt_1", "3"), 24 * 3_600_000, 0)]);
    assert_eq!(store.idle_events(vec!["user/created".to_owned()], 10).await.unwrap(), late);
}

pub async fn an_event_id_is_kept_for_as_long_as_its_event_says(harness: &dyn Harness) {
    let store = harness.store();
    let later = NewEvent { due_at: Some(at(60_000)), ..kept_long("evt_1", "1") };
    store.store_events(vec![later.clone(), event("evt_2", "1")]).await.unwrap();
    store.mark_started("evt_1", noted(1)).await.unwrap();

    harness.clock().advance(LONG - ms(1));
    // What counts is what the first one said.
    let early = store.store_events(vec![event("evt_1", "2"), kept_long("evt_2", "2")]).await.unwrap();
    harness.clock().advance(ms(1));
    let late = store.store_events(vec![event("evt_1", "3")]).await.unwrap();

    let millis = i64::try_from(LONG.as_millis()).unwrap();
    assert_eq!(counted(early.clone()), [kept(later, 0, 1), kept(kept_long("evt_2", "2"), millis - 1, 0)]);
    assert_eq!(counted(late.clone()), [kept(event("evt_1", "3"), millis, 0)]);
    let idle = harness.second_handle().await.idle_events(vec!["user/created".to_owned()], 10).await.unwrap();
    assert_eq!(idle, [early[1].clone(), late[0].clone()]);
}

pub async fn a_kept_event_id_starts_nothing_though_its_event_and_its_run_were_pruned(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    let sent_on_day = async |day: u32| {
        let now = store.now().await.unwrap();
        let from_start = now.duration_since(at(0));
        let day = Duration::from_secs(24 * 3600) * day;
        harness.clock().advance(day - Duration::try_from(from_start).unwrap());
        store.register_jobs(vec![greets_new_users()]).await.unwrap();
        store.prune(Retention::default()).await.unwrap();
        jobs.send_events(vec![kept_long("evt_1", "1")]).await.unwrap();
        runs(&*store).await
    };
    assert_eq!(sent_on_day(0).await.len(), 1);
    settled(&*store, succeeds(&claimed(&*store).await)).await;

    assert_eq!(sent_on_day(2).await.len(), 1);
    for day in [9, 20, 34] {
        assert_eq!(sent_on_day(day).await, [], "day {day}");
    }
    let again = sent_on_day(42).await;
    assert_eq!((again.len(), again[0].state), (1, RunState::Pending));
}

pub async fn idle_events_are_those_that_started_nothing_oldest_first(harness: &dyn Harness) {
    let store = harness.store();
    let other = NewEvent { name: "user/deleted".to_owned(), ..event("evt_d", "4") };
    for event in [event("evt_c", "1"), event("evt_b", "2"), other.clone(), event("evt_a", "3")] {
        store.store_events(vec![event]).await.unwrap();
        harness.clock().advance(ms(1));
    }
    store.mark_started("evt_b", noted(1)).await.unwrap();
    let idle = async |names: &[&str], limit| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let events = store.idle_events(names, limit).await.unwrap();
        events.into_iter().map(|stored| stored.event.id).collect::<Vec<_>>()
    };

    assert_eq!(idle(&["user/created"], 10).await, ["evt_c", "evt_a"]);
    assert_eq!(idle(&["user/created", "user/deleted"], 10).await, ["evt_c", "evt_d", "evt_a"]);
    assert_eq!(idle(&["user/created", "user/deleted"], 2).await, ["evt_c", "evt_d"]);
    assert!(idle(&["user/never"], 10).await.is_empty());
    assert!(idle(&[], 10).await.is_empty());
}

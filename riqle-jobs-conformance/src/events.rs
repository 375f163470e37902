//! Events: the first one under an id wins.

use riqle_jobs_core::{
    Jobs, Payload, Priority, RunFilter, RunState,
    store::{JobDeclaration, NewEvent, StoredEvent},
};

use crate::{Harness, given::*};

fn event(id: &str, data: &str) -> NewEvent {
    NewEvent { id: id.to_owned(), name: "user/created".to_owned(), data: json(data), due_at: None }
}

fn kept(event: NewEvent, millis: i64, started: u32) -> StoredEvent {
    StoredEvent { event, received_at: at(millis), started }
}

fn greets_new_users() -> JobDeclaration {
    JobDeclaration {
        name: GREET.to_owned(),
        queue: QUEUE.to_owned(),
        priority: Priority::DEFAULT,
        trigger: Some("user/created".to_owned()),
        policy: None,
    }
}

pub async fn an_event_is_stored_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    let later = NewEvent { due_at: Some(at(60_000)), ..event("evt_2", r#"{"user":7}"#) };
    harness.clock().advance(ms(5));

    let answers = store.store_events(vec![event("evt_1", "1"), later.clone()]).await.unwrap();

    let expected = [kept(event("evt_1", "1"), 5, 0), kept(later, 5, 0)];
    assert_eq!(answers, expected);
    let names = vec!["user/created".to_owned()];
    assert_eq!(harness.second_handle().await.idle_events(names, 10).await.unwrap(), expected);
}

pub async fn a_known_event_id_keeps_the_first(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    harness.clock().advance(secs(1));

    let other = NewEvent { name: "user/deleted".to_owned(), ..event("evt_1", "2") };
    let answers = store.store_events(vec![event("evt_0", "0"), other]).await.unwrap();

    assert_eq!(answers, [kept(event("evt_0", "0"), 1000, 0), kept(event("evt_1", "1"), 0, 0)]);
}

pub async fn an_event_id_twice_in_a_list_keeps_the_first(harness: &dyn Harness) {
    let store = harness.store();

    let answers = store.store_events(vec![event("evt_1", "1"), event("evt_1", "2")]).await.unwrap();

    assert_eq!(answers, [kept(event("evt_1", "1"), 0, 0), kept(event("evt_1", "1"), 0, 0)]);
}

pub async fn a_started_event_says_so_when_it_comes_again(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    store.mark_started("evt_1", 2).await.unwrap();
    store.mark_started("evt_1", 2).await.unwrap();
    store.mark_started("never-sent", 1).await.unwrap();

    let answers = store.store_events(vec![event("evt_1", "1")]).await.unwrap();

    assert_eq!(answers, [kept(event("evt_1", "1"), 0, 2)]);
}

pub async fn an_event_id_is_free_again_after_24_hours(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    store.mark_started("evt_1", 1).await.unwrap();

    harness.clock().advance(ms(24 * 3_600_000 - 1));
    let early = store.store_events(vec![event("evt_1", "2")]).await.unwrap();
    harness.clock().advance(ms(1));
    let late = store.store_events(vec![event("evt_1", "3")]).await.unwrap();

    assert_eq!(early, [kept(event("evt_1", "1"), 0, 1)]);
    let expected = [kept(event("evt_1", "3"), 24 * 3_600_000, 0)];
    assert_eq!(late, expected);
    assert_eq!(store.idle_events(vec!["user/created".to_owned()], 10).await.unwrap(), expected);
}

pub async fn idle_events_are_those_that_started_nothing_oldest_first(harness: &dyn Harness) {
    let store = harness.store();
    let other = NewEvent { name: "user/deleted".to_owned(), ..event("evt_d", "4") };
    for event in [event("evt_c", "1"), event("evt_b", "2"), other.clone(), event("evt_a", "3")] {
        store.store_events(vec![event]).await.unwrap();
        harness.clock().advance(ms(1));
    }
    store.mark_started("evt_b", 1).await.unwrap();
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

pub async fn f16_an_event_that_comes_many_times_at_once_starts_one_run(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await, harness.second_handle().await];
    handles[0].register_jobs(vec![greets_new_users()]).await.unwrap();

    let sent = at_once(24, |number| {
        let jobs = Jobs::new(&handles[number % handles.len()]);
        // Each delivery has bytes of its own; the first one wins.
        async move { jobs.send_events(vec![event("evt_1", &number.to_string())]).await.unwrap() }
    })
    .await;

    assert!(sent.iter().all(|ids| *ids == ["evt_1"]), "{sent:?}");
    let runs = handles[0].runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    let stored = handles[0].store_events(vec![event("evt_1", "")]).await.unwrap().remove(0);
    assert_eq!((&stored.event.data, stored.started), (&runs[0].input, 1));
    assert_eq!(runs[0].event_id.as_deref(), Some("evt_1"));
}

pub async fn f16_an_event_that_comes_again_after_its_run_ended_starts_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    store.register_jobs(vec![greets_new_users()]).await.unwrap();
    jobs.send_events(vec![event("evt_1", "1")]).await.unwrap();
    let claim = claimed(&*store).await;
    settled(&*store, succeeds(&claim)).await;

    harness.clock().advance(secs(3600));
    jobs.send_events(vec![event("evt_1", "1"), event("evt_1", "2")]).await.unwrap();

    let runs = store.runs(RunFilter::default()).await.unwrap();
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Succeeded));
    let expected: (Payload, Option<&str>) = (json("1"), Some("evt_1"));
    assert_eq!((claim.input, claim.event_id.as_deref()), expected);
}

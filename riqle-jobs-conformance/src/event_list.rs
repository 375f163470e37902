//! What operators see of events.

use riqle_jobs_core::{
    Key, NewRun, RunId, Unique,
    store::{
        EventEffect, EventFilter, EventRun, EventStart, JobDeclaration, JobRule, JobRules, LackingPath,
        ListedEvent, NewEvent,
    },
};

use crate::{Harness, given::*};

/// Stores events of these names, a millisecond apart: `evt_0` and so on.
async fn sent(harness: &dyn Harness, names: &[&str]) {
    for (number, name) in names.iter().enumerate() {
        let event = NewEvent::new(format!("evt_{number}"), *name, json("1"));
        harness.store().store_events(vec![event]).await.unwrap();
        harness.clock().advance(ms(1));
    }
}

/// The ids that another handle lists.
async fn listed(harness: &dyn Harness, filter: EventFilter) -> Vec<String> {
    let events = harness.second_handle().await.events(filter).await.unwrap();
    events.into_iter().map(|event| event.id).collect()
}

pub async fn events_come_in_pages_the_newest_first(harness: &dyn Harness) {
    sent(harness, &["a"; 5]).await;

    assert_eq!(listed(harness, EventFilter::all()).await, ["evt_4", "evt_3", "evt_2", "evt_1", "evt_0"]);
    assert_eq!(listed(harness, EventFilter::all().limit(2)).await, ["evt_4", "evt_3"]);
    assert_eq!(listed(harness, EventFilter::all().limit(2).before("evt_3")).await, ["evt_2", "evt_1"]);
    assert_eq!(listed(harness, EventFilter::all().limit(2).before("evt_1")).await, ["evt_0"]);
    assert!(listed(harness, EventFilter::all().before("evt_0")).await.is_empty());
    assert!(listed(harness, EventFilter::all().before("gone")).await.is_empty());
}

pub async fn events_are_found_by_their_id_and_their_name(harness: &dyn Harness) {
    sent(harness, &["a", "b", "a", "b"]).await;

    assert_eq!(listed(harness, EventFilter::all().id("evt_1")).await, ["evt_1"]);
    assert_eq!(listed(harness, EventFilter::all().name("a")).await, ["evt_2", "evt_0"]);
    assert_eq!(listed(harness, EventFilter::all().name("b").limit(1)).await, ["evt_3"]);
    assert_eq!(listed(harness, EventFilter::all().name("b").before("evt_3")).await, ["evt_1"]);
    assert!(listed(harness, EventFilter::all().name("a").id("evt_1")).await.is_empty());
    assert!(listed(harness, EventFilter::all().id("gone")).await.is_empty());
}

pub async fn an_event_is_listed_with_what_became_of_it(harness: &dyn Harness) {
    let store = harness.store();
    let rules = JobRules { unique: Some(Unique::by("greet:{user}")), reference: Some(Key::by("{order.id}")) };
    let greets = JobDeclaration { rules, ..greets_new_users() };
    let holder = NewRun::named(GREET, json("7")).queue(QUEUE).unique("greet:ada");
    let holder = enqueued(&*store, holder).await;
    let starts = [("evt_0", r#"{"user":"ada"}"#), ("evt_1", r#"{"user":"grace"}"#)].map(|(id, data)| {
        EventStart { event: NewEvent::new(id, "user/created", json(data)), jobs: vec![greets.clone()] }
    });
    let mut expected = Vec::new();
    for start in starts {
        let stored = store.start_events(vec![start]).await.unwrap().remove(0);
        let (id, name) = (stored.event.id, stored.event.name);
        expected.insert(0, ListedEvent { id, name, received_at: stored.received_at, runs: stored.runs });
        harness.clock().advance(ms(1));
    }

    let listed = harness.second_handle().await.events(EventFilter::all()).await.unwrap();

    assert_eq!(listed, expected);
    let run = |run: RunId, effect, lacking| EventRun { job: GREET.to_owned(), run, effect, lacking };
    let lacking = vec![LackingPath { rule: JobRule::Reference, path: "order.id".to_owned() }];
    assert_eq!(listed[0].runs, [run(listed[0].runs[0].run, EventEffect::Started, lacking)]);
    assert_eq!(listed[1].runs, [run(holder, EventEffect::Joined, Vec::new())]);
}

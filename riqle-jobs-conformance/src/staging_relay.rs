//! What a relay moves from a staging into a store.

use riqle_jobs_core::{Inspect, Memory, NewRun, Queue, Registry, Relay, RunFilter, store::StagingStatus};

use super::staging::{committed, event};
use crate::{StagingHarness, TransactionEnd::*, given::*};

pub async fn f18_what_was_staged_arrives_once_and_leaves_nothing_behind(harness: &dyn StagingHarness) {
    let store = Memory::with_clock(harness.clock());
    store.register_jobs(vec![greets_new_users()]).await.unwrap();
    let elsewhere = NewRun { queue: "reports".to_owned(), ..run_of("bill") };
    let staged =
        vec![run_of(GREET).unique("ada").reference("order-7"), elsewhere, run_of(GREET).unique("ada")];
    let _ = harness.stage(staged.clone(), vec![event("evt_1"), event("evt_2")], Commit).await.unwrap();
    // Once more, before and after it has arrived: as after a commit whose answer was lost.
    let _ = harness.stage(staged.clone(), vec![event("evt_1")], Commit).await.unwrap();

    for _ in 0..2 {
        Relay::new(&harness.staging(), &store).run_until_idle().await.unwrap();
        let _ = harness.stage(staged.clone(), vec![event("evt_1")], Commit).await.unwrap();
    }
    Relay::new(&harness.second_staging().await, &store).run_until_idle().await.unwrap();

    let runs = store.runs(RunFilter::default()).await.unwrap();
    let mut started: Vec<_> = runs.iter().filter_map(|run| run.event_id.as_deref()).collect();
    started.sort_unstable();
    assert_eq!((runs.len(), started), (4, vec!["evt_1", "evt_2"]));
    let first = store.run(staged[0].id).await.unwrap().unwrap();
    assert_eq!((first.reference.as_deref(), first.unique_key.as_deref()), (Some("order-7"), Some("ada")));
    assert!(store.run(staged[1].id).await.unwrap().is_some());
    // Its key was held, so it has joined the holder.
    assert!(store.run(staged[2].id).await.unwrap().is_none());
    assert_eq!(harness.staging().staging_status().await.unwrap(), StagingStatus::default());
}

pub async fn a_delay_counts_from_the_staging(harness: &dyn StagingHarness) {
    // The other store's clock shows another time.
    let clock = riqle_jobs_core::ManualClock::starting_at(at(86_400_000));
    let store = Memory::with_clock(&clock);
    let staged = [run_of(GREET).delay(secs(60)), run_of(GREET).delay(secs(5)), run_of(GREET).at(at(7))];
    committed(harness, &staged).await;
    harness.clock().advance(ms(10_001));

    Relay::new(&harness.staging(), &store).run_until_idle().await.unwrap();

    let mut due = Vec::new();
    for run in &staged {
        due.push(store.run(run.id).await.unwrap().unwrap().due_at);
    }
    assert_eq!(due, [at(86_400_000 + 49_999), at(86_400_000), at(7)]);
}

pub async fn of_several_relays_at_once_each_item_is_moved_once(harness: &dyn StagingHarness) {
    let store = Memory::with_clock(harness.clock());
    let staged: Vec<NewRun> =
        (0..1200).map(|number| NewRun { queue: format!("queue-{}", number % 3), ..run_of(GREET) }).collect();
    committed(harness, &staged).await;
    let handles = [harness.staging(), harness.second_staging().await];

    at_once(4, |number| {
        let relay = Relay::new(&handles[number % 2], &store);
        async move { relay.run_until_idle().await.unwrap() }
    })
    .await;

    let counts = store.counts().await.unwrap();
    assert_eq!(counts.iter().map(|count| count.runs).sum::<u64>(), 1200);
    for run in &staged {
        assert!(store.run(run.id).await.unwrap().is_some());
    }
    assert_eq!(handles[1].staging_status().await.unwrap(), StagingStatus::default());
    assert!(!store.enqueue(vec![staged[0].clone()]).await.unwrap()[0].is_new());
}

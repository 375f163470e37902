//! What is staged arrives once, whatever befalls either side.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use riqle_jobs_conformance::{
    Effect, Fault, Intercepted, Interceptor, MemoryStaging, Unreliable, UnreliableStaging,
};
use riqle_jobs_core::{
    Clock, Error, Inspect, Limits, ManualClock, Memory, NewRun, Payload, Priority, Queue, Registry, Relay,
    RunFilter, Shutdown, Staging, Store, async_trait,
    store::{JobDeclaration, JobRules, NewEvent, Staged, StagingStatus},
};

fn run_in(queue: &str) -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap()).queue(queue)
}

fn of_runs(runs: &[NewRun]) -> Vec<Staged> {
    runs.iter().map(|run| Staged::run(run.clone()).unwrap()).collect()
}

async fn has_arrived(store: &Memory, run: &NewRun) -> bool {
    store.run(run.id).await.unwrap().is_some()
}

async fn is_empty(staging: &MemoryStaging) -> bool {
    staging.staging_status().await.unwrap() == StagingStatus::default()
}

/// Of seven calls two fail, one on each side of its effect, in no order that a round could keep step with.
fn now_and_then() -> impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static {
    let calls = AtomicU64::new(0);
    move |_| match calls.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 7 {
        2 => Some(Fault::Before),
        5 => Some(Fault::After),
        _ => None,
    }
}

/// F18
#[tokio::test]
async fn each_item_arrives_once_though_calls_fail_on_both_sides_before_and_after_their_effect() {
    let (memory, staged) = (Memory::new(), MemoryStaging::new(Clock::Server));
    let greets = JobDeclaration {
        name: "greet".to_owned(),
        queue: "mail".to_owned(),
        priority: Priority::DEFAULT,
        trigger: Some("user/created".to_owned()),
        policy: None,
        rules: JobRules::default(),
    };
    memory.register_jobs(vec![greets]).await.unwrap();
    let runs: Vec<NewRun> = (0..900).map(|number| run_in(&format!("queue-{}", number % 3))).collect();
    let event =
        |number| NewEvent::new(format!("evt_{number}"), "user/created", Payload::json(&number).unwrap());
    let events = (0..3).map(|number| Staged::event(event(number)).unwrap());
    staged.stage(of_runs(&runs).into_iter().chain(events).collect()).fire();
    let store = Unreliable::new(Arc::new(memory.clone()), now_and_then());
    let staging = UnreliableStaging::new(Arc::new(staged.clone()), now_and_then());

    Relay::new(&staging, &store)
        .run_until(async {
            while !is_empty(&staged).await {
                // The relay works in between.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();

    let stored = memory.runs(RunFilter::all().limit(2000)).await.unwrap();
    assert_eq!(stored.len(), 903);
    assert_eq!(stored.iter().filter(|run| run.event_id.is_some()).count(), 3);
    for run in &runs {
        assert!(has_arrived(&memory, run).await);
    }
}

#[tokio::test]
async fn what_is_refused_is_kept_aside_with_its_error_and_its_neighbours_arrive() {
    let limits = Limits { input_bytes: 20, group_runs: 7, ..Limits::default() };
    let (store, staging) = (Memory::new().with_limits(limits), MemoryStaging::new(Clock::Server));
    let with_input = |text: &str| NewRun::named("greet", Payload::json(text).unwrap()).queue("mail");
    store.enqueue(vec![with_input("Ada").unique("taken")]).await.unwrap();
    let mut runs: Vec<NewRun> = (0..100).map(|_| run_in("mail")).collect();
    runs[0] = with_input("Grace").unique("taken");
    runs[50] = with_input("longer than twenty bytes");
    runs[51] = with_input("Ada").unique("twice");
    runs[99] = with_input("Grace").unique("twice");
    let mut items = of_runs(&runs);
    items.push(Staged { head: "{".to_owned(), ..Staged::run(run_in("mail")).unwrap() });
    staging.stage(items).fire();

    Relay::new(&staging, &store).run_until_idle().await.unwrap();

    let refused = staging.refused_staged(10, None).await.unwrap();
    let errors: Vec<&str> = refused.iter().map(|refused| refused.error.as_str()).collect();
    let holder = store.runs(RunFilter::all().unique_key("taken"));
    let conflict = |key: &str, id| {
        format!(
            "enqueue: unique key {key:?} of job \"greet\" is taken by run {id} with another input (item 0)"
        )
    };
    assert_eq!(
        errors,
        [
            &conflict("taken", holder.await.unwrap()[0].id),
            "enqueue: input has 26 bytes; the limit is 20 (item 0)",
            &conflict("twice", runs[51].id),
            "read: a staged item can't be read",
        ]
    );
    assert_eq!(staging.staging_status().await.unwrap().waiting, 0);
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(has_arrived(&store, run).await, ![0, 50, 99].contains(&number), "{number}");
    }
}

#[tokio::test]
async fn a_queue_that_is_away_holds_no_other_up() {
    let (memory, staging) = (Memory::new(), MemoryStaging::new(Clock::Server));
    // More than are moved at once stand before the other.
    let runs: Vec<_> = (0..601).map(|number| run_in(if number < 600 { "a" } else { "b" })).collect();
    staging.stage(of_runs(&runs)).fire();
    let enqueues = AtomicU64::new(0);
    let store = Unreliable::new(Arc::new(memory.clone()), move |operation| {
        let is_first = operation == "enqueue" && enqueues.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then_some(Fault::Before)
    });
    let relay = Relay::new(&staging, &store);

    relay.run_until_idle().await.unwrap_err();
    assert_eq!([has_arrived(&memory, &runs[0]).await, has_arrived(&memory, &runs[600]).await], [false, true]);
    relay.run_until_idle().await.unwrap();
    assert!(has_arrived(&memory, &runs[0]).await && is_empty(&staging).await);
}

/// F02
#[tokio::test]
async fn a_relay_outlives_both_stores_and_a_delay_goes_on_meanwhile() {
    let clock = ManualClock::new();
    let (memory, staged) = (Memory::with_clock(&clock), MemoryStaging::new(&clock));
    let run = run_in("mail").delay(Duration::from_secs(60));
    staged.stage(of_runs(std::slice::from_ref(&run))).fire();
    let away = Arc::new([AtomicBool::new(true), AtomicBool::new(true)]);
    let is_away = |side: usize| {
        let away = Arc::clone(&away);
        move |_| away[side].load(Ordering::SeqCst).then_some(Fault::Before)
    };
    let staging = UnreliableStaging::new(Arc::new(staged.clone()), is_away(0));
    let store = Unreliable::new(Arc::new(memory.clone()), is_away(1));

    Relay::new(&staging, &store)
        .run_until(async {
            for away in away.iter() {
                // Long enough for several refused calls.
                tokio::time::sleep(Duration::from_millis(200)).await;
                assert!(!has_arrived(&memory, &run).await);
                clock.advance(Duration::from_secs(20));
                away.store(false, Ordering::SeqCst);
            }
            while !is_empty(&staged).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();

    let due_at = memory.run(run.id).await.unwrap().unwrap().due_at;
    assert_eq!(due_at.duration_since(clock.now()).as_secs(), 20);
}

#[tokio::test]
async fn a_wake_moves_at_once_what_polling_would_find_later() {
    for (poll, is_fired) in [(Duration::from_secs(3600), true), (Duration::from_millis(5), false)] {
        let (store, staging) = (Memory::new(), MemoryStaging::new(Clock::Server));
        let relay = Relay::new(&staging, &store).poll_interval(poll);
        relay
            .run_until(async {
                // Several, so that it has begun to wait between them.
                for _ in 0..5 {
                    let run = run_in("mail");
                    let wake = staging.stage(of_runs(std::slice::from_ref(&run)));
                    if is_fired {
                        wake.fire();
                    }
                    while !has_arrived(&store, &run).await {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            })
            .await
            .unwrap();
    }
}

/// F32
#[tokio::test]
async fn a_relay_that_is_stopped_has_finished_what_it_had_taken() {
    let (store, staging) = (Memory::new(), MemoryStaging::new(Clock::Server));
    for _ in 0..20 {
        staging.stage(of_runs(&vec![run_in("mail"); 3])).fire();
        let hints = store.wake_ups();
        Relay::new(&staging, &store)
            .run_until(async move {
                // In the middle of a round: the runs have arrived.
                let mut hints = hints;
                hints.next().await;
            })
            .await
            .unwrap();
        assert!(is_empty(&staging).await);
    }
}

/// Its calls never end.
#[derive(Clone)]
struct Hangs(Arc<dyn Store>);

#[async_trait]
impl Interceptor for Hangs {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    async fn call<T, A, F>(&self, _operation: &'static str, _effect: Effect, _call: F) -> Result<T, Error>
    where
        T: Send,
        A: Future<Output = Result<T, Error>> + Send,
        F: Fn() -> A + Send + Sync,
    {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_stopped_waits_five_seconds_for_a_store_that_hangs_and_at_once_not_at_all() {
    for (stop, seconds) in [(Shutdown::stop as fn(&Shutdown), 5), (Shutdown::stop_now, 0)] {
        let (staging, shutdown) = (MemoryStaging::new(Clock::Server), Shutdown::new());
        staging.stage(of_runs(&[run_in("mail")])).fire();
        let relay = Relay::new(&staging, &Intercepted(Hangs(Arc::new(Memory::new()))));
        let begun = tokio::time::Instant::now();

        let (stopped, ()) = tokio::join!(relay.run_with(&shutdown), async { stop(&shutdown) });

        stopped.unwrap();
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
}

//! What a store owes when the machine's clock is set, also between two processes and across a boot.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, Claimed, Database, DatabaseTransaction, Due, Ending, Inspect, LeaseAnswer,
    LeaseToken, NewRun, Operate, Payload, Queue, RunId, Settlement, UniqueScope, WorkerId, from_millis,
    store::{MachineClock, Readings},
};
use sqlx::Row;
use tempfile::TempDir;

use crate::Sqlite;

const START: i64 = 1_767_225_600_000;
const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// A machine whose clocks the test moves.
struct Machine {
    readings: Arc<Mutex<Readings>>,
    boot: &'static str,
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let readings = Readings { wall: START, boot: 0 };
        Self { readings: Arc::new(Mutex::new(readings)), boot: "first", folder: TempDir::new().unwrap() }
    }

    /// A store as one of several processes has it.
    async fn store(&self) -> Sqlite {
        let (readings, file) = (Arc::clone(&self.readings), self.folder.path().join("jobs.db"));
        let machine = MachineClock::of(self.boot, move || *readings.lock().unwrap());
        Sqlite::options(&url(&file)).machine(machine).open().await.unwrap()
    }

    /// Time goes by, even while the machine is suspended.
    fn passes(&self, millis: i64) {
        let mut readings = self.readings.lock().unwrap();
        readings.wall += millis;
        readings.boot += millis;
    }

    /// Somebody sets the clock.
    fn is_set(&self, by: i64) {
        self.readings.lock().unwrap().wall += by;
    }

    /// It is off for a minute.
    fn boots(&mut self) {
        self.passes(60 * SECOND);
        self.readings.lock().unwrap().boot = 0;
        self.boot = "second";
    }
}

fn url(file: &Path) -> String {
    format!("sqlite:{}?synchronous=normal", file.display())
}

async fn enqueue(store: &Sqlite, due: Due) -> RunId {
    let mut run = NewRun::named("greet", Payload::json("Ada").unwrap());
    run.due = due;
    store.enqueue(vec![run]).await.unwrap()[0].id()
}

async fn claim(store: &Sqlite) -> Claimed {
    let request = ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit: 10,
        lease: Duration::from_secs(30),
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    store.claim(request).await.unwrap()
}

fn ids(claimed: &Claimed) -> Vec<RunId> {
    claimed.runs.iter().map(|run| run.lease.run).collect()
}

async fn due_at(store: &Sqlite, id: RunId) -> i64 {
    store.run(id).await.unwrap().unwrap().due_at.as_millisecond()
}

/// When a run is due that is stored in a transaction of the caller's.
async fn enqueued_in(store: &Sqlite) -> i64 {
    let run = NewRun::named("greet", Payload::json("Ada").unwrap());
    let id = run.id;
    let mut transaction = store.begin().await.unwrap();
    let _ = store.enqueue_in(&mut transaction, vec![run]).await.unwrap();
    transaction.commit().await.unwrap();
    due_at(store, id).await
}

#[tokio::test]
async fn a_clock_that_was_fast_and_is_corrected_takes_over_no_living_lease_and_starts_no_delay_early() {
    for step in [-2 * HOUR, 2 * HOUR] {
        let machine = Machine::new();
        let (store, other) = (machine.store().await, machine.store().await);
        let held = enqueue(&store, Due::Now).await;
        assert_eq!(ids(&claim(&store).await), [held]);
        let delayed = enqueue(&store, Due::In(Duration::from_secs(3 * 24 * 3_600))).await;
        machine.is_set(step);
        machine.passes(29 * SECOND);
        assert_eq!(ids(&claim(&other).await), []);
        machine.passes(SECOND);
        assert_eq!(ids(&claim(&other).await), [held], "the lease ran out after its 30 s");
        machine.passes(3 * DAY - 31 * SECOND);
        assert!(!ids(&claim(&store).await).contains(&delayed));
        machine.passes(SECOND);
        assert!(ids(&claim(&store).await).contains(&delayed));
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_retry_waiting() {
    let machine = Machine::new();
    let store = machine.store().await;
    let id = enqueue(&store, Due::Now).await;
    let mut claimed = claim(&store).await;
    let settlement = Settlement {
        lease: claimed.runs.remove(0).lease,
        ending: Ending::Again { after: Duration::from_secs(4) },
        failures: 1,
        attempt: 1,
        outcome: AttemptOutcome::Failed,
        error: Some("no answer".to_owned()),
        error_fingerprint: None,
    };
    assert_eq!(store.settle(vec![settlement]).await.unwrap(), [LeaseAnswer::Done]);
    machine.is_set(-2 * HOUR);
    let waits = claim(&store).await;
    let due_in = waits.next_due.unwrap().duration_since(waits.now);
    assert_eq!((ids(&waits), due_in.as_millis()), (vec![], 4_000));
    machine.passes(4 * SECOND);
    assert_eq!(ids(&claim(&store).await), [id]);
}

#[tokio::test]
async fn a_unique_key_keeps_its_remaining_time() {
    for step in [-2 * HOUR, 2 * HOUR] {
        let machine = Machine::new();
        let store = machine.store().await;
        let daily = || {
            let payload = Payload::json("Ada").unwrap();
            let mut run = NewRun::named("greet", payload).unique("daily");
            if let Some(unique) = &mut run.unique {
                unique.scope = UniqueScope::Period(Duration::from_secs(3_600));
            }
            run
        };
        assert!(store.enqueue(vec![daily()]).await.unwrap()[0].is_new());
        machine.is_set(step);
        machine.passes(HOUR - SECOND);
        assert!(!store.enqueue(vec![daily()]).await.unwrap()[0].is_new());
        machine.passes(SECOND);
        assert!(store.enqueue(vec![daily()]).await.unwrap()[0].is_new());
    }
}

#[tokio::test]
async fn a_run_that_is_due_at_a_given_time_follows_the_clock() {
    for step in [-2 * HOUR, 2 * HOUR] {
        let machine = Machine::new();
        let store = machine.store().await;
        let at = Due::At(from_millis(START + 5 * HOUR));
        let before = enqueue(&store, at).await;
        machine.is_set(step);
        // Before anybody has noted it.
        let mut transaction = store.begin().await.unwrap();
        let mut run = NewRun::named("greet", Payload::json("Ada").unwrap());
        run.due = at;
        let between = run.id;
        let _ = store.enqueue_in(&mut transaction, vec![run]).await.unwrap();
        transaction.commit().await.unwrap();
        let (after, now) = (enqueue(&store, at).await, enqueue(&store, at).await);
        for id in [before, between, after] {
            assert_eq!(due_at(&store, id).await, START + 5 * HOUR - step);
        }
        store.run_now(now).await.unwrap();
        assert_eq!(ids(&claim(&store).await), [now]);
        machine.passes(5 * HOUR - step - SECOND);
        assert!(!ids(&claim(&store).await).contains(&before));
        machine.passes(SECOND);
        let due = ids(&claim(&store).await);
        assert!([before, between, after].iter().all(|id| due.contains(id)));
    }
}

#[tokio::test]
async fn of_several_processes_each_leaves_a_step_out_once() {
    let machine = Machine::new();
    let (first, second) = (machine.store().await, machine.store().await);
    let delayed = enqueue(&first, Due::In(Duration::from_secs(10))).await;
    enqueue(&second, Due::In(Duration::from_secs(3_600))).await;
    machine.is_set(-2 * HOUR);
    assert!(tokio::join!(claim(&first), claim(&second)).0.runs.is_empty());
    // One that starts after it, and one that was not there when it was noted.
    let third = machine.store().await;
    machine.passes(9 * SECOND);
    for store in [&first, &second, &third] {
        assert_eq!(store.now().await.unwrap(), from_millis(START + 9 * SECOND));
        assert_eq!(ids(&claim(store).await), []);
    }
    let row = sqlx::query("SELECT offset FROM riqle_clock").fetch_all(first.pool()).await.unwrap();
    assert_eq!(row.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>(), [2 * HOUR]);
    machine.passes(SECOND);
    assert_eq!(ids(&claim(&third).await), [delayed]);
}

#[tokio::test]
async fn small_steps_that_one_process_follows_add_up_in_no_other() {
    // Also where they can't compare their readings, but for a process that was never asked for the time meanwhile.
    for boots in [["first"; 4], ["first", "second", "third", "fourth"]] {
        let mut machine = Machine::new();
        let mut stores = Vec::new();
        for boot in boots {
            machine.boot = boot;
            stores.push(machine.store().await);
        }
        let [writes, reads, idle, wakes] = &stores[..] else { panic!() };
        for _ in 0..40 {
            machine.passes(DAY);
            machine.is_set(-2 * SECOND);
            let now = due_at(writes, enqueue(writes, Due::Now).await).await;
            assert_eq!(now, machine.readings.lock().unwrap().wall);
            assert_eq!(reads.health().await.unwrap().problems, []);
            assert_eq!(enqueued_in(reads).await, now);
            assert_eq!(reads.now().await.unwrap(), from_millis(now));
        }
        if boots[0] == boots[1] {
            let now = machine.readings.lock().unwrap().wall;
            assert_eq!(enqueued_in(idle).await, now);
            // Its own writer.
            assert_eq!(due_at(wakes, enqueue(wakes, Due::Now).await).await, now);
            assert_eq!(idle.health().await.unwrap().problems, []);
        }
    }
}

#[tokio::test]
async fn a_process_that_saw_no_step_agrees_with_the_one_that_noted_it() {
    let machine = Machine::new();
    let (writes, reads) = (machine.store().await, machine.store().await);
    // The last two are followed, and take the first one back.
    for step in [120 * SECOND, -60 * SECOND, -60 * SECOND] {
        machine.is_set(step);
        enqueue(&writes, Due::Now).await;
    }
    machine.passes(5 * SECOND);
    let now = due_at(&writes, enqueue(&writes, Due::Now).await).await;
    assert_eq!(now, START - 115 * SECOND);
    assert_eq!(enqueued_in(&reads).await, now);
}

#[tokio::test]
async fn processes_that_cannot_compare_their_readings_leave_the_row_as_it_is() {
    let mut machine = Machine::new();
    let first = machine.store().await;
    machine.boot = "second";
    let second = machine.store().await;
    machine.is_set(-2 * HOUR);
    let at = enqueue(&first, Due::At(from_millis(START + 5 * HOUR))).await;
    for step in [3, -7, 500, -900] {
        machine.passes(61 * SECOND);
        machine.is_set(step);
        for store in [&second, &first] {
            enqueue(store, Due::Now).await;
            let row = sqlx::query("SELECT offset FROM riqle_clock").fetch_one(first.pool()).await.unwrap();
            assert_eq!(row.get::<i64, _>(0), 2 * HOUR);
            assert_eq!(due_at(store, at).await, START + 7 * HOUR);
        }
    }
}

#[tokio::test]
async fn a_step_while_no_process_was_running_is_left_out_too() {
    let machine = Machine::new();
    let delayed = enqueue(&machine.store().await, Due::In(Duration::from_secs(3_600))).await;
    machine.is_set(2 * HOUR);
    machine.passes(HOUR - SECOND);
    let store = machine.store().await;
    assert_eq!(ids(&claim(&store).await), []);
    machine.passes(SECOND);
    assert_eq!(ids(&claim(&store).await), [delayed]);
}

#[tokio::test]
async fn after_a_boot_the_files_clock_goes_on_from_where_it_was() {
    // Set back while it was running, then booted; booted with a clock that is set back.
    for (before, after) in [(-2 * HOUR, 0), (0, -2 * HOUR)] {
        let mut machine = Machine::new();
        let store = machine.store().await;
        let due = enqueue(&store, Due::Now).await;
        let at = enqueue(&store, Due::At(from_millis(START + 5 * HOUR))).await;
        machine.is_set(before);
        assert_eq!(ids(&claim(&store).await), [due]);
        drop(store);
        machine.boots();
        machine.is_set(after);
        let store = machine.store().await;
        // The lease of a process that ended with the machine.
        machine.passes(30 * SECOND);
        assert_eq!(ids(&claim(&store).await), [due]);
        assert!(store.now().await.unwrap() >= from_millis(START + 30 * SECOND));
        machine.passes(7 * HOUR - 90 * SECOND - SECOND);
        assert!(!ids(&claim(&store).await).contains(&at));
        machine.passes(SECOND);
        assert!(ids(&claim(&store).await).contains(&at), "at 5 o'clock by the machine");
    }
}

#[tokio::test]
async fn the_health_tells_of_a_clock_that_was_set_until_it_is_right_again() {
    let machine = Machine::new();
    let store = machine.store().await;
    enqueue(&store, Due::Now).await;
    // Also where it was suspended.
    machine.passes(DAY);
    assert_eq!(store.health().await.unwrap().problems, []);
    machine.is_set(2 * HOUR);
    let problems = store.health().await.unwrap().problems;
    assert!(problems[0].what.contains("7200 s behind it"), "{problems:?}");
    machine.is_set(-2 * HOUR);
    assert_eq!(store.health().await.unwrap().problems, []);
}

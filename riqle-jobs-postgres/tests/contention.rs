//! What others do in the same database holds nobody up, and what was not stored is not called stored.

#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, ClaimedRun, Database, DatabaseTransaction, Ending, ErrorKind, Inspect, Job,
    JobError, JobInput, Jobs, LeaseAnswer, LeaseRef, LeaseToken, ManualClock, NewRun, Operate, Payload,
    Priority, Queue, Registry, Retention, RunContext, RunFilter, Settlement, Worker, WorkerId,
    store::{JobDeclaration, JobRules, NewEvent},
};
use riqle_jobs_postgres::Postgres;
use sqlx::{Connection, PgConnection};
use tokio::{sync::Notify, time::timeout};

use crate::support::{Schema, database_url};

fn run() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

async fn claim(store: &Postgres) -> Vec<ClaimedRun> {
    let request = ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit: 100,
        lease: Duration::from_secs(30),
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    store.claim(request).await.unwrap().runs
}

/// Keeps the transaction of its step open until it is told to go on.
struct Slow {
    store: Postgres,
    is_open: Arc<Notify>,
    goes_on: Arc<Notify>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct SlowInput;

impl JobInput for SlowInput {
    const JOB: &'static str = "slow";
}

impl Job for Slow {
    type Input = SlowInput;
    type Output = ();

    async fn run(&self, run: &RunContext, _: SlowInput) -> Result<(), JobError> {
        run.step_in(&Jobs::new(&self.store), "slow", async |_| {
            self.is_open.notify_one();
            self.goes_on.notified().await;
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f07_a_lease_is_extended_while_a_step_in_a_transaction_is_open() {
    let (schema, clock) = (Schema::new(), ManualClock::new());
    let store = schema.open(&clock).await;
    let (is_open, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let job = Slow { store: store.clone(), is_open: Arc::clone(&is_open), goes_on: Arc::clone(&goes_on) };
    let id = Jobs::new(&store).enqueue(SlowInput).await.unwrap().id();
    let worker = Worker::new(&store).lease(Duration::from_millis(600)).register(job);
    let extended = async {
        is_open.notified().await;
        clock.advance(Duration::from_millis(500));
        let until = clock.now().as_millisecond() + 600;
        while store.run(id).await.unwrap().unwrap().holder.unwrap().lease_until.as_millisecond() < until {
            tokio::task::yield_now().await;
        }
        goes_on.notify_one();
        while !store.run(id).await.unwrap().unwrap().state.is_ended() {
            tokio::task::yield_now().await;
        }
    };
    worker.run_until(async { timeout(Duration::from_secs(20), extended).await.unwrap() }).await.unwrap();
    let run = store.run(id).await.unwrap().unwrap();
    assert_eq!((run.crashes, run.attempts.len()), (0, 1));
}

#[tokio::test]
async fn a_lease_whose_run_is_locked_is_not_called_extended() {
    let (schema, clock) = (Schema::new(), ManualClock::new());
    let store = schema.open(&clock).await;
    store.enqueue(vec![run(), run()]).await.unwrap();
    let leases: Vec<_> = claim(&store).await.into_iter().map(|run| run.lease).collect();
    let mut keeper = store.lease_connection().await.unwrap();
    let mut other = PgConnection::connect(&database_url()).await.unwrap();
    let lock =
        format!("BEGIN; SELECT FROM \"{}\".runs WHERE id = '{}' FOR UPDATE", schema.name, leases[0].run);
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut other).await.unwrap();
    clock.advance(Duration::from_secs(31));

    // As by a claim that takes it over: the keeper waits for nobody.
    let extended = keeper.extend(leases.clone(), Duration::from_secs(30)).await.unwrap();
    assert_eq!(extended, [None, Some(LeaseAnswer::Done)]);
    // Who must know waits.
    let asks = tokio::spawn({
        let (store, leases) = (store.clone(), leases.clone());
        async move { store.extend(leases, Duration::from_secs(30)).await }
    });
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(asks.await.unwrap().unwrap(), [LeaseAnswer::Done; 2]);
    assert_eq!(claim(&store).await, []);
}

#[tokio::test]
async fn a_commit_after_a_failed_statement_is_refused() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    let (answers, _) = store.enqueue_in(&mut transaction, vec![run()]).await.unwrap();
    assert!(sqlx::query("SELECT 1 / 0").execute(&mut *transaction).await.is_err());
    assert_eq!(transaction.commit().await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(store.run(answers[0].id()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_not_answered_lets_nothing_commit() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let ada = || vec![run().unique("ada")];
    let mut holds = store.begin().await.unwrap();
    holds.enqueue(ada()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    // It waits for the key for as long as a call may take, and so does what would undo it.
    let unanswered = transaction.enqueue(ada()).await.unwrap_err();
    assert_eq!(unanswered.kind(), ErrorKind::Unavailable, "{unanswered}");
    holds.rollback().await.unwrap();
    let refused = transaction.commit().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected, "{refused}");
    let answers = store.enqueue(ada()).await.unwrap();
    assert!(answers[0].is_new(), "a key that no run holds: {answers:?}");
}

#[tokio::test]
async fn a_connection_without_a_transaction_is_refused() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    let refused = store.enqueue_in(&mut connection, vec![run()]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_in_an_open_transaction_holds_up_only_who_wants_it() {
    let schema = Schema::new();
    let (store, other) =
        (Postgres::connect(&schema.url()).await.unwrap(), Postgres::connect(&schema.url()).await.unwrap());
    let mut transaction = store.begin().await.unwrap();
    let (taken, _) = store.enqueue_in(&mut transaction, vec![run().unique("ada")]).await.unwrap();
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.enqueue(vec![run().unique("ada")]).await }
    });
    let mut neighbours = tokio::task::JoinSet::new();
    for number in 0..20 {
        let other = other.clone();
        let run = if number % 2 == 0 { run() } else { run().unique(format!("ada-{number}")) };
        neighbours.spawn(async move { other.enqueue(vec![run]).await });
    }
    // The transaction stays open until they are stored.
    for stored in timeout(Duration::from_secs(20), neighbours.join_all()).await.unwrap() {
        assert!(stored.unwrap()[0].is_new());
    }
    assert!(!waiting.is_finished());
    transaction.commit().await.unwrap();
    let answers = waiting.await.unwrap().unwrap();
    assert_eq!((answers[0].id(), answers[0].is_new()), (taken[0].id(), false));
}

fn event(id: &str) -> NewEvent {
    NewEvent::new(id, "user/created", Payload::json(id).unwrap())
}

async fn greets_new_users(store: &Postgres) {
    let declaration = JobDeclaration {
        name: "greet".to_owned(),
        queue: "default".to_owned(),
        priority: Priority::DEFAULT,
        trigger: Some("user/created".to_owned()),
        policy: None,
        rules: JobRules::default(),
    };
    store.register_jobs(vec![declaration]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_an_open_transaction_holds_up_no_other_of_a_list_and_no_other_sender() {
    let schema = Schema::new();
    let (store, other) =
        (Postgres::connect(&schema.url()).await.unwrap(), Postgres::connect(&schema.url()).await.unwrap());
    greets_new_users(&store).await;
    let mut transaction = store.begin().await.unwrap();
    let (_, wake) = store.send_event_in(&mut transaction, vec![event("ada-500")]).await.unwrap();
    let list: Vec<NewEvent> = (0..1_000).map(|number| event(&format!("ada-{number}"))).collect();
    let mut waiting = tokio::spawn({
        let (other, list) = (other.clone(), list.clone());
        async move { Jobs::new(&other).send_events(list).await }
    });
    let mut neighbours = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (other, own) = (other.clone(), event(&format!("bob-{number}")));
        let shared = event(&format!("ada-{number}"));
        neighbours.spawn(async move { Jobs::new(&other).send_events(vec![shared, own]).await });
    }
    // The transaction stays open until they are stored.
    for sent in timeout(Duration::from_secs(8), neighbours.join_all()).await.unwrap() {
        sent.unwrap();
    }
    let stored = async {
        while store.count_runs(RunFilter::default(), 10_000).await.unwrap() < 999 + 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(8), stored).await.unwrap();
    assert!(!waiting.is_finished());
    // The list answers that it is held up, and says by which.
    let refused = timeout(Duration::from_secs(14), &mut waiting).await.unwrap().unwrap().unwrap_err();
    assert!(refused.kind() == ErrorKind::Unavailable && refused.to_string().contains("ada-500"), "{refused}");

    let again = tokio::spawn(async move { Jobs::new(&other).send_events(list).await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    transaction.commit().await.unwrap();
    wake.fire();
    assert_eq!(again.await.unwrap().unwrap().len(), 1_000);
    assert_eq!(store.count_runs(RunFilter::default(), 10_000).await.unwrap(), 1_000 + 20);
}

#[tokio::test]
async fn a_lane_that_a_failover_lost_is_stored_anew() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    store.enqueue(vec![run()]).await.unwrap();
    // As a standby that lagged behind has it.
    let forget = format!("TRUNCATE {0}.lanes, {0}.runs", schema.name);
    sqlx::raw_sql(sqlx::AssertSqlSafe(forget)).execute(store.pool()).await.unwrap();
    let enqueued = store.enqueue(vec![run()]).await.unwrap();
    assert!(store.run(enqueued[0].id()).await.unwrap().is_some());
    assert_eq!(claim(&store).await.len(), 1);
}

#[tokio::test]
async fn a_reader_of_the_history_holds_up_no_prune_and_no_enqueue() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let days = format!(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = '{}' AND tablename ~ '_[0-9]+$'",
        schema.name
    );
    let days: Vec<(String,)> =
        sqlx::query_as(sqlx::AssertSqlSafe(days)).fetch_all(store.pool()).await.unwrap();
    let missing = format!("DROP TABLE {}.{}", schema.name, days.last().unwrap().0);
    sqlx::raw_sql(sqlx::AssertSqlSafe(missing)).execute(store.pool()).await.unwrap();
    let mut reader = store.begin().await.unwrap();
    let read = format!("SELECT count(*) FROM {}.history", schema.name);
    sqlx::query(sqlx::AssertSqlSafe(read)).execute(&mut *reader).await.unwrap();
    // The day can't be made now; neither waits for the reader, who would wait for this very task.
    store.prune(Retention::default()).await.unwrap();
    store.enqueue(vec![run()]).await.unwrap();
    reader.rollback().await.unwrap();
}

#[tokio::test]
async fn settlements_that_are_large_together_are_written_apart() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    store.enqueue((0..20).map(|_| run()).collect()).await.unwrap();
    let output = Payload::json(&"x".repeat(1_000_000)).unwrap();
    let settlements: Vec<Settlement> = claim(&store)
        .await
        .into_iter()
        .map(|run| Settlement {
            lease: run.lease,
            ending: Ending::Succeeded { output: output.clone() },
            failures: 0,
            attempt: 1,
            outcome: AttemptOutcome::Succeeded,
            error: None,
            error_fingerprint: None,
        })
        .collect();
    assert_eq!(store.settle(settlements).await.unwrap(), vec![LeaseAnswer::Done; 20]);
}

#[tokio::test]
async fn an_extension_that_waits_has_locked_nothing_behind_what_it_waits_for() {
    let (schema, clock) = (Schema::new(), ManualClock::new());
    let store = schema.open(&clock).await;
    store.enqueue(vec![run(), run()]).await.unwrap();
    let mut leases: Vec<_> = claim(&store).await.into_iter().map(|run| run.lease).collect();
    leases.sort_by_key(|lease| std::cmp::Reverse(lease.run));
    let mut other = PgConnection::connect(&database_url()).await.unwrap();
    let lock = async |other: &mut PgConnection, begin: &str, lease: &LeaseRef| {
        let of_run = format!("\"{}\".runs WHERE id = '{}'", schema.name, lease.run);
        let lock = format!("{begin} SELECT FROM {of_run} FOR UPDATE NOWAIT");
        sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(other).await.unwrap();
    };
    lock(&mut other, "BEGIN;", &leases[1]).await;
    let asks = tokio::spawn({
        let (store, leases) = (store.clone(), leases.clone());
        async move { store.extend(leases, Duration::from_secs(30)).await }
    });
    let waits =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut other).await.unwrap() {
        tokio::task::yield_now().await;
    }

    // As one that settles both does: each would wait for the other.
    lock(&mut other, "", &leases[0]).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(asks.await.unwrap().unwrap(), [LeaseAnswer::Done; 2]);
}

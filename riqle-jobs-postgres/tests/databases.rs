//! Databases that are set up in ways of their own: encoded otherwise, serializable, published, restored.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use riqle_jobs_core::{
    Database as _, DatabaseTransaction, EmailLog, ErrorKind, Inspect, Job, JobError, JobInput, Jobs,
    ManualClock, NewRun, Operate, Payload, Queue, Registry, Replay, Retention, RunContext, RunFilter, RunId,
    RunState, Worker, WorkerId,
    email::EmailFilter,
    store::{NewEvent, Pruned, WorkerReport},
};
use riqle_jobs_postgres::Postgres;
use riqle_jobs_test_servers::{Durability, PostgresServer};
use sqlx::Row;

use crate::support::database::Database;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn greeting() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

/// Dies where it is told to, after a step.
struct Greet;

#[derive(serde::Serialize, serde::Deserialize)]
struct GreetInput(String);

impl JobInput for GreetInput {
    const JOB: &'static str = "greet";
    const TRIGGER: Option<&'static str> = Some("user/created");
}

impl Job for Greet {
    type Input = GreetInput;
    type Output = ();

    async fn run(&self, run: &RunContext, GreetInput(name): GreetInput) -> Result<(), JobError> {
        run.step("write", || async { Ok(()) }).await?;
        run.log("written");
        if name == "Bob" { Err(JobError::dead("no Bobs")) } else { Ok(()) }
    }
}

async fn work(store: &Postgres) {
    Worker::new(store).register(Greet).run_until_idle().await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_encoding_than_utf8_is_refused_in_one_line() {
    let database = Database::with("ENCODING 'LATIN1' LOCALE 'C'").await;
    let error = Postgres::connect(&database.url()).await.unwrap_err();
    let told = "the database uses the encoding LATIN1, but riqle-jobs needs UTF8; create one with CREATE DATABASE name ENCODING \
                'UTF8' TEMPLATE template0";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Misconfigured, told));
}

/// PostgreSQL has no text with such a character.
#[tokio::test]
async fn a_nul_in_a_search_is_refused_in_words_that_are_not_the_drivers() {
    let database = Database::new().await;
    let store = Postgres::connect(&database.url()).await.unwrap();
    // A store without runs is not asked.
    store.enqueue(vec![greeting()]).await.unwrap();
    let nul = || Some("a\0b".to_owned());
    let runs = store.runs(RunFilter { reference: nul(), ..RunFilter::default() }).await;
    let counted = RunFilter { unique_key: nul(), ..RunFilter::default() };
    let counted = store.count_runs(counted, 10).await;
    let emails = store.emails(EmailFilter { reference: nul(), ..EmailFilter::default() }).await;
    for error in [runs.unwrap_err(), counted.unwrap_err(), emails.unwrap_err()] {
        let told = "a text contains a character that PostgreSQL can't store";
        assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, told));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_serializable_by_default_fails_no_call_for_the_sake_of_another() {
    let database = Database::new().await;
    database.alter("SET default_transaction_isolation = 'serializable'").await;
    for parameters in ["listen=off", "listen=on"] {
        let store = database.store(parameters).open().await.unwrap();
        work(&store).await;
        let jobs = Jobs::new(&store);
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..40 {
            let (store, jobs) = (store.clone(), jobs.clone());
            calls.spawn(async move {
                let keyed = greeting().unique(format!("{parameters} {}", number / 2));
                store.enqueue(vec![keyed]).await.map(drop)?;
                jobs.send_event("user/created", &format!("user {number}")).await.map(drop)?;
                let report = WorkerReport {
                    id: WorkerId::new(),
                    label: number.to_string(),
                    version: "1".to_owned(),
                    jobs: [].into(),
                    concurrency: 1,
                    running: 0,
                    claimed_ahead: [].into(),
                    troubles: Vec::new(),
                };
                store.report_worker(report).await
            });
        }
        while let Some(called) = calls.join_next().await {
            called.unwrap().unwrap();
        }
        work(&store).await;
    }
}

/// Two transactions that each read what the other writes.
#[tokio::test]
async fn a_transaction_of_the_application_keeps_its_isolation_and_is_unavailable_where_others_were_in_the_way()
 {
    let database = Database::new().await;
    database.alter("SET default_transaction_isolation = 'serializable'").await;
    let store = database.store("").open().await.unwrap();
    sqlx::query("CREATE TABLE orders (id integer)").execute(store.pool()).await.unwrap();
    let (mut one, mut other) = (store.begin().await.unwrap(), store.begin().await.unwrap());
    let isolation = sqlx::query("SHOW transaction_isolation").fetch_one(&mut *one).await.unwrap();
    assert_eq!(isolation.get::<String, _>(0), "serializable");
    for transaction in [&mut one, &mut other] {
        sqlx::query("SELECT count(*) FROM orders").execute(&mut **transaction).await.unwrap();
    }
    for transaction in [&mut one, &mut other] {
        sqlx::query("INSERT INTO orders VALUES (1)").execute(&mut **transaction).await.unwrap();
    }
    one.commit().await.unwrap();
    let error = other.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().starts_with("another transaction was in the way"), "{error}");

    let mut again = store.begin().await.unwrap();
    let (_, wake) = store.enqueue_in(&mut again, vec![greeting()]).await.unwrap();
    again.commit().await.unwrap();
    wake.fire();
}

#[tokio::test]
async fn every_table_has_a_key_and_what_is_published_is_still_deleted_and_replayed() {
    let database = Database::new().await;
    let store = database.store("").open().await.unwrap();
    database.execute("CREATE PUBLICATION everything FOR ALL TABLES").await;
    let without = "SELECT relname::text FROM pg_class c WHERE relnamespace = 'riqle'::regnamespace AND relkind IN ('r', 'p')
                   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)";
    let without: Vec<String> =
        sqlx::query(without).fetch_all(store.pool()).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(without, [""; 0]);

    // In the partition of today.
    let jobs = Jobs::new(&store);
    let cancelled = jobs.enqueue(GreetInput("Ada".to_owned())).await.unwrap().id();
    store.cancel(cancelled).await.unwrap();
    store.replay(cancelled, RunId::new(), Replay::default()).await.unwrap();
    let dead = jobs.enqueue(GreetInput("Bob".to_owned())).await.unwrap().id();
    let other = jobs.enqueue(GreetInput("Bob".to_owned())).await.unwrap().id();
    work(&store).await;
    store.discard(dead).await.unwrap();
    store.replay(other, RunId::new(), Replay::default()).await.unwrap();
    let counts = store.counts().await.unwrap();
    let mut alive: Vec<_> = counts.iter().map(|count| (count.state, count.runs)).collect();
    alive.retain(|(state, _)| *state != RunState::Dead);
    alive.sort_unstable();
    assert_eq!(alive, [(RunState::Pending, 1), (RunState::Succeeded, 1), (RunState::Cancelled, 1)]);
    assert_eq!(store.dead_groups(10).await.unwrap(), [], "one was discarded, the other replayed");
}

#[tokio::test]
async fn every_kind_of_what_is_published_is_pruned() {
    let database = Database::new().await;
    let clock = ManualClock::new();
    let store = database.store("").clock(&clock).open().await.unwrap();
    database.execute("CREATE PUBLICATION everything FOR ALL TABLES").await;
    let jobs = Jobs::new(&store);
    for name in ["Ada", "Bob", "Bob"] {
        jobs.enqueue(GreetInput(name.to_owned())).unique(name).await.ok();
    }
    work(&store).await;
    let event = NewEvent::new("event", "order/paid", Payload::json("o-1").unwrap());
    store.store_events(vec![event]).await.unwrap();
    clock.advance(DAY * 1_000);
    let kept = Some(DAY);
    let retention =
        Retention { ended: kept, dead: kept, events: kept, emails: kept, metrics: kept, actions: kept };
    let pruned = store.prune(retention).await.unwrap();
    assert_eq!((pruned.runs, pruned.events), (2, 1));
    assert_eq!(store.prune(retention).await.unwrap(), Pruned::default());
    assert_eq!(store.counts().await.unwrap(), []);
}

#[tokio::test]
async fn a_kind_that_can_not_be_pruned_does_not_keep_the_others() {
    let database = Database::new().await;
    let clock = ManualClock::new();
    let store = database.store("").clock(&clock).open().await.unwrap();
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN RAISE 'not today' USING ERRCODE = '55000'; END $$;
                  CREATE TRIGGER refuse BEFORE DELETE ON riqle.history_rest EXECUTE FUNCTION refuse()";
    database.execute(refuse).await;
    Jobs::new(&store).enqueue(GreetInput("Ada".to_owned())).await.unwrap();
    work(&store).await;
    let event = NewEvent::new("event", "order/paid", Payload::json("o-1").unwrap());
    store.store_events(vec![event]).await.unwrap();
    clock.advance(DAY * 1_000);
    let error = store.prune(Retention::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().starts_with("runs: ") && error.message().contains("not today"), "{error}");
    let events = sqlx::query("SELECT count(*) FROM riqle.events").fetch_one(store.pool()).await.unwrap();
    assert_eq!(events.get::<i64, _>(0), 0, "events were pruned all the same");
}

#[tokio::test]
async fn a_restore_of_data_alone_counts_no_dead_letter_twice() {
    let cluster = PostgresServer::start(Durability::NoSync).unwrap();
    let store = Postgres::connect(&cluster.url()).await.unwrap();
    let jobs = Jobs::new(&store);
    for _ in 0..3 {
        jobs.enqueue(GreetInput("Bob".to_owned())).await.unwrap();
        // Each by itself, so that there are several rows to be summed up.
        work(&store).await;
    }
    sqlx::raw_sql("CREATE DATABASE restored").execute(store.pool()).await.unwrap();
    let restored = Postgres::connect(&format!("{}/restored", cluster.url().trim_end_matches("/postgres")))
        .await
        .unwrap();
    cluster.copy_data("postgres", "restored").unwrap();

    let counted = async |store: &Postgres| {
        let groups = store.dead_groups(10).await.unwrap();
        groups.iter().map(|group| (group.job.clone(), group.runs)).collect::<Vec<_>>()
    };
    assert_eq!(counted(&store).await, [("greet".to_owned(), 3)]);
    assert_eq!(counted(&restored).await, [("greet".to_owned(), 3)]);
    // They are counted on from there.
    restored.prune(Retention::default()).await.unwrap();
    let last = restored.dead_groups(10).await.unwrap()[0].newest;
    restored.discard(last).await.unwrap();
    restored.prune(Retention::default()).await.unwrap();
    assert_eq!(counted(&restored).await, [("greet".to_owned(), 2)]);
}

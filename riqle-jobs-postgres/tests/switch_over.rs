//! Servers that are read-only for a while, end connections, refuse a commit or are away: the next call works as soon as the
//! server does, and what can't be done is said as it is.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use riqle_jobs_core::{
    Database as _, DatabaseTransaction, Error, ErrorKind, Inspect, NewRun, Payload, Queue,
};
use riqle_jobs_postgres::{Postgres, PostgresTransaction};
use riqle_jobs_test_servers::{Durability, PostgresServer};
use sqlx::{Connection, PgConnection, Row, postgres::PgPoolOptions};
use tokio::time::sleep;

use crate::support::database::Database;

/// A server ends a connection within a moment of the time that it was told.
const SURELY_ENDED: Duration = Duration::from_millis(600);

fn greeting() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

fn is_unavailable<A: std::fmt::Debug>(answer: Result<A, Error>, words: &str) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains(words), "{error}");
}

async fn insert(connection: &mut PgConnection, order: i32) {
    sqlx::query("INSERT INTO orders (id) VALUES ($1)").bind(order).execute(connection).await.unwrap();
}

async fn orders(store: &Postgres) -> i64 {
    sqlx::query("SELECT count(*) FROM orders").fetch_one(store.pool()).await.unwrap().get(0)
}

/// A store on a pool of the application's own, of one connection.
async fn on_one_connection(database: &Database) -> Postgres {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(500));
    let store = Postgres::from_pool(pool.connect(&database.url()).await.unwrap()).await.unwrap();
    sqlx::query("CREATE TABLE orders (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        .execute(store.pool())
        .await
        .unwrap();
    store
}

#[tokio::test]
async fn connections_that_reached_a_server_which_is_read_only_are_not_kept() {
    let database = Database::new().await;
    drop(Postgres::connect(&database.url()).await.unwrap());
    database.execute("CREATE TABLE orders (id integer)").await;
    database.alter("SET default_transaction_read_only = on").await;
    let store = database.store("").open().await.unwrap();
    for _ in 0..2 {
        is_unavailable(store.enqueue(vec![greeting()]).await, "the server is read-only");
        is_unavailable(store.begin().await, "the server is read-only");
        assert_eq!(store.counts().await.unwrap(), [], "reads go on");
        let told = store.health().await.unwrap().write_error.unwrap();
        assert!(told.starts_with("writes have been failing for ") && told.contains("read-only"), "{told}");
    }
    // Connections that lie idle, of the application's pool and of the store's own.
    let (a, b) = tokio::join!(store.pool().acquire(), store.pool().acquire());
    drop((a.unwrap(), b.unwrap()));
    let (a, b, c) = tokio::join!(store.counts(), store.counts(), store.counts());
    for counted in [a, b, c] {
        counted.unwrap();
    }

    database.alter("RESET default_transaction_read_only").await;
    assert!(store.enqueue(vec![greeting()]).await.unwrap()[0].is_new());
    let mut transaction = store.begin().await.unwrap();
    insert(&mut transaction, 1).await;
    let (_, wake) = store.enqueue_in(&mut transaction, vec![greeting()]).await.unwrap();
    transaction.commit().await.unwrap();
    wake.fire();
    assert_eq!(orders(&store).await, 1);
    assert_eq!(store.health().await.unwrap().write_error, None);
}

#[tokio::test]
async fn a_process_that_writes_nothing_still_tells_that_its_server_is_read_only() {
    let database = Database::new().await;
    drop(Postgres::connect(&database.url()).await.unwrap());
    database.alter("SET default_transaction_read_only = on").await;
    let store = database.store("").open().await.unwrap();
    let told = store.health().await.unwrap().write_error.unwrap();
    assert!(told.starts_with("the server is read-only"), "{told}");
    database.alter("RESET default_transaction_read_only").await;
    assert_eq!(store.health().await.unwrap().write_error, None);
}

#[tokio::test]
async fn connections_that_the_server_has_ended_for_idleness_are_made_anew() {
    let database = Database::new().await;
    drop(Postgres::connect(&database.url()).await.unwrap());
    database.alter("SET idle_session_timeout = '100ms'").await;
    let store = database.store("").open().await.unwrap();
    for _ in 0..2 {
        store.enqueue(vec![greeting()]).await.unwrap();
        sleep(SURELY_ENDED).await;
    }
    let claim_of = riqle_jobs_core::ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit: 2,
        lease: Duration::from_secs(30),
        token: riqle_jobs_core::LeaseToken::new(),
        worker: riqle_jobs_core::WorkerId::new(),
    };
    store.now().await.unwrap();
    assert_eq!(store.claim(claim_of).await.unwrap().runs.len(), 2);
}

#[tokio::test]
async fn a_transaction_that_the_server_has_ended_is_unavailable_and_the_next_begins() {
    let database = Database::new().await;
    let store = on_one_connection(&database).await;
    database.alter("SET idle_in_transaction_session_timeout = '100ms'").await;
    // A connection with the new setting.
    store.pool().acquire().await.unwrap().close().await.unwrap();

    let mut transaction = store.begin().await.unwrap();
    sleep(SURELY_ENDED).await;
    is_unavailable(store.enqueue_in(&mut transaction, vec![greeting()]).await, "");
    drop(transaction);
    let transaction = store.begin().await.unwrap();
    sleep(SURELY_ENDED).await;
    is_unavailable(transaction.commit().await, "");
    assert_eq!(store.health().await.unwrap().write_error, None, "the application took too long");
    store.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_commit_of_the_application_alone_does_not_make_writes_of_the_store_well() {
    let database = Database::new().await;
    let store = on_one_connection(&database).await;
    database.execute("ALTER TABLE riqle.runs RENAME TO gone").await;
    store.enqueue(vec![greeting()]).await.unwrap_err();
    let mut transaction = store.begin().await.unwrap();
    insert(&mut transaction, 7).await;
    transaction.commit().await.unwrap();
    database.execute("ALTER TABLE riqle.gone RENAME TO runs").await;
    assert!(store.health().await.unwrap().write_error.is_some());
    let mut transaction = store.begin().await.unwrap();
    transaction.enqueue(vec![greeting()]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(store.health().await.unwrap().write_error, None);
}

#[tokio::test]
async fn a_commit_that_fails_leaves_no_connection_that_can_not_begin() {
    let database = Database::new().await;
    let store = on_one_connection(&database).await;
    for _ in 0..3 {
        let mut transaction = store.begin().await.unwrap();
        insert(&mut transaction, 7).await;
        insert(&mut transaction, 7).await;
        let refused = transaction.commit().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rejected, "{refused}");
        assert!(
            refused.message().starts_with("a constraint of the application refused the commit"),
            "{refused}"
        );
        assert_eq!(store.health().await.unwrap().write_error, None);
    }
    let mut transaction = store.begin().await.unwrap();
    let pid: i32 = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await.unwrap().get(0);
    database.execute(&format!("SELECT pg_terminate_backend({pid})")).await;
    is_unavailable(transaction.commit().await, "");

    let mut transaction = store.begin().await.unwrap();
    insert(&mut transaction, 7).await;
    transaction.commit().await.unwrap();
    assert_eq!(orders(&store).await, 1);
}

/// Begins a transaction within it and never ends it.
async fn nest(transaction: &mut PostgresTransaction) {
    let connection: &mut PgConnection = transaction;
    std::mem::forget(connection.begin().await.unwrap());
}

#[tokio::test]
async fn a_transaction_with_one_that_has_not_ended_within_is_refused_and_its_connection_is_closed() {
    let database = Database::new().await;
    let store = on_one_connection(&database).await;
    let mut transaction = store.begin().await.unwrap();
    insert(&mut transaction, 7).await;
    nest(&mut transaction).await;
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert_eq!(orders(&store).await, 0);

    let mut transaction = store.begin().await.unwrap();
    insert(&mut transaction, 7).await;
    nest(&mut transaction).await;
    transaction.rollback().await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    nest(&mut transaction).await;
    drop(transaction);
    assert_eq!(orders(&store).await, 0);

    let mut transaction = store.begin().await.unwrap();
    insert(&mut transaction, 7).await;
    transaction.commit().await.unwrap();
    assert_eq!(orders(&store).await, 1);
}

#[tokio::test]
async fn a_pool_that_is_in_use_and_a_server_that_is_away_are_told_apart() {
    let mut cluster = PostgresServer::start(Durability::NoSync).unwrap();
    let store = Postgres::connect(&cluster.url()).await.unwrap();
    store.enqueue(vec![greeting()]).await.unwrap();
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(200));
    let small = Postgres::from_pool(pool.connect(&cluster.url()).await.unwrap()).await.unwrap();
    let transaction = small.begin().await.unwrap();
    let busy = small.begin().await.unwrap_err();
    let told = "all 1 connections of the pool are in use, and none became free within 200ms";
    assert_eq!((busy.kind(), busy.message()), (ErrorKind::Unavailable, told));
    drop(transaction);

    cluster.crash();
    let connect = Postgres::connect(&cluster.url()).await.unwrap_err();
    assert!(connect.message().starts_with("no PostgreSQL server answers at 127.0.0.1:"), "{connect}");
    for error in [
        store.begin().await.map(drop).unwrap_err(),
        small.begin().await.map(drop).unwrap_err(),
        store.enqueue(vec![greeting()]).await.map(drop).unwrap_err(),
        store.counts().await.map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, connect.message()));
    }
    cluster.start_again().unwrap();
    store.begin().await.unwrap().commit().await.unwrap();
    store.enqueue(vec![greeting()]).await.unwrap();
}

#[tokio::test]
async fn a_login_that_is_refused_while_running_is_unavailable_and_no_fault_of_the_caller() {
    let cluster = PostgresServer::start(Durability::NoSync).unwrap();
    let execute = async |sql: &'static str| {
        let mut admin = PgConnection::connect(&cluster.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut admin).await.unwrap();
    };
    execute("CREATE ROLE shop LOGIN SUPERUSER").await;
    let url = cluster.url().replace("postgres@", "shop@");
    let store = Postgres::options(&url).listen(false).open().await.unwrap();
    // As with a password that is changed: who is in stays, who comes anew is refused.
    execute("ALTER ROLE shop NOLOGIN").await;
    execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'").await;
    assert_eq!(Postgres::connect(&url).await.unwrap_err().kind(), ErrorKind::Misconfigured);
    is_unavailable(store.enqueue(vec![greeting()]).await, "the server rejected the user name or password");
    is_unavailable(store.begin().await, "the server rejected the user name or password");
    execute("ALTER ROLE shop LOGIN").await;
    store.enqueue(vec![greeting()]).await.unwrap();
    store.begin().await.unwrap().commit().await.unwrap();
}

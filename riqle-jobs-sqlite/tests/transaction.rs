//! Runs, events and steps in an application's own transaction.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use riqle_jobs_conformance::{ShopHarness, transaction_suite};
use riqle_jobs_core::{ErrorKind, Inspect, Jobs, LeaseToken, ManualClock, NewRun, Payload, Queue};
use riqle_jobs_sqlite::Sqlite;
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

struct Shop {
    folder: TempDir,
    store: Sqlite,
    clock: ManualClock,
}

impl ShopHarness for Shop {
    type Connection = SqliteConnection;
    type Database = Sqlite;

    async fn start() -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), ManualClock::new());
        let url = format!("sqlite:{}", folder.path().join("shop.db").display());
        let store = Sqlite::options(&url).clock(&clock).open().await.unwrap();
        sqlx::query("CREATE TABLE orders (id TEXT)").execute(store.pool()).await.unwrap();
        Self { folder, store, clock }
    }

    fn store(&self) -> &Sqlite {
        &self.store
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn insert_order(connection: &mut SqliteConnection) {
        sqlx::query("INSERT INTO orders (id) VALUES ('order-1')").execute(connection).await.unwrap();
    }

    async fn orders(&self) -> i64 {
        sqlx::query("SELECT count(*) FROM orders").fetch_one(self.store.pool()).await.unwrap().get(0)
    }

    async fn take_over(store: &Sqlite) {
        let taken = sqlx::query("UPDATE riqle_runs SET token = ?1 WHERE state = 'running'")
            .bind(LeaseToken::new().as_uuid())
            .execute(store.pool())
            .await
            .unwrap();
        assert_eq!(taken.rows_affected(), 1);
    }
}

transaction_suite!(Shop);

fn greeting() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

#[tokio::test]
async fn a_pool_of_the_application_carries_the_store() {
    let folder = TempDir::new().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("shop.db")).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let store = Sqlite::from_pool(pool.clone()).await.unwrap();
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let (answers, wake) = store.enqueue_in(&mut transaction, vec![greeting()]).await.unwrap();
    transaction.commit().await.unwrap();
    wake.fire();
    assert!(store.run(answers[0].id()).await.unwrap().is_some());
    let in_memory = sqlx::SqlitePool::connect_lazy("sqlite::memory:").unwrap();
    let error = Sqlite::from_pool(in_memory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_waits_for_a_transaction_of_its_process() {
    let shop = Shop::start().await;
    let mut transaction = Jobs::new(&shop.store).begin().await.unwrap();
    let store = shop.store.clone();
    let waiting = tokio::spawn(async move { store.enqueue(vec![greeting()]).await });
    Shop::insert_order(&mut transaction).await;
    assert!(!waiting.is_finished());
    transaction.commit().await.unwrap();
    assert!(waiting.await.unwrap().unwrap()[0].is_new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_waits_for_another_process() {
    let shop = Shop::start().await;
    let mut other = other_process(&shop).await;
    let transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let store = shop.store.clone();
    let waiting = tokio::spawn(async move { store.enqueue(vec![greeting()]).await });
    // Long enough for the writer to have met the lock; nothing hangs on how long.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    transaction.commit().await.unwrap();
    assert!(waiting.await.unwrap().unwrap()[0].is_new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_database_that_stays_busy_is_unavailable_and_then_works_again() {
    let shop = Shop::start().await;
    let jobs = Jobs::new(&shop.store);
    let run = greeting();
    {
        let _transaction = Jobs::new(&shop.store).begin().await.unwrap();
        let busy = shop.store.enqueue(vec![run.clone()]).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Unavailable, "{busy}");
        assert_eq!(busy.operation(), "enqueue");
    }
    let mut other = other_process(&shop).await;
    {
        let _transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let (enqueued, begun) = tokio::join!(shop.store.enqueue(vec![run.clone()]), jobs.begin());
        assert_eq!(enqueued.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(begun.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(shop.store.enqueue(vec![run]).await.unwrap()[0].is_new(), "nothing was stored before");
}

async fn other_process(shop: &Shop) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(shop.folder.path().join("shop.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

//! Runs, events and steps in an application's own transaction.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use riqle_jobs_conformance::{ShopHarness, transaction_suite};
use riqle_jobs_core::{
    ErrorKind, Inspect, Jobs, LeaseToken, ManualClock, NewRun, Payload, Priority, Registry, RunFilter,
    store::{JobDeclaration, JobRules, NewEvent},
};
use riqle_jobs_postgres::{Postgres, PostgresOptions};
use sqlx::{PgConnection, Row};

use crate::support::Schema;

struct Shop {
    schema: Schema,
    store: Postgres,
    clock: ManualClock,
}

impl ShopHarness for Shop {
    type Connection = PgConnection;
    type Database = Postgres;

    async fn start() -> Self {
        let (schema, clock) = (Schema::new(), ManualClock::new());
        let url = format!("{}&options=-c%20search_path%3D{}", schema.url(), schema.name);
        let store = Postgres::options(&url).clock(&clock).open().await.unwrap();
        sqlx::query("CREATE TABLE orders (id TEXT)").execute(store.pool()).await.unwrap();
        Self { schema, store, clock }
    }

    fn store(&self) -> &Postgres {
        &self.store
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn insert_order(connection: &mut PgConnection) {
        sqlx::query("INSERT INTO orders (id) VALUES ('order-1')").execute(connection).await.unwrap();
    }

    async fn orders(&self) -> i64 {
        sqlx::query("SELECT count(*) FROM orders").fetch_one(self.store.pool()).await.unwrap().get(0)
    }

    async fn take_over(store: &Postgres) {
        let taken = sqlx::query("UPDATE runs SET token = $1 WHERE state = 'running'")
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
async fn an_event_whose_run_is_refused_is_named_and_leaves_the_transaction_able_to_commit() {
    let shop = Shop::start().await;
    let nameless = JobDeclaration {
        name: "greet".to_owned(),
        queue: String::new(),
        priority: Priority::HIGH,
        trigger: Some("user/created".to_owned()),
        policy: None,
        rules: JobRules::default(),
    };
    shop.store.register_jobs(vec![nameless]).await.unwrap();
    let event = |name: &str| NewEvent::new(name, name, Payload::json("Ada").unwrap());
    let events = vec![event("user/deleted"), event("user/created")];
    let mut transaction = Jobs::new(&shop.store).begin().await.unwrap();
    Shop::insert_order(&mut transaction).await;
    let refused = shop.store.send_event_in(&mut transaction, events).await.unwrap_err();
    assert_eq!((refused.kind(), refused.index()), (ErrorKind::Rejected, Some(1)), "{refused}");
    transaction.commit().await.unwrap();
    assert_eq!(shop.orders().await, 1);
    assert!(shop.store.runs(RunFilter::default()).await.unwrap().is_empty());
    let names = vec!["user/deleted".to_owned(), "user/created".to_owned()];
    assert!(shop.store.idle_events(names, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pool_of_the_application_carries_its_transactions() {
    let shop = Shop::start().await;
    let pool = sqlx::PgPool::connect(&support::database_url()).await.unwrap();
    let store = PostgresOptions::of_pool(pool.clone()).schema(&shop.schema.name).open().await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let (answers, wake) = store.enqueue_in(&mut transaction, vec![greeting()]).await.unwrap();
    transaction.commit().await.unwrap();
    wake.fire();
    assert!(store.run(answers[0].id()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn f18_two_transactions_with_one_key_store_one_run() {
    let shop = Shop::start().await;
    let run = || greeting().unique("ada");
    let mut first = Jobs::new(&shop.store).begin().await.unwrap();
    let (answers, _) = shop.store.enqueue_in(&mut first, vec![run()]).await.unwrap();
    let store = shop.store.clone();
    let second = tokio::spawn(async move {
        let mut second = Jobs::new(&store).begin().await.unwrap();
        let (answers, _) = store.enqueue_in(&mut second, vec![run()]).await.unwrap();
        second.commit().await.unwrap();
        answers
    });
    // Long enough for the second to wait for the key; nothing hangs on how long.
    tokio::time::sleep(Duration::from_millis(100)).await;
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), [riqle_jobs_core::Enqueued::Existing(answers[0].id())]);
}

#[tokio::test]
async fn what_postgresql_refuses_leaves_the_transaction_able_to_commit() {
    let shop = Shop::start().await;
    let mut transaction = Jobs::new(&shop.store).begin().await.unwrap();
    Shop::insert_order(&mut transaction).await;
    let mut run = greeting();
    run.gates = vec!["a\0b".to_owned()];
    let refused = shop.store.enqueue_in(&mut transaction, vec![run]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected, "{refused}");
    transaction.commit().await.unwrap();
    assert_eq!(shop.orders().await, 1);
}

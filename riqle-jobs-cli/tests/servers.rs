//! What each command prints, and its exit code, on PostgreSQL, Redis and Redis Cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{env, sync::Arc};

use riqle_jobs::{ManualClock, RunId, postgres::Postgres, redis::Redis, store::Store};

/// The server's URL with one more parameter.
fn with(variable: &str, parameter: &str) -> String {
    let server = env::var(variable).unwrap_or_else(|_| {
        panic!("these tests need servers: `cargo xtask test` starts them, or set {variable}")
    });
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}{parameter}_{}", RunId::new().as_uuid().simple())
}

async fn each_command_prints_the_same(name: &str, store: Arc<dyn Store>, clock: ManualClock) {
    for (part, transcript) in support::transcripts(&store, &clock).await {
        support::compare(name, part, &transcript);
    }
}

#[tokio::test]
async fn each_command_prints_the_same_on_postgres() {
    let clock = ManualClock::starting_at(support::start());
    let store = Postgres::options(&with("DATABASE_URL", "schema=cli")).clock(&clock).open().await.unwrap();
    each_command_prints_the_same("PostgreSQL", Arc::new(store), clock).await;
}

#[tokio::test]
async fn each_command_prints_the_same_on_redis() {
    let clock = ManualClock::starting_at(support::start());
    let store = Redis::options(&with("REDIS_URL", "prefix=cli")).clock(&clock).open().await.unwrap();
    each_command_prints_the_same("Redis", Arc::new(store), clock).await;
}

#[tokio::test]
async fn each_command_prints_the_same_on_a_cluster() {
    let clock = ManualClock::starting_at(support::start());
    let store = Redis::options(&with("REDIS_CLUSTER_URL", "prefix=cli")).clock(&clock).open().await.unwrap();
    each_command_prints_the_same("Redis Cluster", Arc::new(store), clock).await;
}

#[tokio::test]
async fn the_binary_makes_checks_follows_and_serves_a_new_store() {
    for (variable, parameter, has_schema) in [
        ("DATABASE_URL", "schema=new", true),
        ("REDIS_URL", "prefix=new", false),
        ("REDIS_CLUSTER_URL", "prefix=new", false),
    ] {
        let url = with(variable, parameter);
        support::binary::a_new_store_is_made_checked_followed_and_served(&url, has_schema).await;
    }
}

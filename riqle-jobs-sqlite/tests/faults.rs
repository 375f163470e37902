//! Files that are full, damaged, foreign, out of reach or of another version.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path, time::Duration};

use riqle_jobs_core::{
    ClaimRequest, Database, Error, ErrorKind, Inspect, LeaseToken, ManualClock, NewRun, Payload, Queue,
    Registry, RunFilter, WorkerId, store::NewEvent,
};
use riqle_jobs_sqlite::{Sqlite, SqliteOptions, Synchronous};
use sqlx::{Row, SqlitePool, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("jobs.db").display())
}

fn run_of(bytes: usize) -> NewRun {
    let input = Payload::json(&"x".repeat(bytes)).unwrap();
    NewRun::named("greet", input)
}

async fn stored(store: &Sqlite) -> usize {
    store.runs(RunFilter::all().limit(10_000)).await.unwrap().len()
}

#[tokio::test]
async fn f38_a_full_disk_is_told_and_leaves_nothing_half_written() {
    let folder = TempDir::new().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("jobs.db"))
        .create_if_missing(true)
        .pragma("max_page_count", "300");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = SqliteOptions::of_pool(pool.clone()).synchronous(Synchronous::Normal).open().await.unwrap();
    sqlx::query("CREATE TABLE ballast AS SELECT zeroblob(200000) AS bytes").execute(&pool).await.unwrap();
    let mut groups = 0;
    let full = loop {
        match store.enqueue(vec![run_of(30_000), run_of(30_000).unique(groups.to_string())]).await {
            Ok(_) => groups += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::Unavailable);
    assert!(full.message().contains("full"), "{full}");
    assert_eq!(stored(&store).await, groups * 2);
    let told = store.health().await.unwrap().write_error.unwrap();
    assert!(told.starts_with("writes have been failing for ") && told.contains("full"), "{told}");
    // A small neighbour of a large one is stored where there is room for it.
    let (large, small) = tokio::join!(store.enqueue(vec![run_of(500_000)]), store.enqueue(vec![run_of(10)]));
    assert_eq!(large.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(small.unwrap()[0].is_new());
    let event = NewEvent::new("large", "user/created", Payload::json(&"x".repeat(500_000)).unwrap());
    assert_eq!(store.store_events(vec![event]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    // The transaction of an application is told too, and can be rolled back.
    let mut transaction = store.begin().await.unwrap();
    let full = store.enqueue_in(&mut transaction, vec![run_of(500_000)]).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Unavailable);
    drop(transaction);
    sqlx::query("DELETE FROM ballast").execute(&pool).await.unwrap();
    assert!(store.enqueue(vec![run_of(30_000)]).await.unwrap()[0].is_new());
    assert_eq!(store.health().await.unwrap().write_error, None);
    assert_eq!(stored(&store).await, groups * 2 + 2);
}

#[tokio::test]
async fn f08_a_damaged_run_is_recovered_with_its_neighbours() {
    let folder = TempDir::new().unwrap();
    let clock = ManualClock::new();
    let store = Sqlite::options(&url(&folder)).clock(&clock).open().await.unwrap();
    let runs = [run_of(10), run_of(10)];
    store.enqueue(runs.to_vec()).await.unwrap();
    let request = |limit| ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit,
        lease: Duration::from_secs(30),
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    store.claim(request(2)).await.unwrap();
    sqlx::query("UPDATE riqle_runs SET attempts = 'damaged' WHERE id = ?1")
        .bind(runs[0].id.as_uuid())
        .execute(store.pool())
        .await
        .unwrap();
    clock.advance(Duration::from_secs(30));
    let recovered = store.claim(request(2)).await.unwrap().runs;
    assert_eq!(recovered.iter().map(|run| run.lease.run).collect::<Vec<_>>(), [runs[0].id, runs[1].id]);
    assert_eq!(store.run(runs[0].id).await.unwrap().unwrap().attempts.len(), 1);
}

async fn refused(url: &str) -> Error {
    Sqlite::connect(url).await.unwrap_err()
}

#[tokio::test]
async fn a_damaged_file_is_told_in_one_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("jobs.db");
    let store = Sqlite::connect(&url(&folder)).await.unwrap();
    store.enqueue(vec![run_of(30_000)]).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(store.pool()).await.unwrap();
    store.pool().close().await;
    drop(store);
    // The header stays, so that it still is a database.
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..8_000].fill(0xa5);
    let damaged = folder.path().join("damaged.db");
    fs::write(&damaged, bytes).unwrap();
    let error = refused(&format!("sqlite:{}", damaged.display())).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_one_line(&error);
}

#[tokio::test]
async fn a_foreign_file_is_told_in_one_line() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("jobs.db"), "name,price\n".repeat(1_000)).unwrap();
    let error = refused(&url(&folder)).await;
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert_one_line(&error);
}

#[tokio::test]
async fn a_missing_folder_is_told_with_the_way_out() {
    let folder = TempDir::new().unwrap();
    let error = refused(&format!("sqlite:{}", folder.path().join("missing/jobs.db").display())).await;
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.message().contains("does its folder exist"), "{error}");
    assert_one_line(&error);
    // A folder is no file either.
    let error = refused(&format!("sqlite:{}", folder.path().display())).await;
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
}

#[tokio::test]
async fn a_url_that_can_not_be_meant_is_told_with_the_way_out() {
    for (url, way_out) in [
        ("sqlite::memory:", "memory:"),
        ("sqlite:jobs.db?mode=memory", "memory:"),
        ("sqlite:", "sqlite:PATH"),
        ("jobs.db", "sqlite:PATH"),
        ("sqlite:jobs.db?synchronous=off", "full or normal"),
        ("sqlite:jobs.db?cache=shared", "known is synchronous"),
        ("sqlite:jobs.db?pasword=s3cret", "\"pasword\""),
    ] {
        let error = refused(url).await;
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}: {error}");
        assert!(error.message().contains(way_out) && !error.message().contains("s3cret"), "{url}: {error}");
        assert!(!Path::new("jobs.db").exists(), "{url} made a file");
    }
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let folder = TempDir::new().unwrap();
    Sqlite::connect(&url(&folder).replacen("sqlite", "SQLite", 1)).await.unwrap();
}

#[tokio::test]
async fn f28_a_newer_schema_is_refused_with_a_version_line() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::connect(&url(&folder)).await.unwrap();
    sqlx::query("INSERT INTO riqle_migrations (number, name, hash, applied_at) VALUES (99, 'later', '', 0)")
        .execute(store.pool())
        .await
        .unwrap();
    let error = refused(&url(&folder)).await;
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.message().contains("schema 99"), "{error}");
    // Who works already goes on.
    assert!(store.enqueue(vec![run_of(10)]).await.unwrap()[0].is_new());
}

#[tokio::test]
async fn synchronous_is_full_unless_normal_was_chosen() {
    let folder = TempDir::new().unwrap();
    let normal = format!("{}?synchronous=normal", url(&folder));
    for (options, expected) in [
        (Sqlite::options(&url(&folder)), 2),
        (Sqlite::options(&normal), 1),
        (Sqlite::options(&normal).synchronous(Synchronous::Full), 2),
    ] {
        let store = options.open().await.unwrap();
        let level = sqlx::query("PRAGMA synchronous").fetch_one(store.pool()).await.unwrap();
        assert_eq!(level.get::<i64, _>(0), expected);
        let mode = sqlx::query("PRAGMA journal_mode").fetch_one(store.pool()).await.unwrap();
        assert_eq!(mode.get::<&str, _>(0), "wal");
    }
}

fn assert_one_line(error: &Error) {
    assert!(!error.to_string().contains('\n'), "{error}");
}

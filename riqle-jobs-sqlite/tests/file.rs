//! A file that is removed, renamed or replaced while it is open, and its log of writes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use riqle_jobs_core::{
    Database, DatabaseTransaction, Error, ErrorKind, Inspect, LeaseRef, LeaseToken, NewRun, Payload, Queue,
    RunId,
};
use riqle_jobs_sqlite::Sqlite;
use sqlx::{Connection, Row, SqliteConnection, SqlitePool, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

fn url(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}

fn run_of(bytes: usize) -> NewRun {
    let input = Payload::json(&"x".repeat(bytes)).unwrap();
    NewRun::named("greet", input)
}

/// What is looked at twice a second has been looked at by then.
async fn a_second() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn is_unavailable<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// Nothing is taken, and the health says why.
async fn refuses_all(store: &Sqlite, because: &str) {
    is_unavailable(store.enqueue(vec![run_of(10)]).await);
    is_unavailable(store.begin().await);
    is_unavailable(store.run(RunId::new()).await);
    let lease = LeaseRef { queue: "default".into(), run: RunId::new(), token: LeaseToken::new() };
    let mut leases = store.lease_connection().await.unwrap();
    is_unavailable(leases.extend(vec![lease], Duration::from_secs(30)).await);
    let health = store.health().await.unwrap();
    assert!(health.write_error.is_some_and(|line| line.contains(because)));
}

#[tokio::test]
async fn a_file_that_was_renamed_takes_nothing_until_it_is_back() {
    let folder = TempDir::new().unwrap();
    let (file, away) = (folder.path().join("jobs.db"), folder.path().join("away.db"));
    let store = Sqlite::connect(&url(&file)).await.unwrap();
    let before = run_of(10);
    store.enqueue(vec![before.clone()]).await.unwrap();
    let open = store.begin().await.unwrap();
    fs::rename(&file, &away).unwrap();
    a_second().await;
    is_unavailable(open.commit().await);
    refuses_all(&store, "was removed or renamed").await;
    assert!(!file.exists(), "no other file is made in its place");

    fs::rename(&away, &file).unwrap();
    a_second().await;
    let after = run_of(10);
    store.enqueue(vec![after.clone()]).await.unwrap();
    assert_eq!(store.health().await.unwrap().problems, []);
    let again = Sqlite::connect(&url(&file)).await.unwrap();
    for run in [before, after] {
        assert!(again.run(run.id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_file_that_was_removed_takes_nothing_and_a_new_one_needs_a_new_store() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("jobs.db");
    let store = Sqlite::connect(&url(&file)).await.unwrap();
    store.enqueue(vec![run_of(10)]).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&file, suffix)).unwrap();
    }
    a_second().await;
    refuses_all(&store, "was removed or renamed").await;
    let other = Sqlite::connect(&url(&file)).await.unwrap();
    other.enqueue(vec![run_of(10)]).await.unwrap();
    a_second().await;
    refuses_all(&store, "another file").await;
    other.enqueue(vec![run_of(10)]).await.unwrap();
}

#[tokio::test]
async fn a_file_that_was_replaced_stays_refused_though_the_first_one_comes_back() {
    let folder = TempDir::new().unwrap();
    let (file, away) = (folder.path().join("jobs.db"), folder.path().join("away.db"));
    let store = Sqlite::connect(&url(&file)).await.unwrap();
    store.enqueue(vec![run_of(10)]).await.unwrap();
    fs::rename(&file, &away).unwrap();
    fs::copy(&away, &file).unwrap();
    a_second().await;
    refuses_all(&store, "another file").await;
    fs::rename(&away, &file).unwrap();
    a_second().await;
    refuses_all(&store, "another file").await;
}

#[tokio::test]
async fn a_log_of_writes_that_was_removed_takes_nothing_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let (file, copy) = (folder.path().join("jobs.db"), folder.path().join("copy.db"));
    let store = Sqlite::connect(&url(&file)).await.unwrap();
    let (first, second) = (run_of(10), run_of(10));
    for run in [&first, &second] {
        store.enqueue(vec![run.clone()]).await.unwrap();
    }
    fs::remove_file(beside(&file, "-wal")).unwrap();
    a_second().await;
    refuses_all(&store, "its -wal was removed: restart the processes that have it open").await;
    // What the processes find that are started next.
    fs::copy(&file, &copy).unwrap();
    let copy = Sqlite::connect(&url(&copy)).await.unwrap();
    for run in [first, second] {
        assert!(copy.run(run.id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_file_url_leads_to_its_file() {
    let folder = TempDir::new().unwrap();
    let (file, away) = (folder.path().join("our jobs.db"), folder.path().join("away.db"));
    let encoded = file.display().to_string().replace(' ', "%20");
    let store = Sqlite::connect(&format!("sqlite:file:{encoded}?synchronous=normal")).await.unwrap();
    let (first, second) = (run_of(10), run_of(10));
    store.enqueue(vec![first.clone()]).await.unwrap();
    a_second().await;
    store.enqueue(vec![second.clone()]).await.unwrap();
    let again = Sqlite::connect(&url(&file)).await.unwrap();
    let pool = SqlitePool::connect_lazy_with(
        SqliteConnectOptions::new().filename(format!("file:{encoded}?cache=private")),
    );
    let pooled = Sqlite::from_pool(pool).await.unwrap();
    for run in [first, second] {
        assert!(again.run(run.id).await.unwrap().is_some());
        assert!(pooled.run(run.id).await.unwrap().is_some());
    }
    fs::rename(&file, &away).unwrap();
    a_second().await;
    refuses_all(&store, "was removed or renamed").await;
    refuses_all(&pooled, "was removed or renamed").await;
}

#[tokio::test]
async fn a_pool_of_temporary_databases_is_refused() {
    let pool = SqlitePool::connect_lazy_with(SqliteConnectOptions::new().filename(""));
    let refused = Sqlite::from_pool(pool).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn the_log_of_writes_is_cut_down_after_a_long_reader() {
    const CUT_TO: u64 = 32 << 20;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("jobs.db");
    let store = Sqlite::connect(&format!("{}?synchronous=normal", url(&file))).await.unwrap();
    store.enqueue(vec![run_of(10)]).await.unwrap();
    let options = SqliteConnectOptions::new().filename(&file);
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    let mut reader = other.begin().await.unwrap();
    let count = sqlx::query("SELECT count(*) FROM riqle_runs").fetch_one(&mut *reader).await.unwrap();
    assert_eq!(count.get::<i64, _>(0), 1);
    let log = || fs::metadata(beside(&file, "-wal")).unwrap().len();
    while log() <= CUT_TO {
        store.enqueue((0..10).map(|_| run_of(500_000)).collect()).await.unwrap();
    }
    reader.rollback().await.unwrap();
    // The first one copies the log into the file, the second begins it from the front.
    for _ in 0..2 {
        store.enqueue(vec![run_of(10)]).await.unwrap();
    }
    assert!(log() <= CUT_TO, "{}", log());
}

//! A file system that is full in the middle of transactions, and has room again.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{env, fs, path::PathBuf, process::Command, thread};

use riqle_jobs_core::{Database, DatabaseTransaction, ErrorKind, Inspect, NewRun, Payload, Queue, RunFilter};
use riqle_jobs_sqlite::{Sqlite, SqliteTransaction};
use sqlx::{
    SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tempfile::TempDir;

/// As many as the store's own pool has connections.
const CONNECTIONS: usize = 8;

/// A file system of 4 MB.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// `None` where this user may mount nothing: the test has run, and held, as the root of a namespace of its own.
    fn new() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
        if !Command::new("mount").args(mount).arg(folder.path()).output().unwrap().status.success() {
            run_in_a_namespace();
            return None;
        }
        let disk = Self { folder };
        fs::write(disk.ballast(), vec![0; 2_000_000]).unwrap();
        Some(disk)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("jobs.db")
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    async fn pool_of_an_application(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS as u32);
        pool.connect_with(options).await.unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: connections may still be about to close.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn run_in_a_namespace() {
    const IS_IN_ONE: &str = "RIQLE_TEST_IS_IN_A_NAMESPACE";
    assert!(env::var_os(IS_IN_ONE).is_none(), "can't mount a file system as the root of a namespace");
    let test = thread::current();
    let mut again = Command::new("unshare");
    again.arg("-rm").arg(env::current_exe().unwrap()).args(["--exact", test.name().unwrap()]);
    let held = again.env(IS_IN_ONE, "1").status().unwrap().success();
    assert!(
        held,
        "see above; this test mounts a file system: run it as root, or where `unshare -rm mount` may"
    );
}

fn run_of(bytes: usize) -> NewRun {
    let input = Payload::json(&"x".repeat(bytes)).unwrap();
    NewRun::named("greet", input)
}

/// Opens all connections of the pool at once, so that each gets its turn.
async fn open_all(pool: &SqlitePool) {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(pool.acquire().await.unwrap());
    }
}

async fn insert(connection: &mut SqliteConnection, bytes: i64) {
    sqlx::query("INSERT INTO orders VALUES (zeroblob(?1))").bind(bytes).execute(connection).await.unwrap();
}

/// Commits orders until the log of writes finds no more room, and then once more than there are connections.
async fn fill(store: &Sqlite) {
    sqlx::query("CREATE TABLE orders (bytes BLOB)").execute(store.pool()).await.unwrap();
    let mut refused = 0;
    while refused <= CONNECTIONS {
        let mut transaction = store.begin().await.unwrap();
        insert(&mut transaction, 100_000).await;
        let _ = store.enqueue_in(&mut transaction, vec![run_of(10)]).await.unwrap();
        if let Err(error) = transaction.commit().await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.message().contains("full"), "{error}");
            refused += 1;
        }
    }
    let told = store.health().await.unwrap().write_error.unwrap_or_default();
    assert!(told.contains("full"), "{told}");
}

/// Twice as many transactions as there are connections.
async fn every_connection_begins_and_commits(store: &Sqlite) {
    let runs = async || store.runs(RunFilter::all().limit(1_000)).await.unwrap().len();
    let before = runs().await;
    for _ in 0..2 * CONNECTIONS {
        let mut transaction = store.begin().await.unwrap();
        insert(&mut transaction, 10).await;
        let _ = store.enqueue_in(&mut transaction, vec![run_of(10)]).await.unwrap();
        transaction.commit().await.unwrap();
    }
    assert_eq!(runs().await, before + 2 * CONNECTIONS);
    assert_eq!(store.health().await.unwrap().write_error, None);
    assert!(store.enqueue(vec![run_of(10)]).await.unwrap()[0].is_new());
}

#[tokio::test]
async fn transactions_whose_commit_found_the_disk_full_leave_every_connection_able_to_begin() {
    let Some(disk) = Disk::new() else { return };
    let store = Sqlite::connect(&format!("sqlite:{}", disk.file().display())).await.unwrap();
    open_all(store.pool()).await;
    fill(&store).await;
    disk.make_room();
    every_connection_begins_and_commits(&store).await;
}

#[tokio::test]
async fn transactions_whose_commit_found_the_disk_full_leave_an_applications_pool_able_to_begin() {
    let Some(disk) = Disk::new() else { return };
    let pool = disk.pool_of_an_application().await;
    let store = Sqlite::from_pool(pool.clone()).await.unwrap();
    open_all(&pool).await;
    fill(&store).await;
    disk.make_room();
    for _ in 0..2 * CONNECTIONS {
        pool.begin_with("BEGIN IMMEDIATE").await.unwrap().commit().await.unwrap();
    }
    every_connection_begins_and_commits(&store).await;
}

#[tokio::test]
async fn a_transaction_that_a_statement_rolled_back_says_so_and_spoils_no_connection() {
    let Some(disk) = Disk::new() else { return };
    let pool = disk.pool_of_an_application().await;
    let store = Sqlite::from_pool(pool.clone()).await.unwrap();
    open_all(&pool).await;
    sqlx::query("CREATE TABLE orders (bytes BLOB)").execute(store.pool()).await.unwrap();
    let ends: [fn(SqliteTransaction) -> _; 3] = [
        |transaction| tokio::spawn(transaction.commit()),
        |transaction| tokio::spawn(transaction.rollback()),
        |transaction| {
            drop(transaction);
            tokio::spawn(async { Ok(()) })
        },
    ];
    for end in ends {
        let mut transaction = store.begin().await.unwrap();
        insert(&mut transaction, 10).await;
        // More than the cache of a connection holds, so that it is written, and refused, before the commit.
        let large =
            sqlx::query("INSERT INTO orders SELECT zeroblob(900000) FROM json_each('[1, 2, 3, 4, 5, 6]')");
        large.execute(&mut *transaction).await.unwrap_err();
        match end(transaction).await.unwrap() {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(error.message().contains("rolled the transaction back"), "{error}");
            }
        }
    }
    disk.make_room();
    for _ in 0..2 * CONNECTIONS {
        pool.begin_with("BEGIN IMMEDIATE").await.unwrap().commit().await.unwrap();
    }
    every_connection_begins_and_commits(&store).await;
}

#[tokio::test]
async fn a_connection_that_the_applications_own_transaction_spoiled_is_thrown_away() {
    for is_own in [true, false] {
        let Some(disk) = Disk::new() else { return };
        let store = match is_own {
            true => Sqlite::connect(&format!("sqlite:{}", disk.file().display())).await.unwrap(),
            false => Sqlite::from_pool(disk.pool_of_an_application().await).await.unwrap(),
        };
        open_all(store.pool()).await;
        sqlx::query("CREATE TABLE orders (bytes BLOB)").execute(store.pool()).await.unwrap();
        let mut refused = 0;
        while refused < CONNECTIONS / 2 {
            let mut transaction = store.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
            insert(&mut transaction, 100_000).await;
            let _ = store.enqueue_in(&mut transaction, vec![run_of(10)]).await.unwrap();
            refused += usize::from(transaction.commit().await.is_err());
        }
        disk.make_room();
        every_connection_begins_and_commits(&store).await;
        for _ in 0..2 * CONNECTIONS {
            store.pool().begin_with("BEGIN IMMEDIATE").await.unwrap().commit().await.unwrap();
        }
    }
}

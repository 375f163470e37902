//! A process that changes its working directory; alone, since that is the whole process's.

#![allow(clippy::unwrap_used)]

use std::{env, fs, time::Duration};

use riqle_jobs_core::{Database, DatabaseTransaction, ErrorKind, Inspect, NewRun, Payload, Queue};
use riqle_jobs_sqlite::Sqlite;
use tempfile::TempDir;

fn run() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

#[tokio::test]
async fn a_relative_path_stays_the_one_it_was_when_the_store_was_opened() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for url in ["sqlite:jobs.db", "sqlite:file:jobs.db"] {
        env::set_current_dir(folder.path()).unwrap();
        let store = Sqlite::connect(url).await.unwrap();
        let first = run();
        store.enqueue(vec![first.clone()]).await.unwrap();
        env::set_current_dir(elsewhere.path()).unwrap();
        // What is looked at twice a second is looked at again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = run();
        store.enqueue(vec![second.clone()]).await.unwrap();
        // More connections than there were.
        for run in [&first, &second] {
            let transaction = store.begin().await.unwrap();
            assert!(store.run(run.id).await.unwrap().is_some());
            transaction.commit().await.unwrap();
        }
        let mut leases = store.lease_connection().await.unwrap();
        assert!(leases.extend(Vec::new(), Duration::from_secs(30)).await.unwrap().is_empty());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);

        let (file, away) = (folder.path().join("jobs.db"), folder.path().join("away.db"));
        fs::rename(&file, &away).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(store.enqueue(vec![run()]).await.unwrap_err().kind(), ErrorKind::Unavailable);
        fs::rename(&away, &file).unwrap();
    }
}

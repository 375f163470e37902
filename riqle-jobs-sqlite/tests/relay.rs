//! The relay as a process of its own, killed at the worst moment.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{
    Clock, Database, DatabaseTransaction, Inspect, ManualClock, NewRun, Payload, Relay, Staging, later,
    store::StagingStatus,
};
use riqle_jobs_sqlite::Sqlite;
use tempfile::TempDir;

fn url(folder: &str, name: &str) -> String {
    format!("sqlite:{folder}/{name}.db")
}

/// Does nothing by itself; a test starts it as a process of its own. It stops for good before what it is told.
#[tokio::test(flavor = "multi_thread")]
async fn relay_process() {
    let (Ok(folder), Ok(before)) = (env::var("RIQLE_RELAY_FOLDER"), env::var("RIQLE_RELAY_STOPS_BEFORE"))
    else {
        return;
    };
    let stops_before = move |operation: &str| {
        if operation == before {
            println!("said {before}");
            std::io::stdout().flush().unwrap();
            loop {
                std::thread::park();
            }
        }
    };
    let stops = stops_before.clone();
    let shop = Sqlite::connect(&url(&folder, "shop")).await.unwrap();
    let jobs = Sqlite::connect(&url(&folder, "jobs")).await.unwrap();
    let shop = riqle_jobs_conformance::UnreliableStaging::new(Arc::new(shop), move |operation| {
        stops(operation);
        None::<Fault>
    });
    let jobs = Unreliable::new(Arc::new(jobs), move |operation| {
        stops_before(operation);
        None
    });
    Relay::new(&shop, &jobs).run_until(std::future::pending()).await.unwrap();
}

/// F01, F18
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_between_the_enqueue_and_the_removal_repeats_it_without_harm() {
    for (stops_before, had_arrived) in [("enqueue", 0), ("remove_staged", 20)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display().to_string();
        let shop = Sqlite::connect(&url(&path, "shop")).await.unwrap();
        let jobs = Sqlite::connect(&url(&path, "jobs")).await.unwrap();
        let input = Payload::json("Ada").unwrap();
        let run = |_| NewRun::named("greet", input.clone());
        let runs: Vec<NewRun> = (0..20).map(run).collect();
        let mut transaction = shop.begin().await.unwrap();
        let wake = shop.stage_in(&mut transaction, runs.clone()).await.unwrap();
        transaction.commit().await.unwrap();
        wake.fire();

        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "relay_process", "--nocapture"])
            .env("RIQLE_RELAY_FOLDER", &path)
            .env("RIQLE_RELAY_STOPS_BEFORE", stops_before)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.find_map(|line| line.split_once("said ").map(|(_, word)| word.to_owned()));
        assert_eq!(said.as_deref(), Some(stops_before));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(arrived(&jobs).await, had_arrived, "before {stops_before}");
        assert_eq!(shop.staging_status().await.unwrap().waiting, 20);

        // Once the lease of the dead is over; the clock is moved rather than waited for.
        let clock = ManualClock::starting_at(later(Clock::Server.local_now(), Duration::from_secs(60)));
        let later = Sqlite::options(&url(&path, "shop")).clock(&clock).open().await.unwrap();
        Relay::new(&later, &jobs).run_until_idle().await.unwrap();
        assert_eq!(arrived(&jobs).await, 20);
        for run in &runs {
            assert!(jobs.run(run.id).await.unwrap().is_some());
        }
        assert_eq!(shop.staging_status().await.unwrap(), StagingStatus::default());
    }
}

async fn arrived(jobs: &Sqlite) -> u64 {
    jobs.counts().await.unwrap().iter().map(|count| count.runs).sum()
}

#[tokio::test]
async fn the_health_tells_of_what_is_stuck_and_what_was_refused() {
    let folder = TempDir::new().unwrap();
    let clock = ManualClock::new();
    let url = url(&folder.path().display().to_string(), "shop");
    let shop = Sqlite::options(&url).clock(&clock).open().await.unwrap();
    let input = Payload::json("Ada").unwrap();
    let run = || NewRun::named("greet", input.clone());
    let mut transaction = shop.begin().await.unwrap();
    let _ = shop.stage_in(&mut transaction, vec![run(), run()]).await.unwrap();
    transaction.commit().await.unwrap();
    clock.advance(Duration::from_secs(59));
    assert!(shop.health().await.unwrap().problems.is_empty());

    clock.advance(Duration::from_secs(1));
    shop.refuse_staged(riqle_jobs_core::store::StagedNumber(1), "no").await.unwrap();

    let problems = shop.health().await.unwrap().problems;
    assert_eq!(problems.len(), 2);
    assert!(
        problems[0].what.starts_with("1 staged runs or events are waiting, the oldest for 60 s"),
        "{problems:?}"
    );
    assert!(problems[1].what.starts_with("1 staged runs or events were refused"), "{problems:?}");
}

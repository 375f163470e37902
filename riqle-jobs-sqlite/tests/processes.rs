//! Several processes, and several handles, on one file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use riqle_jobs_core::{
    ClaimRequest, Database, Hint, Inspect, LeaseToken, NewRun, Payload, Queue, RunFilter, RunId, WorkerId,
};
use riqle_jobs_sqlite::Sqlite;
use tempfile::TempDir;

const GROUP: usize = 10;

fn group() -> Vec<NewRun> {
    let input = Payload::json("Ada").unwrap();
    (0..GROUP).map(|_| NewRun::named("greet", input.clone())).collect()
}

fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("jobs.db").display())
}

async fn stored(store: &Sqlite) -> HashSet<RunId> {
    let runs = store.runs(RunFilter::all().limit(usize::MAX)).await.unwrap();
    runs.iter().map(|run| run.id).collect()
}

async fn claim_all(store: &Sqlite) -> Vec<RunId> {
    let mut claimed = Vec::new();
    loop {
        let request = ClaimRequest {
            queue: "default".to_owned(),
            jobs: ["greet".to_owned()].into(),
            limit: 7,
            lease: Duration::from_secs(600),
            token: LeaseToken::new(),
            worker: WorkerId::new(),
        };
        let runs = store.claim(request).await.unwrap().runs;
        if runs.is_empty() {
            return claimed;
        }
        claimed.extend(runs.iter().map(|run| run.lease.run));
    }
}

/// Starts this test binary once more, to play one part in a process of its own.
fn start(part: &str, folder: &TempDir) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "part_of_another_process", "--nocapture"])
        .env("RIQLE_TEST_PART", part)
        .env("RIQLE_TEST_URL", url(folder))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The words that a part prints, a line each.
fn words(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.filter_map(|line| line.split_once("said ").map(|(_, word)| word.to_owned()))
}

fn say(word: impl std::fmt::Display) {
    println!("said {word}");
    std::io::stdout().flush().unwrap();
}

/// Does nothing by itself; plays its part where a test starts it.
#[tokio::test]
async fn part_of_another_process() {
    let (Ok(part), Ok(url)) = (env::var("RIQLE_TEST_PART"), env::var("RIQLE_TEST_URL")) else { return };
    let store = Sqlite::connect(&url).await.unwrap();
    match part.as_str() {
        "enqueue and claim" => {
            for _ in 0..20 {
                store.enqueue(group()).await.unwrap();
            }
            claim_all(&store).await.into_iter().for_each(say);
        }
        "hold a transaction" => {
            let mut transaction = store.begin().await.unwrap();
            let _ = store.enqueue_in(&mut transaction, group()).await.unwrap();
            say("held");
            std::future::pending().await
        }
        "enqueue for ever" => loop {
            for answer in store.enqueue(group()).await.unwrap() {
                say(answer.id());
            }
        },
        part => panic!("{part}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f28_many_starts_at_once_on_a_new_file_make_one_schema() {
    let folder = TempDir::new().unwrap();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let url = url(&folder);
            tokio::spawn(async move { Sqlite::connect(&url).await.unwrap() })
        })
        .collect();
    for start in starts {
        start.await.unwrap().enqueue(group()).await.unwrap();
    }
    let store = Sqlite::connect(&url(&folder)).await.unwrap();
    assert_eq!(stored(&store).await.len(), 8 * GROUP);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_on_one_new_file_share_its_runs_and_none_is_claimed_twice() {
    let folder = TempDir::new().unwrap();
    let mut children: Vec<_> = (0..3).map(|_| start("enqueue and claim", &folder)).collect();
    let mut claimed: Vec<String> = children.iter_mut().flat_map(words).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = Sqlite::connect(&url(&folder)).await.unwrap();
    claimed.extend(claim_all(&store).await.iter().map(RunId::to_string));
    assert_eq!(claimed.len(), 3 * 20 * GROUP);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), 3 * 20 * GROUP);
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_writer_killed_in_its_transaction_leaves_nothing_half_written() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::connect(&url(&folder)).await.unwrap();
    let mut child = start("hold a transaction", &folder);
    assert_eq!(words(&mut child).next().as_deref(), Some("held"));
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.enqueue(group()).await }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(stored(&store).await.len(), GROUP);
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_killed_producer_leaves_whole_groups_and_all_that_were_acknowledged() {
    let folder = TempDir::new().unwrap();
    for acknowledged in [1, 35, 250] {
        let mut child = start("enqueue for ever", &folder);
        let mut words = words(&mut child);
        let mut told: Vec<String> = words.by_ref().take(acknowledged).collect();
        child.kill().unwrap();
        told.extend(words);
        child.wait().unwrap();
        let store = Sqlite::connect(&url(&folder)).await.unwrap();
        let stored = stored(&store).await;
        assert_eq!(stored.len() % GROUP, 0);
        // The last line may have been cut.
        told.retain(|id| id.len() == 36);
        assert!(told.iter().all(|id| stored.contains(&id.parse().unwrap())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_on_one_file_wake_each_other() {
    let folder = TempDir::new().unwrap();
    let first = Sqlite::connect(&url(&folder)).await.unwrap();
    let second = Sqlite::connect(&url(&folder)).await.unwrap();
    let mut hints = first.wake_ups();
    second.enqueue(group()).await.unwrap();
    assert_eq!(hints.next().await, Hint::Due(Some("default".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_finished_though_its_caller_has_gone() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::connect(&url(&folder)).await.unwrap();
    let runs = group();
    {
        let enqueue = store.enqueue(runs.clone());
        tokio::pin!(enqueue);
        // Polled once, so that it is on its way, and dropped.
        assert!(is_pending_after_a_poll(&mut enqueue).await);
    }
    let answers = store.enqueue(runs).await.unwrap();
    assert!(answers.iter().all(|answer| !answer.is_new()), "the first call stored them");
}

/// Whether a future is still under way after one poll.
async fn is_pending_after_a_poll<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
    })
    .await
}

//! Servers that take less than they are given: few connections, few emails on each, nothing for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    collections::HashSet,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use riqle_jobs_core::{
    Inspect, Jobs, Memory, Pace, RunFilter, RunState, Sender, Shutdown, Worker, email::PROVIDER_AWAY,
};
use riqle_jobs_email::{
    SmtpMailer,
    jobs::{SendWelcomeEmail, WelcomeEmail},
};

use self::support::{
    fault_server::{FaultServer, Script},
    shop::brand,
};

const EMAILS: usize = 500;

struct Mill {
    store: Memory,
    jobs: Jobs,
    worker: Arc<Worker>,
    alerts: Arc<Mutex<Vec<String>>>,
}

impl Mill {
    fn over(server: &FaultServer) -> Self {
        let store = Memory::new();
        let mailer = SmtpMailer::from_url(&format!("smtp://127.0.0.1:{}?tls=none", server.port)).unwrap();
        let alerts = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&alerts);
        let worker = Worker::new(&store)
            .register(SendWelcomeEmail::new(Sender::new(&store, Arc::new(mailer)), brand()))
            .on_alert(move |alert| told.lock().unwrap().push(alert.error.clone()));
        Self { jobs: Jobs::new(&store), store, worker: Arc::new(worker), alerts }
    }

    async fn enqueue(&self, users: Range<usize>) {
        for number in users {
            let input = WelcomeEmail::new(format!("user-{number}"), format!("user-{number}@example.com"));
            self.jobs.enqueue(input).await.unwrap();
        }
    }

    async fn count(&self, state: RunState) -> u64 {
        let counts = self.store.counts().await.unwrap();
        counts.iter().filter(|count| count.state == state).map(|count| count.runs).sum()
    }

    /// Until no run is pending or running.
    async fn until_idle(&self) {
        while self.count(RunState::Pending).await + self.count(RunState::Running).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn each_once(server: &FaultServer) {
    let received = server.received();
    let recipients: HashSet<&str> = received.iter().map(|email| email.to.as_str()).collect();
    assert_eq!((received.len(), recipients.len()), (EMAILS, EMAILS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_makes_no_dead_letter_where_connections_and_emails_on_each_are_few() {
    for refusal in ["421 4.7.0 too many messages", "452 4.5.3 too many emails on this connection"] {
        let script = Script { most_connections: Some(3), emails_each: Some((5, refusal)), ..Script::new() };
        let server = FaultServer::start(script).await;
        let mill = Mill::over(&server);
        mill.enqueue(0..EMAILS).await;

        let two_minutes = Duration::from_secs(120);
        let shutdown = Shutdown::new();
        let work = async {
            let (working, ended) = (mill.worker.run_with(&shutdown), mill.until_idle());
            let end = async {
                ended.await;
                shutdown.stop();
            };
            tokio::join!(working, end).0.unwrap();
        };
        tokio::time::timeout(two_minutes, work).await.expect("all are delivered in time");

        each_once(&server);
        assert_eq!(mill.count(RunState::Succeeded).await, EMAILS as u64, "{refusal}");
        let runs = mill.store.runs(RunFilter::default()).await.unwrap();
        assert!(runs.iter().all(|run| run.failures == 0), "no attempt is charged");
        assert!(mill.alerts.lock().unwrap().len() <= 1, "{:?}", mill.alerts);
    }
}

/// The emails that meet the server away have a second in which it may come back: their policy.
#[tokio::test(flavor = "multi_thread")]
async fn the_dead_letters_of_a_server_that_was_away_are_one_group_and_one_replay_sends_them() {
    let mut server = FaultServer::start(Script::new()).await;
    let mill = Mill::over(&server);
    let shutdown = Shutdown::new();
    let working = tokio::spawn({
        let (worker, shutdown) = (Arc::clone(&mill.worker), shutdown.clone());
        async move { worker.run_with(&shutdown).await }
    });
    for round in 1..=2 {
        mill.enqueue((round - 1) * EMAILS / 2..round * EMAILS / 2).await;
        server.has_received(round * EMAILS / 10).await;
        let dead = mill.count(RunState::Dead).await;
        server.goes_away();
        // Longer than the one retry waits.
        while mill.count(RunState::Dead).await == dead {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.comes_back().await;
        mill.until_idle().await;
    }

    let groups = mill.store.dead_groups(10).await.unwrap();
    let [group] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!(group.error_fingerprint.as_deref(), Some(PROVIDER_AWAY));
    assert_eq!(group.runs, mill.count(RunState::Dead).await);
    let dead = RunFilter { error_fingerprint: group.error_fingerprint.clone(), ..RunFilter::default() };
    assert!(group.runs > 0);
    mill.jobs.replay_all(dead, Pace::per_second(10_000)).await.unwrap();
    mill.until_idle().await;
    each_once(&server);
    shutdown.stop();
    working.await.unwrap().unwrap();
}

//! Real faults: workers that are killed and stopped, a server that restarts, cuts connections, is full or fails over, while
//! runs of two steps go through. Workers are processes of their own, this very binary; what they do they write to one file
//! before and after, so that it is checked from their own words and not from the store's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::{
    collections::{BTreeSet, HashMap},
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use riqle_jobs_core::{
    ErrorKind, Inspect, Job, JobError, JobInput, NewRun, Queue, RetryPolicy, RunContext, RunId, RunState,
    Worker,
};
use riqle_jobs_redis::Redis;
use tokio::time::{sleep, timeout};

use crate::support::redis_server::{RedisCluster, RedisServer};

const LEASE: Duration = Duration::from_secs(2);

/// Two steps, each told before and after.
struct Told {
    history: Arc<File>,
    step: Duration,
}

impl Told {
    fn tell(&self, line: String) {
        // One small write to a file opened for appending: lines of several processes don't mix.
        (&*self.history).write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct ToldInput(u32);

impl JobInput for ToldInput {
    const JOB: &'static str = "told";
}

impl Job for Told {
    type Input = ToldInput;
    type Output = ();

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::fixed(Duration::from_millis(50)).max_retries(20)
    }

    async fn run(&self, run: &RunContext, ToldInput(number): ToldInput) -> Result<(), JobError> {
        for name in ["first", "second"] {
            run.step(name, || async {
                self.tell(format!("compute {number} {name}"));
                sleep(self.step).await;
                Ok(())
            })
            .await?;
            self.tell(format!("saved {number} {name}"));
        }
        Ok(())
    }
}

/// No test by itself: what the worker processes run.
#[tokio::test(flavor = "multi_thread")]
async fn worker_process() {
    let Ok(url) = std::env::var("RIQLE_FAULTS_URL") else { return };
    let history =
        OpenOptions::new().append(true).open(std::env::var("RIQLE_FAULTS_HISTORY").unwrap()).unwrap();
    let store = loop {
        match Redis::connect(&url).await {
            Ok(store) => break store,
            Err(error) if error.kind() == ErrorKind::Unavailable => sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let step = Duration::from_millis(std::env::var("RIQLE_FAULTS_STEP").unwrap().parse().unwrap());
    let worker = Worker::new(&store).label("one-name").lease(LEASE).concurrency(4);
    worker
        .register(Told { history: Arc::new(history), step })
        .run_until(std::future::pending())
        .await
        .unwrap();
}

/// Two workers on the store of a URL.
struct Scene {
    url: String,
    folder: tempfile::TempDir,
    step: u32,
    workers: Vec<Child>,
}

impl Scene {
    /// Their steps take so many milliseconds.
    fn start(url: String, step: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("history")).unwrap();
        let mut scene = Self { url, folder, step, workers: Vec::new() };
        scene.workers = (0..2).map(|_| scene.worker()).collect();
        scene
    }

    fn history(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    fn worker(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["worker_process", "--exact"])
            .env("RIQLE_FAULTS_URL", &self.url)
            .env("RIQLE_FAULTS_HISTORY", self.history())
            .env("RIQLE_FAULTS_STEP", self.step.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn signal(&self, worker: usize, signal: &str) {
        let pid = self.workers[worker].id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn kill_and_replace(&mut self, worker: usize) {
        self.workers[worker].kill().unwrap();
        self.workers[worker].wait().unwrap();
        self.workers[worker] = self.worker();
    }

    /// Waits until every run has ended, and checks what the workers have told. Answers which are not there.
    async fn all_that_are_there_end_as_they_should(&self, runs: &[RunId]) -> Vec<RunId> {
        let store = Redis::connect(&self.url).await.unwrap();
        let mut missing = Vec::new();
        let ended = async {
            for id in runs {
                loop {
                    let Some(run) = store.run(*id).await.unwrap() else {
                        missing.push(*id);
                        break;
                    };
                    if run.state.is_ended() {
                        assert_eq!(run.state, RunState::Succeeded, "{run:?}");
                        break;
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            }
        };
        timeout(Duration::from_secs(60), ended).await.expect("a run has not ended");
        missing
    }

    async fn all_end_as_they_should(&self, runs: &[RunId]) {
        assert_eq!(self.all_that_are_there_end_as_they_should(runs).await, []);
        no_step_is_computed_after_it_was_saved(&self.history());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

fn no_step_is_computed_after_it_was_saved(history: &Path) {
    let told = std::fs::read_to_string(history).unwrap();
    let mut saved: BTreeSet<&str> = BTreeSet::new();
    let mut computed: HashMap<&str, u32> = HashMap::new();
    for line in told.lines() {
        match line.split_once(' ').unwrap() {
            ("compute", step) => {
                assert!(!saved.contains(step), "step {step} was computed after it had been saved");
                *computed.entry(step).or_default() += 1;
            }
            (_, step) => {
                saved.insert(step);
            }
        }
    }
    let again = computed.values().filter(|count| **count > 1).count();
    eprintln!("{} steps, {again} of them computed again before they were saved", computed.len());
}

/// Enqueues while the fault goes on, again and again where the server is away: the ids make that harmless.
async fn enqueue(url: String, numbers: std::ops::Range<u32>) -> Vec<RunId> {
    let store = Redis::connect(&url).await.unwrap();
    let mut enqueued = Vec::new();
    for number in numbers {
        let run = NewRun::of(&ToldInput(number)).unwrap();
        // So that the faults come while runs do.
        sleep(Duration::from_millis(3)).await;
        loop {
            match store.enqueue(vec![run.clone()]).await {
                Ok(answers) => {
                    assert_eq!(answers[0].id(), run.id);
                    enqueued.push(run.id);
                    break;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
    enqueued
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_workers_that_are_killed_lose_no_run_and_no_saved_step() {
    let server = RedisServer::start(&[]).unwrap();
    let mut scene = Scene::start(server.url(), 3);
    let producing = tokio::spawn(enqueue(server.url(), 0..1000));
    for round in 0..8_u64 {
        // At points that differ from round to round: in a claim, a step, a save, a settlement.
        sleep(Duration::from_millis(150 + round * 37 % 100)).await;
        scene.kill_and_replace(usize::try_from(round % 2).unwrap());
    }
    scene.all_end_as_they_should(&producing.await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_a_server_that_restarts_again_and_again_strands_nothing() {
    // With `everysec` a server answers before it has written anything, for as long as the disk is busy with the sync before;
    // killed then, it loses what it has answered.
    let mut server = RedisServer::start(&["--appendfsync", "always"]).unwrap();
    let mut scene = Scene::start(server.url(), 3);
    let producing = tokio::spawn(enqueue(server.url(), 0..1000));
    for round in 0..4 {
        sleep(Duration::from_millis(700)).await;
        tokio::task::block_in_place(|| {
            if round % 2 == 0 {
                // Answered by the end of the connection.
                let _ = server.command(&["SHUTDOWN", "NOSAVE"]);
            }
            server.kill();
            server.start_again().unwrap();
        });
    }
    scene.all_end_as_they_should(&producing.await.unwrap()).await;
    for worker in &mut scene.workers {
        assert!(worker.try_wait().unwrap().is_none(), "a worker has ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_connections_that_are_cut_again_and_again_strand_nothing() {
    let server = RedisServer::start(&[]).unwrap();
    let scene = Scene::start(server.url(), 3);
    let cuts: u32 = std::env::var("RIQLE_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(10);
    // Runs come for as long as the cuts do.
    let producing = tokio::spawn(enqueue(server.url(), 0..1000 + cuts.saturating_sub(10) * 300));
    for cut in 0..cuts {
        sleep(Duration::from_millis(if cut < 10 { 150 } else { 1_000 })).await;
        for kind in ["normal", "pubsub"] {
            server.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).unwrap();
        }
    }
    eprintln!("{cuts} cuts; runs still came at the last: {}", !producing.is_finished());
    scene.all_end_as_they_should(&producing.await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f06_f30_a_worker_that_sleeps_past_its_lease_writes_nothing_under_its_old_name() {
    let server = RedisServer::start(&[]).unwrap();
    let scene = Scene::start(server.url(), 50);
    let runs = enqueue(server.url(), 0..100).await;
    for _ in 0..2 {
        // Until it surely holds some.
        sleep(Duration::from_millis(500)).await;
        scene.signal(0, "-STOP");
        sleep(LEASE + Duration::from_millis(500)).await;
        scene.signal(0, "-CONT");
    }
    scene.all_end_as_they_should(&runs).await;
    // What it held was taken over, and counted so.
    let store = Redis::connect(&server.url()).await.unwrap();
    let mut crashes = 0;
    for id in runs {
        crashes += store.run(id).await.unwrap().unwrap().crashes;
    }
    assert!(crashes > 0, "the stopped worker held nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_a_server_out_of_memory_refuses_whole_groups_and_lets_workers_drain() {
    let server = RedisServer::start(&["--maxmemory", "12mb"]).unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    let mut accepted = Vec::new();
    let mut number = 0;
    let refused = loop {
        let runs: Vec<_> = (0..500).map(|n| NewRun::of(&ToldInput(number + n)).unwrap()).collect();
        let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
        number += 500;
        match store.enqueue(runs).await {
            Ok(_) => accepted.extend(ids),
            Err(error) => break (error, ids),
        }
    };
    let (error, ids) = refused;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("out of memory"), "{error}");
    for id in ids {
        assert_eq!(store.run(id).await.unwrap(), None, "half a group is stored");
    }
    // What is there can be claimed, extended and settled.
    let request = riqle_jobs_core::ClaimRequest {
        queue: "default".to_owned(),
        jobs: Arc::from(["told".to_owned()]),
        limit: 100,
        lease: LEASE,
        token: riqle_jobs_core::LeaseToken::new(),
        worker: riqle_jobs_core::WorkerId::new(),
    };
    let claimed = store.claim(request).await.unwrap().runs;
    assert_eq!(claimed.len(), 100);
    let leases = claimed.iter().map(|run| run.lease.clone()).collect();
    let held = store.extend(leases, LEASE).await.unwrap();
    assert!(held.iter().all(|answer| *answer == riqle_jobs_core::LeaseAnswer::Done));
    let settlements = claimed.iter().map(|run| riqle_jobs_core::Settlement {
        lease: run.lease.clone(),
        ending: riqle_jobs_core::Ending::Succeeded { output: run.input.clone() },
        failures: 0,
        attempt: 1,
        outcome: riqle_jobs_core::AttemptOutcome::Succeeded,
        error: None,
        error_fingerprint: None,
    });
    let settled = store.settle(settlements.collect()).await.unwrap();
    assert!(settled.iter().all(|answer| *answer == riqle_jobs_core::LeaseAnswer::Done));
    // Nor does a single run fit, and workers save their steps.
    while store.enqueue(vec![NewRun::of(&ToldInput(number)).unwrap()]).await.is_ok() {
        number += 1;
    }
    let scene = Scene::start(server.url(), 0);
    scene.all_end_as_they_should(&accepted[..4_000]).await;
    let error = store.enqueue(vec![NewRun::of(&ToldInput(number)).unwrap()]).await.unwrap_err();
    assert!(error.to_string().contains("out of memory"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_brings_no_more_bytes_of_inputs_than_a_worker_can_hold() {
    let server = RedisServer::start(&[]).unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    let input = riqle_jobs_core::Payload::json(&"x".repeat(1_000_000)).unwrap();
    let run = || NewRun::with_payload("large", "default", riqle_jobs_core::Priority::DEFAULT, input.clone());
    store.enqueue((0..40).map(|_| run()).collect()).await.unwrap();
    let claim = || {
        store.claim(riqle_jobs_core::ClaimRequest {
            queue: "default".to_owned(),
            jobs: Arc::from(["large".to_owned()]),
            limit: 40,
            lease: LEASE,
            token: riqle_jobs_core::LeaseToken::new(),
            worker: riqle_jobs_core::WorkerId::new(),
        })
    };

    // 32 MiB, and the run that goes beyond.
    assert_eq!(claim().await.unwrap().runs.len(), 34);
    assert_eq!(claim().await.unwrap().runs.len(), 6);
}

/// Whether it holds the queue of the jobs here, and is no replica.
fn is_master(node: &RedisServer) -> bool {
    node.command(&["EXISTS", "riqle:{default}:jobs"]).is_ok_and(|answer| answer.starts_with(":1"))
}

/// Kills the master of the queue while runs come, and answers with those that were acknowledged and are not there.
async fn lost_by_a_failover(parameters: &str) -> Vec<RunId> {
    let mut cluster = RedisCluster::start().unwrap();
    let url = format!("{}{parameters}", cluster.url());
    let scene = Scene::start(url.clone(), 3);
    let producing = tokio::spawn(enqueue(url, 0..1000));
    let master = loop {
        match cluster.nodes.iter().position(is_master) {
            Some(master) => break master,
            None => sleep(Duration::from_millis(20)).await,
        }
    };
    // While runs come and go.
    sleep(Duration::from_millis(800)).await;
    tokio::task::block_in_place(|| cluster.nodes[master].kill());
    while !cluster.nodes.iter().enumerate().any(|(n, node)| n != master && is_master(node)) {
        sleep(Duration::from_millis(20)).await;
    }
    // It comes back as a replica: without one nothing is acknowledged where `wait` asks for it.
    tokio::task::block_in_place(|| cluster.nodes[master].start_again()).unwrap();
    let runs = timeout(Duration::from_secs(60), producing).await.expect("the replica takes over").unwrap();
    scene.all_that_are_there_end_as_they_should(&runs).await
}

#[tokio::test(flavor = "multi_thread")]
async fn f20_a_master_that_fails_over_loses_at_most_what_was_not_replicated() {
    let lost = lost_by_a_failover("").await;
    eprintln!("acknowledged, not replicated and lost: {lost:?}");
    assert!(lost.len() <= 20, "more than what was under way is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn f20_with_wait_a_master_that_fails_over_loses_nothing() {
    assert_eq!(lost_by_a_failover("?wait=1").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn f20_a_master_that_accepts_and_never_answers_holds_up_nobody_once_its_replica_took_over() {
    let cluster = RedisCluster::start().unwrap();
    let runs = enqueue(cluster.url(), 0..20).await;
    let master = cluster.nodes.iter().position(is_master).unwrap();
    cluster.nodes[master].signal("-STOP").unwrap();
    while !cluster.nodes.iter().enumerate().any(|(n, node)| n != master && is_master(node)) {
        sleep(Duration::from_millis(20)).await;
    }

    let store = Redis::connect(&cluster.url()).await.unwrap();

    assert!(store.run(runs[0]).await.unwrap().is_some());
    let scene = Scene::start(cluster.url(), 0);
    assert_eq!(scene.all_that_are_there_end_as_they_should(&runs).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_server_hangs_holds_up_no_enqueue_of_another() {
    let cluster = RedisCluster::start().unwrap();
    for node in &cluster.nodes {
        node.command(&["CONFIG", "SET", "cluster-replica-no-failover", "yes"]).unwrap();
    }
    let store = Redis::connect(&cluster.url()).await.unwrap();
    let run = |queue: &str| NewRun { queue: queue.to_owned(), ..NewRun::of(&ToldInput(0)).unwrap() };
    // In slots of different masters.
    let holder = |queue: &str| {
        let key = format!("riqle:{{{queue}}}:jobs");
        let holds =
            |node: &RedisServer| node.command(&["EXISTS", &key]).is_ok_and(|answer| answer.starts_with(":1"));
        cluster.nodes.iter().position(holds)
    };
    for queue in ["q0", "q1"] {
        store.enqueue(vec![run(queue)]).await.unwrap();
    }
    let (away, there) = (holder("q0").unwrap(), holder("q1").unwrap());
    assert_ne!(away, there);
    cluster.nodes[away].signal("-STOP").unwrap();
    let hung = tokio::spawn({
        let (store, run) = (store.clone(), run("q0"));
        async move { store.enqueue(vec![run]).await.map(drop) }
    });
    // Until it is surely under way.
    sleep(Duration::from_millis(200)).await;

    store.enqueue(vec![run("q1")]).await.unwrap();

    assert!(!hung.is_finished(), "the other queue came after it");
    assert_eq!(hung.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
}

/// Ends once it is told to, after a step.
struct OnQueue<const AWAY: bool>(Arc<tokio::sync::Semaphore>);

#[derive(serde::Serialize, serde::Deserialize)]
struct OnQueueInput<const AWAY: bool>;

impl<const AWAY: bool> JobInput for OnQueueInput<AWAY> {
    const JOB: &'static str = if AWAY { "away" } else { "there" };
    const QUEUE: &'static str = if AWAY { "q0" } else { "q1" };
}

impl<const AWAY: bool> Job for OnQueue<AWAY> {
    type Input = OnQueueInput<AWAY>;
    type Output = ();

    async fn run(&self, run: &RunContext, _: OnQueueInput<AWAY>) -> Result<(), JobError> {
        self.0.acquire().await?.forget();
        run.log("goes on");
        run.step("last", || async { Ok(()) }).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_server_hangs_holds_up_no_step_lease_note_or_end_of_another() {
    let cluster = RedisCluster::start().unwrap();
    for node in &cluster.nodes {
        node.command(&["CONFIG", "SET", "cluster-replica-no-failover", "yes"]).unwrap();
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).unwrap();
    }
    let store = Redis::connect(&cluster.url()).await.unwrap();
    let [away, there] = [0, 0].map(|permits| Arc::new(tokio::sync::Semaphore::new(permits)));
    // Within a quarter of it a connection is made to the nodes that answer: a second, and some more on a busy machine.
    let lease = Duration::from_secs(20);
    let worker = Worker::new(&store)
        .lease(lease)
        .register(OnQueue::<true>(Arc::clone(&away)))
        .register(OnQueue::<false>(Arc::clone(&there)));
    let (quick, slow) =
        (NewRun::of(&OnQueueInput::<true>).unwrap(), NewRun::of(&OnQueueInput::<false>).unwrap());
    let (hung, id) = (quick.id, slow.id);
    store.enqueue(vec![quick]).await.unwrap();
    store.enqueue(vec![slow]).await.unwrap();
    let shutdown = riqle_jobs_core::Shutdown::new();
    let working = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { worker.run_with(&shutdown).await }
    });
    let is_running = async |id| store.run(id).await.unwrap().unwrap().state == RunState::Running;
    while !(is_running(hung).await && is_running(id).await) {
        // Both have their slots.
        sleep(Duration::from_millis(20)).await;
    }
    let key = "riqle:{q0}:jobs";
    let holds =
        |node: &RedisServer| node.command(&["EXISTS", key]).is_ok_and(|answer| answer.starts_with(":1"));
    let node = cluster.nodes.iter().position(holds).unwrap();
    let info = cluster.nodes[node].command(&["INFO", "server"]).unwrap();
    let process = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().trim();
    let signal = |signal| assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
    signal("-STOP");
    away.add_permits(1);
    // The lease of the other run would have run out meanwhile.
    sleep(lease * 3 / 2).await;
    there.add_permits(1);

    // Asked of the servers, since the store looks for a run in every queue.
    let has_ended = |(number, server): (usize, &RedisServer)| {
        let ended = ["ZCARD", "riqle:{q1}:succeeded:there"];
        number != node && server.command(&ended).is_ok_and(|answer| answer.starts_with(":1"))
    };
    let ended = async {
        while !cluster.nodes.iter().enumerate().any(has_ended) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), ended).await.expect("it ends while the other queue is away");
    assert!(!working.is_finished());
    signal("-CONT");
    let run = loop {
        // Until the cluster knows that it is back.
        match store.run(id).await {
            Ok(run) => break run.unwrap(),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!((run.state, run.crashes, run.attempts.len()), (RunState::Succeeded, 0, 1));
    assert_eq!(store.notes(id).await.unwrap().lines.len(), 1);
    shutdown.stop();
    timeout(Duration::from_secs(30), working).await.expect("it stops").unwrap().unwrap();
}

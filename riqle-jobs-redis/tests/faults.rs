//! Real faults: workers that are killed and stopped, a server that restarts, cuts connections, is full or fails over, while
//! runs of two steps go through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::{process::Command, sync::Arc, time::Duration};

use riqle_jobs_conformance::{Connecting, FaultScene, ToldInput, enqueue_told};
use riqle_jobs_core::{
    ErrorKind, Inspect, Job, JobError, JobInput, NewRun, Queue, RunContext, RunId, RunState, Store, Worker,
};
use riqle_jobs_redis::Redis;
use riqle_jobs_test_servers::{RedisCluster, RedisServer};
use tokio::time::{sleep, timeout};

/// Two workers on the store of a URL; their steps take so many milliseconds.
fn workers(url: String, step: u64) -> FaultScene {
    FaultScene::start(connect, url, Duration::from_millis(step))
}

fn connect(url: String) -> Connecting {
    Box::pin(async move { Ok(Arc::new(Redis::connect(&url).await?) as Arc<dyn Store>) })
}

/// No test by itself: what the worker processes run.
#[tokio::test(flavor = "multi_thread")]
async fn worker_process() {
    FaultScene::work(connect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_workers_that_are_killed_lose_no_run_and_no_saved_step() {
    let server = RedisServer::start(&[]).unwrap();
    let mut scene = workers(server.url(), 3);
    let producing = scene.producing(0..1000);
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
    let mut scene = workers(server.url(), 3);
    let producing = scene.producing(0..1000);
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
    scene.all_workers_live();
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_connections_that_are_cut_again_and_again_strand_nothing() {
    let server = RedisServer::start(&[]).unwrap();
    let scene = workers(server.url(), 3);
    let cuts: u32 = std::env::var("RIQLE_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(10);
    // Runs come for as long as the cuts do.
    let producing = scene.producing(0..1000 + cuts.saturating_sub(10) * 300);
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
    let scene = workers(server.url(), 50);
    let runs = enqueue_told(connect, server.url(), 0..100).await;
    for _ in 0..2 {
        scene.every_worker_holds_a_run().await;
        scene.signal(0, "-STOP");
        sleep(FaultScene::LEASE + Duration::from_millis(500)).await;
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
        lease: FaultScene::LEASE,
        token: riqle_jobs_core::LeaseToken::new(),
        worker: riqle_jobs_core::WorkerId::new(),
    };
    let claimed = store.claim(request).await.unwrap().runs;
    assert_eq!(claimed.len(), 100);
    let leases = claimed.iter().map(|run| run.lease.clone()).collect();
    let held = store.extend(leases, FaultScene::LEASE).await.unwrap();
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
    let scene = workers(server.url(), 0);
    scene.all_end_as_they_should(&accepted[..4_000]).await;
    let error = store.enqueue(vec![NewRun::of(&ToldInput(number)).unwrap()]).await.unwrap_err();
    assert!(error.to_string().contains("out of memory"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_brings_no_more_bytes_of_inputs_than_a_worker_can_hold() {
    let server = RedisServer::start(&[]).unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    let input = riqle_jobs_core::Payload::json(&"x".repeat(1_000_000)).unwrap();
    let run = || NewRun::named("large", input.clone()).priority(riqle_jobs_core::Priority::DEFAULT);
    store.enqueue((0..40).map(|_| run()).collect()).await.unwrap();
    let claim = || {
        store.claim(riqle_jobs_core::ClaimRequest {
            queue: "default".to_owned(),
            jobs: Arc::from(["large".to_owned()]),
            limit: 40,
            lease: FaultScene::LEASE,
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
    let scene = workers(url, 3);
    let producing = scene.producing(0..1000);
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
    let runs = enqueue_told(connect, cluster.url(), 0..20).await;
    let master = cluster.nodes.iter().position(is_master).unwrap();
    cluster.nodes[master].signal("-STOP").unwrap();
    while !cluster.nodes.iter().enumerate().any(|(n, node)| n != master && is_master(node)) {
        sleep(Duration::from_millis(20)).await;
    }

    let store = Redis::connect(&cluster.url()).await.unwrap();

    assert!(store.run(runs[0]).await.unwrap().is_some());
    let scene = workers(cluster.url(), 0);
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

//! Real faults: workers that are killed and stopped, a server that crashes and cuts connections, while runs of two steps
//! go through.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use riqle_jobs_conformance::{AroundCommit, Connecting, FaultScene};
use riqle_jobs_core::{Inspect, Job, JobError, JobInput, Jobs, RunContext, Store, Worker};
use riqle_jobs_postgres::Postgres;
use riqle_jobs_test_servers::{Durability, PostgresServer};
use sqlx::Row;
use tokio::time::sleep;

/// A server and two workers on it.
struct Scene {
    workers: FaultScene,
    cluster: PostgresServer,
}

impl Scene {
    /// Their steps take so many milliseconds.
    fn start(step: u64) -> Self {
        let cluster = PostgresServer::start(Durability::NoSync).unwrap();
        let workers = FaultScene::start(connect, cluster.url(), Duration::from_millis(step));
        Self { workers, cluster }
    }

    async fn store(&self) -> Postgres {
        Postgres::connect(&self.cluster.url()).await.unwrap()
    }
}

fn connect(url: String) -> Connecting {
    Box::pin(async move { Ok(Arc::new(Postgres::connect(&url).await?) as Arc<dyn Store>) })
}

/// No test by itself: what the worker processes run.
#[tokio::test(flavor = "multi_thread")]
async fn worker_process() {
    FaultScene::work(connect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_workers_that_are_killed_lose_no_run_and_no_saved_step() {
    let mut scene = Scene::start(3);
    let producing = scene.workers.producing(0..1000);
    for round in 0..8_u64 {
        // At points that differ from round to round: in a claim, a step, a save, a settlement.
        sleep(Duration::from_millis(150 + round * 37 % 100)).await;
        scene.workers.kill_and_replace(usize::try_from(round % 2).unwrap());
    }
    let runs = producing.await.unwrap();
    scene.workers.all_end_as_they_should(&runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_a_server_that_crashes_again_and_again_strands_nothing() {
    let mut scene = Scene::start(3);
    let crashes: u32 = std::env::var("RIQLE_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(3);
    // Runs come for as long as the crashes do.
    let producing = scene.workers.producing(0..1000.max(crashes * 300));
    for _ in 0..crashes {
        sleep(Duration::from_millis(700)).await;
        let cluster = &mut scene.cluster;
        tokio::task::block_in_place(|| {
            cluster.crash();
            cluster.start_again().unwrap();
        });
    }
    eprintln!("{crashes} crashes; runs still came at the last: {}", !producing.is_finished());
    let runs = producing.await.unwrap();
    scene.workers.all_end_as_they_should(&runs).await;
    scene.workers.all_workers_live();
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_connections_that_are_cut_again_and_again_strand_nothing() {
    let scene = Scene::start(3);
    let producing = scene.workers.producing(0..1000);
    let store = scene.store().await;
    for _ in 0..10 {
        sleep(Duration::from_millis(150)).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        sqlx::query(cut).execute(store.pool()).await.unwrap();
    }
    let runs = producing.await.unwrap();
    scene.workers.all_end_as_they_should(&runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f06_f30_a_worker_that_sleeps_past_its_lease_writes_nothing_under_its_old_name() {
    let scene = Scene::start(50);
    let runs = scene.workers.producing(0..100).await.unwrap();
    for _ in 0..2 {
        scene.workers.every_worker_holds_a_run().await;
        scene.workers.signal(0, "-STOP");
        sleep(FaultScene::LEASE + Duration::from_millis(500)).await;
        scene.workers.signal(0, "-CONT");
    }
    scene.workers.all_end_as_they_should(&runs).await;
    // What it held was taken over, and counted so.
    let store = scene.store().await;
    let mut crashes = 0;
    for run in &runs {
        crashes += store.run(*run).await.unwrap().unwrap().crashes;
    }
    assert!(crashes > 0, "the stopped worker held nothing");
}

/// Writes an order and its step's result in one transaction; the process ends where `dies` says.
struct Mark {
    store: Postgres,
    dies: Option<&'static str>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct MarkInput(String);

impl JobInput for MarkInput {
    const JOB: &'static str = "mark";
}

impl Job for Mark {
    type Input = MarkInput;
    type Output = ();

    async fn run(&self, run: &RunContext, MarkInput(order): MarkInput) -> Result<(), JobError> {
        let dies = self.dies;
        let dies_at = move |place| move || if dies == Some(place) { std::process::abort() } else { Ok(()) };
        let database = AroundCommit::new(self.store.clone(), dies_at("before"), dies_at("after"));
        run.step_in(&Jobs::new(&database), "mark", async |tx| {
            let insert = sqlx::query("INSERT INTO orders (id) VALUES ($1)");
            insert.bind(order).execute(&mut **tx).await?;
            Ok(())
        })
        .await
    }
}

async fn mark(store: &Postgres, dies: Option<&'static str>) {
    let worker = Worker::new(store).lease(FaultScene::LEASE).register(Mark { store: store.clone(), dies });
    worker
        .run_until(async {
            while !has_ended(store).await {
                sleep(Duration::from_millis(20)).await
            }
        })
        .await
        .unwrap();
}

async fn has_ended(store: &Postgres) -> bool {
    store.counts().await.unwrap().iter().all(|count| count.state.is_ended())
}

/// No test by itself: the process that dies.
#[tokio::test(flavor = "multi_thread")]
async fn marking_process() {
    let Ok(dies) = std::env::var("RIQLE_FAULTS_DIES") else { return };
    let store = Postgres::connect(&std::env::var("RIQLE_FAULTS_URL").unwrap()).await.unwrap();
    mark(&store, Some(if dies == "before" { "before" } else { "after" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_around_the_commit_leaves_the_order_and_its_step_together() {
    let cluster = PostgresServer::start(Durability::NoSync).unwrap();
    let store = Postgres::connect(&cluster.url()).await.unwrap();
    sqlx::query("CREATE TABLE orders (id text)").execute(store.pool()).await.unwrap();
    for (dies, orders) in [("before", 1_i64), ("after", 2)] {
        Jobs::new(&store).enqueue(MarkInput(dies.to_owned())).await.unwrap();
        let died = Command::new(std::env::current_exe().unwrap())
            .args(["marking_process", "--exact"])
            .env("RIQLE_FAULTS_URL", cluster.url())
            .env("RIQLE_FAULTS_DIES", dies)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!died.success());
        mark(&store, None).await;
        let row = sqlx::query("SELECT count(*) FROM orders").fetch_one(store.pool()).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), orders, "it died {dies} the commit");
    }
}

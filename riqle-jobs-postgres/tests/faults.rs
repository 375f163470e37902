//! Real faults: workers that are killed and stopped, a server that crashes and cuts connections, while runs of two steps
//! go through. Workers are processes of their own, this very binary; what they do they write to one file before and
//! after, so that it is checked from their own words and not from the store's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use riqle_jobs_conformance::AroundCommit;
use riqle_jobs_core::{
    Enqueued, Error, ErrorKind, Inspect, Job, JobError, JobInput, Jobs, NewRun, Queue, RetryPolicy,
    RunContext, RunState, Worker,
};
use riqle_jobs_postgres::Postgres;
use sqlx::Row;
use tokio::time::{sleep, timeout};

use crate::support::cluster::{Cluster, Durability};

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
        match Postgres::connect(&url).await {
            Ok(store) => break store,
            Err(error) if error.kind() == ErrorKind::Unavailable => sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let worker = Worker::new(&store).label("one-name").lease(LEASE).concurrency(4);
    let step = Duration::from_millis(std::env::var("RIQLE_FAULTS_STEP").unwrap().parse().unwrap());
    worker
        .register(Told { history: Arc::new(history), step })
        .run_until(std::future::pending())
        .await
        .unwrap();
}

struct Scene {
    cluster: Cluster,
    folder: tempfile::TempDir,
    step: u32,
    workers: Vec<Child>,
}

impl Scene {
    /// Two workers, whose steps take so many milliseconds.
    fn start(step: u32) -> Self {
        let cluster = Cluster::start(Durability::NoSync).unwrap();
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("history")).unwrap();
        let mut scene = Self { cluster, folder, step, workers: Vec::new() };
        scene.workers = (0..2).map(|_| scene.worker()).collect();
        scene
    }

    fn history(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    fn worker(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["worker_process", "--exact"])
            .env("RIQLE_FAULTS_URL", self.cluster.url())
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

    async fn store(&self) -> Postgres {
        Postgres::connect(&self.cluster.url()).await.unwrap()
    }

    /// Waits until every run has ended, and checks what the workers have told.
    async fn all_end_as_they_should(&self, runs: &[Enqueued]) {
        let store = self.store().await;
        let ended = async {
            for run in runs {
                loop {
                    let run = store.run(run.id()).await.unwrap().expect("an acknowledged run is there");
                    if run.state.is_ended() {
                        assert_eq!(run.state, RunState::Succeeded, "{run:?}");
                        break;
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            }
        };
        timeout(Duration::from_secs(60), ended).await.expect("a run has not ended");
        no_step_is_computed_after_it_was_saved(&self.history());
        // As many as were enqueued, each once.
        let ids: HashSet<_> = runs.iter().map(|run| run.id()).collect();
        assert_eq!(ids.len(), runs.len());
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
async fn enqueue(url: &str, numbers: std::ops::Range<u32>) -> Vec<Enqueued> {
    let mut enqueued = Vec::new();
    let mut store = None;
    for number in numbers {
        let run = NewRun::of(&ToldInput(number)).unwrap();
        // So that the faults come while runs do.
        sleep(Duration::from_millis(3)).await;
        loop {
            match connect_and_enqueue(url, &mut store, &run).await {
                Ok(answers) => {
                    enqueued.push(answers[0]);
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

async fn connect_and_enqueue(
    url: &str,
    store: &mut Option<Postgres>,
    run: &NewRun,
) -> Result<Vec<Enqueued>, Error> {
    let store = match store {
        Some(store) => store,
        none => none.insert(Postgres::connect(url).await?),
    };
    store.enqueue(vec![run.clone()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_workers_that_are_killed_lose_no_run_and_no_saved_step() {
    let mut scene = Scene::start(3);
    let url = scene.cluster.url();
    let producing = tokio::spawn(async move { enqueue(&url, 0..1000).await });
    for round in 0..8_u64 {
        // At points that differ from round to round: in a claim, a step, a save, a settlement.
        sleep(Duration::from_millis(150 + round * 37 % 100)).await;
        scene.kill_and_replace(usize::try_from(round % 2).unwrap());
    }
    let runs = producing.await.unwrap();
    scene.all_end_as_they_should(&runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_a_server_that_crashes_again_and_again_strands_nothing() {
    let mut scene = Scene::start(3);
    let url = scene.cluster.url();
    let crashes: u32 = std::env::var("RIQLE_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(3);
    // Runs come for as long as the crashes do.
    let producing = tokio::spawn(async move { enqueue(&url, 0..1000.max(crashes * 300)).await });
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
    scene.all_end_as_they_should(&runs).await;
    for worker in &mut scene.workers {
        assert!(worker.try_wait().unwrap().is_none(), "a worker has ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_connections_that_are_cut_again_and_again_strand_nothing() {
    let scene = Scene::start(3);
    let url = scene.cluster.url();
    let producing = tokio::spawn(async move { enqueue(&url, 0..1000).await });
    let store = scene.store().await;
    for _ in 0..10 {
        sleep(Duration::from_millis(150)).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        sqlx::query(cut).execute(store.pool()).await.unwrap();
    }
    let runs = producing.await.unwrap();
    scene.all_end_as_they_should(&runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f06_f30_a_worker_that_sleeps_past_its_lease_writes_nothing_under_its_old_name() {
    let scene = Scene::start(50);
    let url = scene.cluster.url();
    let runs = enqueue(&url, 0..100).await;
    for _ in 0..2 {
        // Until it surely holds some.
        sleep(Duration::from_millis(500)).await;
        scene.signal(0, "-STOP");
        sleep(LEASE + Duration::from_millis(500)).await;
        scene.signal(0, "-CONT");
    }
    scene.all_end_as_they_should(&runs).await;
    // What it held was taken over, and counted so.
    let store = scene.store().await;
    let mut crashes = 0;
    for run in &runs {
        crashes += store.run(run.id()).await.unwrap().unwrap().crashes;
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
        run.step_in(&database, "mark", async |around| {
            let insert = sqlx::query("INSERT INTO orders (id) VALUES ($1)");
            insert.bind(order).execute(&mut *around.transaction).await?;
            Ok(())
        })
        .await
    }
}

async fn mark(store: &Postgres, dies: Option<&'static str>) {
    let worker = Worker::new(store).lease(LEASE).register(Mark { store: store.clone(), dies });
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
    let cluster = Cluster::start(Durability::NoSync).unwrap();
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

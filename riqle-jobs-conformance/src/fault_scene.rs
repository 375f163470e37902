//! Runs of two steps while something fails. Workers are processes of their own, this very test binary; what they do they
//! write to one file before and after, so that it is checked from their own words and not from the store's.

#![allow(clippy::panic, clippy::print_stderr)]

use std::{
    collections::{BTreeSet, HashMap},
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    ops::Range,
    path::PathBuf,
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use riqle_jobs_core::{
    Error, ErrorKind, Job, JobError, JobInput, NewRun, RetryPolicy, RunContext, RunFilter, RunId, RunState,
    Store, Worker,
};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Opens the store of a URL.
pub type Connect = fn(String) -> Connecting;
/// A store about to be opened.
pub type Connecting = Pin<Box<dyn Future<Output = Result<Arc<dyn Store>, Error>> + Send>>;

/// Two workers on the store of a URL. The test binary has a test named `worker_process` that calls [`FaultScene::work`].
pub struct FaultScene {
    connect: Connect,
    url: String,
    folder: TempDir,
    step: Duration,
    workers: Vec<Child>,
}

impl FaultScene {
    /// The workers' leases.
    pub const LEASE: Duration = Duration::from_secs(2);

    /// Starts them; each step takes so long.
    pub fn start(connect: Connect, url: String, step: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("history")).unwrap();
        let mut scene = Self { connect, url, folder, step, workers: Vec::new() };
        scene.workers = (0..2).map(|_| scene.worker()).collect();
        scene
    }

    /// What a worker process does; nothing where no scene has started it.
    pub async fn work(connect: Connect) {
        let Ok(url) = env::var("RIQLE_FAULTS_URL") else { return };
        let history =
            OpenOptions::new().append(true).open(env::var("RIQLE_FAULTS_HISTORY").unwrap()).unwrap();
        let store = loop {
            match connect(url.clone()).await {
                Ok(store) => break store,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let step = Duration::from_millis(env::var("RIQLE_FAULTS_STEP").unwrap().parse().unwrap());
        let worker = Worker::new(&store).label("one-name").lease(Self::LEASE).concurrency(4);
        worker
            .register(Told { history: Arc::new(history), step })
            .run_until(std::future::pending())
            .await
            .unwrap();
    }

    fn worker(&self) -> Child {
        Command::new(env::current_exe().unwrap())
            .args(["worker_process", "--exact"])
            .env("RIQLE_FAULTS_URL", &self.url)
            .env("RIQLE_FAULTS_HISTORY", self.history())
            .env("RIQLE_FAULTS_STEP", self.step.as_millis().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn history(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    /// Waits until each worker holds a run, or none is left.
    pub async fn every_worker_holds_a_run(&self) {
        let store = (self.connect)(self.url.clone()).await.unwrap();
        loop {
            let running = store.runs(RunFilter::running()).await.unwrap();
            let holders: BTreeSet<_> = running.iter().filter_map(|run| Some(run.holder?.worker)).collect();
            let is_over = running.is_empty() && store.runs(RunFilter::pending()).await.unwrap().is_empty();
            if holders.len() >= self.workers.len() || is_over {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends a worker a signal, such as `-STOP`.
    pub fn signal(&self, worker: usize, signal: &str) {
        let pid = self.workers[worker].id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Kills a worker and starts another.
    pub fn kill_and_replace(&mut self, worker: usize) {
        self.workers[worker].kill().unwrap();
        self.workers[worker].wait().unwrap();
        self.workers[worker] = self.worker();
    }

    /// Fails where a worker has ended by itself.
    pub fn all_workers_live(&mut self) {
        for worker in &mut self.workers {
            assert!(worker.try_wait().unwrap().is_none(), "a worker has ended");
        }
    }

    /// [`enqueue_told`], meanwhile.
    pub fn producing(&self, numbers: Range<u32>) -> JoinHandle<Vec<RunId>> {
        tokio::spawn(enqueue_told(self.connect, self.url.clone(), numbers))
    }

    /// Waits until every run has succeeded, and checks what the workers have told.
    pub async fn all_end_as_they_should(&self, runs: &[RunId]) {
        assert_eq!(self.all_that_are_there_end_as_they_should(runs).await, []);
        self.no_step_is_computed_after_it_was_saved();
    }

    /// Waits until every run that is there has succeeded. Answers which are not there.
    pub async fn all_that_are_there_end_as_they_should(&self, runs: &[RunId]) -> Vec<RunId> {
        let store = (self.connect)(self.url.clone()).await.unwrap();
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

    fn no_step_is_computed_after_it_was_saved(&self) {
        let told = fs::read_to_string(self.history()).unwrap();
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
}

impl Drop for FaultScene {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

/// Enqueues while the fault goes on, again and again where the server is away: the ids make that harmless.
pub async fn enqueue_told(connect: Connect, url: String, numbers: Range<u32>) -> Vec<RunId> {
    let mut store = None;
    let mut enqueued = Vec::new();
    for number in numbers {
        let run = NewRun::of(&ToldInput(number)).unwrap();
        // So that the faults come while runs do.
        sleep(Duration::from_millis(3)).await;
        while let Err(error) = enqueue(connect, &url, &mut store, &run).await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            sleep(Duration::from_millis(20)).await;
        }
        enqueued.push(run.id);
    }
    enqueued
}

async fn enqueue(
    connect: Connect,
    url: &str,
    store: &mut Option<Arc<dyn Store>>,
    run: &NewRun,
) -> Result<(), Error> {
    let store = match store {
        Some(store) => store,
        none => none.insert(connect(url.to_owned()).await?),
    };
    let answers = store.enqueue(vec![run.clone()]).await?;
    assert_eq!(answers[0].id(), run.id);
    Ok(())
}

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

/// The input of the job `told`, of two steps.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct ToldInput(pub u32);

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

//! What happens in a simulation: processes come and go, runs are enqueued and staged, operators act, faults fall; then all heals
//! and everything must end.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use riqle_jobs_conformance::{
    Fault, MemoryStaging, Random, UnreliableStaging,
    history::check,
    workload::{self, Mail, Surroundings, Walk, wrong_delay},
};
use riqle_jobs_core::{
    ErrorKind, Inspect, ManualClock, NewRun, Operate, Queue, Relay, Replay, ReplayFrom, Retention, RunFilter,
    RunId, RunState, Shutdown, UniqueScope, Wake, Worker, seed_ids, store::Staged,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    process::Process,
    story::Story,
    world::{Faults, LEASE, World},
};

/// For how long faults fall.
const TROUBLED: Duration = Duration::from_secs(60);
const WORKERS: usize = 3;

/// Plays a seed; `Err` tells what went wrong.
pub fn play(seed: u64) -> Result<Summary, String> {
    seed_ids(seed);
    let rng = tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).rng_seed(rng).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(played(seed))
}

/// What a seed has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Runs that were enqueued, staged or replayed.
    pub runs: usize,
    /// Lines of its history.
    pub lines: usize,
    /// A digest of its history, the same each time that the seed is played.
    pub digest: u64,
}

async fn played(seed: u64) -> Result<Summary, String> {
    let world = World::new(Random::new(seed));
    let scene = Scene::new(&world);
    world.tell(format!("{:?}", world.faults()));
    let troubles = scene.begin();
    sleep(TROUBLED).await;
    world.heal();
    troubles.iter().for_each(JoinHandle::abort);
    scene.end().await;
    let mut violations = check(world.lines());
    // Told first: it is the cause of what else is wrong with it.
    violations.sort_by_key(|violation| violation.second);
    let lines = world.lines();
    if let Some(wrong) = wrong_delay(&lines) {
        world.went_wrong(wrong);
    }
    let mut digest = DefaultHasher::new();
    lines.iter().for_each(|line| format!("{line:?}").hash(&mut digest));
    let summary = Summary { runs: world.known().len(), lines: lines.len(), digest: digest.finish() };
    match (violations.first(), world.wrong()) {
        (None, None) => Ok(summary),
        (violation, wrong) => Err(Story::of(seed, &world, violation, wrong).to_string()),
    }
}

#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) world: Arc<World>,
    pub(crate) staging: MemoryStaging,
    staging_clock: ManualClock,
    /// The faults before they ended.
    pub(crate) drawn: Faults,
}

impl Scene {
    fn new(world: &Arc<World>) -> Self {
        let staging_clock = ManualClock::new();
        Self {
            world: Arc::clone(world),
            staging: MemoryStaging::new(&staging_clock),
            staging_clock,
            drawn: world.faults(),
        }
    }

    fn begin(&self) -> Vec<JoinHandle<()>> {
        let mut troubles = Vec::new();
        for number in 0..WORKERS {
            troubles.push(tokio::spawn(self.clone().keep_worker(number)));
        }
        for number in 0..2 {
            troubles.push(tokio::spawn(self.clone().keep_relay(number)));
            troubles.push(tokio::spawn(self.clone().produce(number)));
        }
        troubles.push(tokio::spawn(self.clone().schedule()));
        let faults = self.world.faults();
        if faults.operators {
            troubles.push(tokio::spawn(self.clone().operate()));
        }
        if faults.is_away {
            troubles.push(tokio::spawn(self.clone().be_away()));
        }
        if faults.clock_steps {
            troubles.push(tokio::spawn(self.clone().set_clock()));
        }
        let scene = self.clone();
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(250)).await;
                scene.staging_clock.advance(Duration::from_millis(250));
            }
        });
        troubles
    }

    /// A worker's process, and the next when it has ended.
    async fn keep_worker(self, number: usize) {
        for incarnation in 1.. {
            let process = Process::new(format!("worker {number}.{incarnation}"), &self.world);
            let shutdown = Shutdown::new();
            let (faults, life) = (self.world.faults(), Duration::from_secs(2) + self.world.up_to(40_000));
            let (worker, told) = (worker(&process), shutdown.clone());
            let retention = Retention { ended: Some(LEASE * 2), ..Retention::FOREVER };
            let worker = if faults.prunes { worker.retention(retention) } else { worker };
            let working = tokio::spawn(async move {
                let ended = worker.run_with(&told).await;
                (worker, ended)
            });
            if faults.pauses && self.world.percent(50) {
                sleep(life / 2).await;
                process.stop_for(self.world.up_to(3 * LEASE.as_millis() as usize)).await;
            }
            sleep(life).await;
            if faults.crashes && self.world.percent(50) {
                process.kill();
                working.abort();
            } else if faults.shutdowns {
                self.shut_down(&process, &shutdown, working).await;
            } else {
                // Until the faults end.
                std::future::pending::<()>().await;
            }
            sleep(self.world.up_to(3_000)).await;
        }
    }

    async fn shut_down(
        &self,
        process: &Process,
        shutdown: &Shutdown,
        working: JoinHandle<(Worker, Result<(), riqle_jobs_core::Error>)>,
    ) {
        let is_at_once = self.world.percent(30);
        self.world.tell(format!("{} is shut down{}", process.name, if is_at_once { " at once" } else { "" }));
        let (failed, is_slow) = (process.failed(), process.is_slow());
        if is_at_once {
            shutdown.stop_now()
        } else {
            shutdown.stop()
        }
        let Ok((worker, ended)) = working.await else { return };
        if let Err(error) = ended {
            self.world.went_wrong(format!("{}: {error}", process.name));
        }
        // Where each call of it went well, it leaves nothing behind.
        let running = RunFilter::all().states([RunState::Running]).limit(1_000);
        let left = self.world.store.runs(running).await.unwrap_or_default();
        let holds = |run: &riqle_jobs_core::Run| {
            run.holder.as_ref().is_some_and(|holder| holder.worker == worker.id())
        };
        if let Some(run) = left
            .iter()
            .find(|run| holds(run))
            .filter(|_| !is_at_once && !is_slow && process.failed() == failed)
        {
            self.world.went_wrong(format!("{} has left run {} behind", process.name, run.id));
        }
        // Its tasks end with it.
        process.kill();
    }

    async fn keep_relay(self, number: usize) {
        for incarnation in 1.. {
            let process = Process::new(format!("relay {number}.{incarnation}"), &self.world);
            let world = Arc::clone(&self.world);
            let faults = move |_: &'static str| {
                let faults = world.faults();
                match world.below(100) {
                    draw if draw < faults.fails => Some(Fault::Before),
                    draw if draw < faults.fails + faults.loses_reply => Some(Fault::After),
                    _ => None,
                }
            };
            let staging = UnreliableStaging::new(Arc::new(self.staging.clone()), faults);
            let relay = Relay::new(&staging, &process.store());
            let relaying = tokio::spawn(async move { relay.run_with(&Shutdown::new()).await });
            sleep(Duration::from_secs(5) + self.world.up_to(60_000)).await;
            if !self.world.faults().crashes {
                std::future::pending::<()>().await;
            }
            process.kill();
            relaying.abort();
            sleep(self.world.up_to(3_000)).await;
        }
    }

    async fn produce(self, number: usize) {
        let process = Process::new(format!("producer {number}"), &self.world);
        let store = process.store();
        let until = Instant::now() + TROUBLED * 2 / 3;
        let mut mails = number as u32 * 1_000;
        while Instant::now() < until {
            sleep(self.world.up_to(2_500)).await;
            let runs: Vec<_> = (0..=self.world.below(3)).filter_map(|_| self.new_run(&mut mails)).collect();
            // A group is of one queue.
            for run in runs {
                self.world.know(run.id);
                if self.world.percent(30) {
                    if run.unique.is_none() {
                        self.world.note_staged(run.id);
                    }
                    if let Ok(staged) = Staged::run(run) {
                        Wake::fire(self.staging.stage(vec![staged]));
                    }
                    continue;
                }
                // Repeated, as its caller would, until it is answered.
                while let Err(error) = store.enqueue(vec![run.clone()]).await {
                    if error.kind() != ErrorKind::Unavailable {
                        break;
                    }
                    sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    pub(crate) fn new_run(&self, mails: &mut u32) -> Option<NewRun> {
        let world = &self.world;
        let run = if world.percent(25) {
            *mails += 1;
            NewRun::of(&Mail { number: *mails, drops_repeats: world.percent(50) })
        } else {
            NewRun::of(&Walk { steps: world.below(4) as u8, script: world.draw(Random::number) })
        };
        let mut run = run.ok()?;
        if world.percent(20) {
            run = run.delay(world.up_to(20_000));
        }
        if world.percent(20) {
            let scope =
                if world.percent(50) { UniqueScope::WhileNotEnded } else { UniqueScope::WhilePending };
            run = run.unique_within(format!("key {}", world.below(3)), scope);
            run.unique = run.unique.map(|key| riqle_jobs_core::UniqueKey {
                other_input: riqle_jobs_core::OtherInput::IsIgnored,
                ..key
            });
        }
        Some(run)
    }

    async fn operate(self) {
        let process = Process::new("operator", &self.world);
        let store = process.store();
        loop {
            sleep(self.world.up_to(4_000)).await;
            let Some(run) = self.world.any_known() else { continue };
            let done = match self.world.below(6) {
                0 | 1 => store.cancel(run).await,
                2 => {
                    let new_run = RunId::new();
                    self.world.know(new_run);
                    let from =
                        if self.world.percent(50) { ReplayFrom::Start } else { ReplayFrom::FailedStep };
                    store.replay(run, new_run, Replay::from(from)).await
                }
                3 => store.run_now(run).await,
                4 => store.discard(run).await,
                _ => {
                    let queue = if self.world.percent(50) { "walks" } else { "mails" };
                    let paused = store.pause_queue(queue, "operator", "for a while").await;
                    sleep(self.world.up_to(8_000)).await;
                    while store.resume_queue(queue).await.is_err() {
                        sleep(Duration::from_millis(500)).await;
                    }
                    paused
                }
            };
            drop(done);
        }
    }

    async fn be_away(self) {
        loop {
            sleep(self.world.up_to(30_000)).await;
            let time = self.world.up_to(2 * LEASE.as_millis() as usize);
            self.world.be_away(time);
            sleep(time).await;
        }
    }

    async fn set_clock(self) {
        loop {
            sleep(self.world.up_to(20_000)).await;
            // Each step is more than a store follows.
            let minutes = 10 * (self.world.below(25) as i64 - 12);
            self.world.set_clock(minutes);
        }
    }
}

/// A worker of a process, with both jobs.
pub(crate) fn worker(process: &Arc<Process>) -> Worker {
    let faults = process.world.faults();
    let poll = if faults.polls_never { Duration::from_secs(24 * 60 * 60) } else { Duration::from_secs(1) };
    let around: Arc<dyn Surroundings> = Arc::clone(process) as _;
    workload::worker(&process.store(), &around)
        .concurrency(4)
        .poll_interval(poll)
        .grace(Duration::from_secs(60))
        .without_panic_hook()
}

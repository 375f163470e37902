//! A worker while it runs: what starts with it, what its parts share, and how it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Settings, Shutdown, Worker, attempt,
    buffer::Buffer,
    claim_failures::ClaimFailures,
    claim_loop::ClaimLoop,
    erased_job::ErasedJob,
    held_leases::HeldLeases,
    lease_keeper,
    metrics::Meter,
    note_writer::NoteWriter,
    panic_hook,
    queue_slots::QueueSlots,
    settler::{Ledger, Settler},
    step_saver::StepSaver,
    tick_failures::TickFailures,
    ticker::Ticker,
};
use crate::{
    AttemptOutcome, Ending, Error, Limits, Settlement, Store, process_metrics,
    run::UnwrittenNotes,
    run::{Mailers, SaveStep},
    store::JobDeclaration,
};

/// What the parts of a running worker share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) jobs: BTreeMap<Arc<str>, RunningJob>,
    pub(super) limits: Limits,
    pub(super) grace: Duration,
    pub(super) buffer: Buffer,
    pub(super) queue_slots: QueueSlots,
    pub(super) held: Arc<HeldLeases>,
    pub(super) settler: Settler,
    pub(super) step_saver: Arc<dyn SaveStep>,
    pub(super) counters: Arc<Counters>,
    pub(super) meter: Arc<Meter>,
    pub(super) process: Arc<process_metrics::OfWorker>,
    pub(super) unwritten: Arc<UnwrittenNotes>,
    pub(super) mailers: Arc<Mailers>,
    pub(super) tick_failures: Arc<TickFailures>,
    pub(super) claim_failures: ClaimFailures,
    /// Fires when running attempts are to be given back.
    pub(super) give_up: CancellationToken,
}

/// A job, and what its runs are counted by.
pub(super) struct RunningJob {
    pub(super) job: Arc<ErasedJob>,
    pub(super) metrics: Arc<process_metrics::OfJob>,
}

impl RunningJob {
    fn new(job: &Arc<ErasedJob>) -> Self {
        let JobDeclaration { name, queue, .. } = &job.declaration;
        Self { job: Arc::clone(job), metrics: Arc::new(process_metrics::OfJob::new(name, queue)) }
    }
}

impl Shared {
    pub(super) fn jobs_by_queue(&self) -> BTreeMap<String, Vec<String>> {
        let mut queues: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for RunningJob { job, .. } in self.jobs.values() {
            let JobDeclaration { queue, name, .. } = job.declaration.clone();
            queues.entry(queue).or_default().push(name);
        }
        queues
    }
}

/// A worker at work: slots, claim loop, settler, step saver, lease keeper.
pub(super) struct Running {
    shared: Arc<Shared>,
    claim_loop: ClaimLoop,
    slots: JoinSet<()>,
    flushes: Vec<JoinHandle<()>>,
    /// Ends the flushes once they are empty; the guard where this is dropped.
    closing: CancellationToken,
    _closes: tokio_util::sync::DropGuard,
    /// Ends the lease keeper, even if this is dropped.
    keeping: tokio_util::sync::DropGuard,
    _counted: process_metrics::Slots,
}

impl Running {
    pub(super) fn start(worker: &Worker) -> Result<Self, Error> {
        if worker.settings.panic_hook {
            panic_hook::install();
        }
        let store = Arc::clone(&worker.store);
        let held = Arc::new(HeldLeases::default());
        let counters = Arc::clone(&worker.stats);
        let closing = CancellationToken::new();
        let stop_keeping = CancellationToken::new();
        let meter = Arc::clone(&worker.meter);
        let process = Arc::new(process_metrics::OfWorker::new());
        lease_keeper::keep_on_own_thread(
            Arc::clone(&store),
            Arc::clone(&held),
            worker.settings.lease,
            Arc::clone(&process),
            stop_keeping.clone(),
        )?;
        let unwritten = Arc::new(UnwrittenNotes::default());
        let queues: BTreeSet<String> =
            worker.jobs.values().map(|job| job.declaration.queue.clone()).collect();
        let groups: Vec<BTreeSet<String>> = if store.queues_stand_apart() {
            queues.iter().map(|queue| BTreeSet::from([queue.clone()])).collect()
        } else {
            vec![queues.clone()]
        };
        let notes = Arc::new(NoteWriter::new(Arc::clone(&store), Arc::clone(&unwritten), queues));
        let ledger = Ledger {
            store: Arc::clone(&store),
            held: Arc::clone(&held),
            hooks: Arc::clone(&worker.hooks),
            dead_log: Arc::clone(&worker.dead_log),
            counters: Arc::clone(&counters),
            meter: Arc::clone(&meter),
            process: Arc::clone(&process),
            notes: Arc::clone(&notes),
            lease: worker.settings.lease,
        };
        let (settler, settling) = Settler::new(ledger, &groups, closing.clone());
        let (step_saver, saving) =
            StepSaver::new(Arc::clone(&store), Arc::clone(&process), &groups, closing.clone());
        let buffer = Buffer::new(worker.settings.concurrency);
        let shared = Arc::new(Shared {
            limits: store.limits(),
            store,
            jobs: worker.jobs.iter().map(|(name, job)| (Arc::clone(name), RunningJob::new(job))).collect(),
            grace: worker.settings.grace,
            queue_slots: QueueSlots::new(&worker.settings.queue_slots, Arc::clone(&buffer.room)),
            buffer,
            held,
            settler,
            step_saver: Arc::new(step_saver),
            counters,
            meter,
            process,
            unwritten,
            mailers: Arc::default(),
            tick_failures: Arc::default(),
            claim_failures: ClaimFailures::default(),
            give_up: CancellationToken::new(),
        });
        let mut slots = JoinSet::new();
        for _ in 0..worker.settings.concurrency {
            slots.spawn(attempt::run_slot(Arc::clone(&shared)));
        }
        let noting = notes.keep_writing(closing.clone());
        Ok(Self {
            claim_loop: ClaimLoop::new(Arc::clone(&shared), worker.settings.clone()),
            shared,
            slots,
            flushes: vec![tokio::spawn(settling), tokio::spawn(saving), tokio::spawn(noting)],
            _closes: closing.clone().drop_guard(),
            closing,
            keeping: stop_keeping.drop_guard(),
            _counted: process_metrics::Slots::new(worker.settings.concurrency),
        })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) async fn until_stopped(mut self, shutdown: &Shutdown) -> Result<(), Error> {
        self.claim_loop.until_stopped(shutdown).await;
        self.end(shutdown).await;
        Ok(())
    }

    pub(super) async fn until_idle(mut self, settings: &Settings) -> Result<(), Error> {
        let mut ticker = Ticker::new(&self.shared, settings);
        let mut ticked = ticker.until_none_is_due().await;
        loop {
            self.claim_loop.until_idle().await;
            // The end of a run may make another tick due.
            match ticked {
                Ok(_) => ticked = ticker.until_none_is_due().await,
                Err(error) => {
                    self.end(&Shutdown::new()).await;
                    return Err(error);
                }
            }
            if let Ok(false) = ticked {
                break;
            }
        }
        self.end(&Shutdown::new()).await;
        Ok(())
    }

    /// Claiming has stopped: what runs may finish, what can't is given back, what has ended is recorded.
    async fn end(mut self, shutdown: &Shutdown) {
        for held in self.shared.buffer.close() {
            self.shared.settler.give_back(&held.run).await;
        }
        self.shared.held.shutdown();
        let all_ended = async { while self.slots.join_next().await.is_some() {} };
        let stopped_at_once = tokio::select! {
            ended = timeout(self.shared.grace, all_ended) => ended.is_err(),
            () = shutdown.stopping_now() => true,
        };
        if stopped_at_once {
            self.shared.give_up.cancel();
            // A body that blocks its thread can't be dropped; its lease runs out.
            let given_back = async { while self.slots.join_next().await.is_some() {} };
            if timeout(Duration::from_secs(1), given_back).await.is_err() {
                self.slots.abort_all();
            }
        }
        self.closing.cancel();
        let recorded = async {
            for flush in &mut self.flushes {
                let _ = flush.await;
            }
            self.claim_loop.give_back_unanswered().await
        };
        let patience = Duration::from_secs(if stopped_at_once { 1 } else { 5 });
        if !matches!(timeout(patience, recorded).await, Ok(Ok(()))) {
            tracing::warn!(
                "the store is unavailable at shutdown; what was not recorded will run again after its lease"
            );
            self.flushes.iter().for_each(JoinHandle::abort);
        }
        drop(self.keeping);
    }
}

/// Counts what a worker does.
#[derive(Default)]
pub(super) struct Counters {
    claimed: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    given_back: AtomicU64,
    lease_lost: AtomicU64,
}

/// What a worker has done since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Claimed runs.
    pub claimed: u64,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed, including the last ones of dead runs.
    pub failed: u64,
    /// Runs that became dead letters.
    pub dead: u64,
    /// Runs that were given back.
    pub given_back: u64,
    /// Attempts whose end was refused, because the lease had been lost or the run cancelled.
    pub lease_lost: u64,
}

impl Counters {
    pub(super) fn claimed(&self, runs: usize) {
        self.claimed.fetch_add(runs as u64, Ordering::Relaxed);
    }

    pub(super) fn lease_lost(&self) {
        self.lease_lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn settled(&self, settlement: &Settlement) {
        let counter = match settlement.outcome {
            AttemptOutcome::Succeeded => Some(&self.succeeded),
            AttemptOutcome::Failed => Some(&self.failed),
            AttemptOutcome::GivenBack => Some(&self.given_back),
            AttemptOutcome::Snoozed | AttemptOutcome::Crashed | AttemptOutcome::Cancelled => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(settlement.ending, Ending::Dead { .. }) {
            self.dead.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> WorkerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerStats {
            claimed: read(&self.claimed),
            succeeded: read(&self.succeeded),
            failed: read(&self.failed),
            dead: read(&self.dead),
            given_back: read(&self.given_back),
            lease_lost: read(&self.lease_lost),
        }
    }
}

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    ClaimedRun, Error, JobError, LeaseAnswer, LeaseRef, Limits, LogLevel, Payload, RunId, Step, StepSave,
    UnreadableStep, clock, limits, notes::RunNoteBuffer,
};

/// What a body knows of its run, and its way to steps. Cheap to clone.
#[derive(Clone)]
pub struct RunContext {
    inner: Arc<Inner>,
}

struct Inner {
    lease: LeaseRef,
    job: String,
    attempt: u32,
    claimed_at: Timestamp,
    claimed: Instant,
    root: RunId,
    replay_of: Option<RunId>,
    reference: Option<String>,
    event_id: Option<String>,
    limits: Limits,
    unreadable_step: UnreadableStep,
    steps: Mutex<Steps>,
    saver: Arc<dyn SaveStep>,
    notes: Arc<RunNoteBuffer>,
    cancellation: Arc<Cancellation>,
}

#[derive(Default)]
struct Steps {
    saved: HashMap<(String, u32), Payload>,
    begun: HashMap<String, u32>,
}

/// Saves one step's result under its lease; waits while the store is away.
#[async_trait]
pub(crate) trait SaveStep: Send + Sync {
    async fn save(&self, step: StepSave) -> Result<LeaseAnswer, Error>;
}

/// Why a body should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Another claim has taken the run; nothing more can be written.
    LeaseLost,
    /// The run was cancelled; nothing more can be written.
    Cancelled,
    /// The worker stops; there is a grace time to finish or [give back](JobError::give_back).
    Shutdown,
}

/// Fires once for a reason; a later, harder reason replaces a shutdown.
#[derive(Default)]
pub(crate) struct Cancellation {
    token: CancellationToken,
    shutdown: OnceLock<()>,
    lost: OnceLock<StopReason>,
    lost_token: CancellationToken,
    /// Until when the lease surely holds, by the monotonic clock; `None`: nobody counts.
    held_until: Mutex<Option<Instant>>,
    extended: Notify,
}

impl Cancellation {
    /// The lease surely holds until then.
    pub(crate) fn extend_to(&self, until: Option<Instant>) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        self.extended.notify_waiters();
    }

    /// Returns at once, unless the process has slept past its lease: then once it is known whether it still holds.
    pub(crate) async fn until_certain(&self) {
        loop {
            let extended = self.extended.notified();
            let until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
            if until.is_none_or(|until| until > Instant::now()) {
                return;
            }
            tokio::select! {
                () = extended => {}
                () = self.until_lost() => return,
            }
        }
    }

    pub(crate) fn fire(&self, reason: StopReason) {
        match reason {
            StopReason::Shutdown => {
                let _ = self.shutdown.set(());
            }
            StopReason::LeaseLost | StopReason::Cancelled => {
                let _ = self.lost.set(reason);
                self.lost_token.cancel();
            }
        }
        self.token.cancel();
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.lost.get().copied().or(self.shutdown.get().map(|()| StopReason::Shutdown))
    }

    /// The reason for which nothing more can be written.
    pub(crate) fn lost(&self) -> Option<StopReason> {
        self.lost.get().copied()
    }

    pub(crate) async fn until_lost(&self) {
        self.lost_token.cancelled().await;
    }
}

/// Where a step stands when the body comes to it.
pub enum StepSlot<T> {
    /// Its result is saved.
    Saved(T),
    /// It is to be run.
    New {
        /// Which of that name it is, from 0.
        ordinal: u32,
        /// Whether its result takes the place of a saved one that can't be read: [`StepSave::replaces`].
        replaces: bool,
    },
}

/// The run and step that the current task is in, for [`Sender`](crate::Sender)'s idempotency key.
#[derive(Clone)]
pub(crate) struct CurrentStep {
    pub(crate) run: RunContext,
    pub(crate) name: String,
    pub(crate) ordinal: u32,
}

tokio::task_local! {
    pub(crate) static CURRENT_STEP: CurrentStep;
}

impl RunContext {
    pub(crate) fn new(
        run: &ClaimedRun,
        limits: Limits,
        unreadable_step: UnreadableStep,
        saver: Arc<dyn SaveStep>,
        notes: Arc<RunNoteBuffer>,
        cancellation: Arc<Cancellation>,
    ) -> Self {
        let saved =
            run.steps.iter().map(|step| ((step.name.clone(), step.ordinal), step.result.clone())).collect();
        Self {
            inner: Arc::new(Inner {
                lease: run.lease.clone(),
                job: run.job.clone(),
                attempt: run.failures.saturating_add(1),
                claimed_at: run.claimed_at,
                claimed: Instant::now(),
                root: run.root,
                replay_of: run.replay_of,
                reference: run.reference.clone(),
                event_id: run.event_id.clone(),
                limits,
                unreadable_step,
                steps: Mutex::new(Steps { saved, begun: HashMap::new() }),
                saver,
                notes,
                cancellation,
            }),
        }
    }

    /// The run's id.
    pub fn id(&self) -> RunId {
        self.inner.lease.run
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.inner.job
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The first run of the line of replays; the run itself where it is no replay.
    pub fn root(&self) -> RunId {
        self.inner.root
    }

    /// The run that this one replays.
    pub fn replay_of(&self) -> Option<RunId> {
        self.inner.replay_of
    }

    /// The application's own name for what the run is about.
    pub fn reference(&self) -> Option<&str> {
        self.inner.reference.as_deref()
    }

    /// The event that started the run.
    pub fn event_id(&self) -> Option<&str> {
        self.inner.event_id.as_deref()
    }

    /// What fences this claim's writes; for stores that save a step in an application's transaction.
    pub fn lease(&self) -> &LeaseRef {
        &self.inner.lease
    }

    /// What the store accepts.
    pub fn limits(&self) -> Limits {
        self.inner.limits
    }

    /// The store's time, carried on from the claim by the monotonic clock.
    pub(crate) fn store_time(&self) -> Timestamp {
        clock::later(self.inner.claimed_at, self.inner.claimed.elapsed())
    }

    /// Says how far the body has come, for people: `done` of `total` (0 where that is not known). Written soon, at the
    /// latest when the attempt ends; of many in between only the newest is. A text is cut at 1 KiB.
    pub fn progress(&self, done: u64, total: u64, text: impl fmt::Display) {
        self.inner.notes.progress(done, total, &text.to_string());
    }

    /// Adds a line to the run's log, of which the newest 100 are kept, each cut at 1 KiB. Written like
    /// [`progress`](Self::progress); what is not written yet dies with the worker's process.
    pub fn log(&self, text: impl fmt::Display) {
        self.inner.notes.line(LogLevel::Info, &text.to_string());
    }

    /// Like [`log`](Self::log), for what somebody may want to look at.
    pub fn warn(&self, text: impl fmt::Display) {
        self.inner.notes.line(LogLevel::Warn, &text.to_string());
    }

    /// Resolves when the body should stop: a lost lease, a cancel, a shutdown.
    pub async fn cancelled(&self) {
        self.inner.cancellation.token.cancelled().await;
    }

    /// Why the body should stop, if it should.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.inner.cancellation.reason()
    }

    /// Runs a step once: its result is saved under the lease before the body goes on, and later claims of
    /// the run get it back without running `f`.
    ///
    /// Steps are known by name and, for several of one name, by their order. Steps that run side by side need
    /// different names.
    ///
    /// # Errors
    /// What `f` returns; a result over the limit; a saved result that is no `T`, as
    /// [`Job::on_unreadable_step`](crate::Job::on_unreadable_step) says; the loss of the lease.
    pub async fn step<T, F, Fut>(&self, name: &str, f: F) -> Result<T, JobError>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, JobError>> + Send,
    {
        let (ordinal, replaces) = match self.begin_step(name)? {
            StepSlot::Saved(value) => return Ok(value),
            StepSlot::New { ordinal, replaces } => (ordinal, replaces),
        };
        // Another claim may have saved this very step meanwhile.
        self.inner.cancellation.until_certain().await;
        self.check_lease()?;
        let span = tracing::info_span!("step", step = name, ordinal);
        let current = CurrentStep { run: self.clone(), name: name.to_owned(), ordinal };
        let begun = Instant::now();
        let value = CURRENT_STEP
            .scope(current, f())
            .instrument(span)
            .await
            .map_err(|error| error.context(format_args!("step {name:?}")))?;
        let save = StepSave {
            lease: self.inner.lease.clone(),
            name: name.to_owned(),
            ordinal,
            result: self.write_step(name, &value)?,
            took: begun.elapsed(),
            replaces,
        };
        self.save_step(save).await?;
        Ok(value)
    }

    /// Runs a [`Step`] under its own name.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn step_with<S: Step>(&self, step: &S, input: S::Input) -> Result<S::Output, JobError> {
        self.step(S::NAME, || step.run(input)).await
    }

    /// Comes to a step: finds its saved result, or its number. For stores that save a step in an
    /// application's transaction.
    ///
    /// # Errors
    /// A name over the limit; the loss of the lease; a saved result that is no `T`, unless the job runs such a step
    /// again: a dead letter at once, since another attempt of the same code would not read it either.
    pub fn begin_step<T: DeserializeOwned>(&self, name: &str) -> Result<StepSlot<T>, JobError> {
        self.check_lease()?;
        limits::check_name("step", name).map_err(JobError::dead)?;
        let (ordinal, saved) = {
            let mut steps = self.steps();
            let count = steps.begun.entry(name.to_owned()).or_insert(0);
            let ordinal = *count;
            *count += 1;
            (ordinal, steps.saved.get(&(name.to_owned(), ordinal)).cloned())
        };
        let Some(saved) = saved else { return Ok(StepSlot::New { ordinal, replaces: false }) };
        match (saved.decode(), self.inner.unreadable_step) {
            (Ok(value), _) => Ok(StepSlot::Saved(value)),
            (Err(error), UnreadableStep::Fail) => {
                Err(JobError::dead(format_args!("saved result of step {name:?}: {error}")))
            }
            (Err(error), UnreadableStep::RunAgain) => {
                tracing::warn!(step = name, ordinal, %error, "a saved result can't be read, running the step again");
                Ok(StepSlot::New { ordinal, replaces: true })
            }
        }
    }

    /// Notes what a store answered to a write under the lease.
    ///
    /// # Errors
    /// The loss of the lease, which every later step repeats.
    pub fn note_answer(&self, answer: LeaseAnswer) -> Result<(), JobError> {
        match answer {
            LeaseAnswer::Done => {}
            LeaseAnswer::LeaseLost => self.inner.cancellation.fire(StopReason::LeaseLost),
            LeaseAnswer::CancelRequested => self.inner.cancellation.fire(StopReason::Cancelled),
        }
        self.check_lease()
    }

    /// Writes a result as it is saved.
    ///
    /// # Errors
    /// A result over the limit or without a JSON form: charged as a failure.
    pub fn write_step<T: Serialize>(&self, name: &str, value: &T) -> Result<Payload, JobError> {
        let result = Payload::json(value)?;
        self.inner
            .limits
            .check_result("step result", &result)
            .map_err(|error| JobError::from(error).context(format_args!("step {name:?}")))?;
        Ok(result)
    }

    async fn save_step(&self, save: StepSave) -> Result<(), JobError> {
        let answer = tokio::select! {
            answer = self.inner.saver.save(save) => answer?,
            () = self.inner.cancellation.until_lost() => return self.check_lease(),
        };
        self.note_answer(answer)
    }

    /// Whatever verdict the error carries, the store would refuse to record it.
    fn check_lease(&self) -> Result<(), JobError> {
        match self.inner.cancellation.lost() {
            None | Some(StopReason::Shutdown) => Ok(()),
            Some(StopReason::LeaseLost) => {
                Err(JobError::retry("the lease is lost, another claim has the run"))
            }
            Some(StopReason::Cancelled) => Err(JobError::retry("the run was cancelled")),
        }
    }

    fn steps(&self) -> std::sync::MutexGuard<'_, Steps> {
        self.inner.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RunContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunContext")
            .field("id", &self.id())
            .field("job", &self.job())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

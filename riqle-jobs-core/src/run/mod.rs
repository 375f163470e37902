//! A run as its body sees it.

mod cancellation;
mod current_step;
mod mailers;
mod notes;
mod step_call;
mod step_in;
mod step_path;
mod steps;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    panic::Location,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::schedule::Tick;
use crate::{
    ClaimedRun, Clock, Error, ErrorKind, JobError, LeaseAnswer, LeaseRef, LeaseToken, Limits, LogLevel,
    RunId, Step, UnreadableStep, outside::Instant, process_metrics::OfJob,
};

pub(crate) use cancellation::Cancellation;
pub use cancellation::StopReason;
pub(crate) use current_step::CurrentStep;
use current_step::StepKind;
pub(crate) use mailers::Mailers;
pub(crate) use notes::{RunNoteBuffer, UnwrittenNotes};
use step_call::{Found, StepCall};
use step_path::Keys;
pub use step_path::StepPath;
use steps::Frame;
pub(crate) use steps::{RunSteps, Save};

/// How long it may take to learn whether a lease still holds.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);

/// A run as its body sees it; runs steps. Cheap to clone.
#[derive(Clone)]
pub struct RunContext {
    inner: Arc<Inner>,
    keys: Keys,
    frame: Arc<Frame>,
}

struct Inner {
    worker: OfWorker,
    lease: LeaseRef,
    job: String,
    attempt: u32,
    root: RunId,
    replay_of: Option<RunId>,
    reference: Option<String>,
    event_id: Option<String>,
    tick: Option<Tick>,
    age: Duration,
    unreadable_step: UnreadableStep,
    steps: Arc<RunSteps>,
    /// One per email being sent, by its key.
    sending: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    notes: Arc<RunNoteBuffer>,
    cancellation: Arc<Cancellation>,
}

/// What all runs of a worker share.
pub(crate) struct OfWorker {
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) saver: Arc<dyn SaveStep>,
    pub(crate) mailers: Arc<Mailers>,
    pub(crate) metrics: Arc<OfJob>,
}

/// Takes step results to the store.
pub(crate) trait SaveStep: Send + Sync {
    /// Saves one under its lease, however long that takes; [`Save::end`] is told.
    fn save(&self, save: Save);
}

impl RunContext {
    pub(crate) fn new(
        run: &ClaimedRun,
        worker: OfWorker,
        unreadable_step: UnreadableStep,
        notes: Arc<RunNoteBuffer>,
        cancellation: Arc<Cancellation>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                worker,
                lease: run.lease.clone(),
                job: run.job.clone(),
                attempt: run.failures.saturating_add(1),
                root: run.root,
                replay_of: run.replay_of,
                reference: run.reference.clone(),
                event_id: run.event_id.clone(),
                tick: run.tick.clone(),
                age: Duration::try_from(run.claimed_at.duration_since(run.enqueued_at)).unwrap_or_default(),
                unreadable_step,
                steps: RunSteps::of(&run.steps, Arc::clone(&cancellation)),
                sending: Mutex::default(),
                notes,
                cancellation,
            }),
            keys: Keys::default(),
            frame: Arc::default(),
        }
    }

    /// The run's id.
    pub fn id(&self) -> RunId {
        self.inner.lease.run
    }

    /// The token of the claim under which the body runs: another in each attempt. What is written beside it elsewhere can
    /// refuse a worker that has lost its lease.
    pub fn token(&self) -> LeaseToken {
        self.inner.lease.token
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.inner.job
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The first run in the chain of replays; the run itself if it is not a replay.
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

    /// The schedule that started it, and at which of its times; the same in each attempt, and in a replay. Take the time from
    /// here, not from a clock.
    pub fn tick(&self) -> Option<&Tick> {
        self.inner.tick.as_ref()
    }

    /// The run's age when this attempt was claimed, counted from the enqueue by the store's clock: for a body
    /// that snoozes until something exists, but not forever.
    pub fn age(&self) -> Duration {
        self.inner.age
    }

    /// What the store accepts.
    pub fn limits(&self) -> Limits {
        self.inner.worker.limits
    }

    /// Reports progress, for display: `done` of `total` (0 if unknown). Written soon, at the latest when the
    /// attempt ends; only the newest report is kept. The text is cut at 1 KiB.
    pub fn progress(&self, done: u64, total: u64, text: impl fmt::Display) {
        self.inner.notes.progress(done, total, &text.to_string());
    }

    /// Adds a line to the run's log, of which the newest 100 are kept, each cut at 1 KiB. Written like
    /// [`progress`](Self::progress); lines not written yet are lost with the worker's process.
    pub fn log(&self, text: impl fmt::Display) {
        self.inner.notes.line(LogLevel::Info, &text.to_string());
    }

    /// Like [`log`](Self::log), for lines that need attention.
    pub fn warn(&self, text: impl fmt::Display) {
        self.inner.notes.line(LogLevel::Warn, &text.to_string());
    }

    /// Resolves when the body should stop: a lost lease, a cancel, a shutdown.
    pub async fn cancelled(&self) {
        self.inner.cancellation.until_fired().await;
    }

    /// Why the body should stop, if it should.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.inner.cancellation.reason()
    }

    /// The same context with a key before the name of each step: for the steps of a loop, where the key names
    /// the item, not the iteration. Nests. A key must not be empty; a long one is stored as its digest.
    ///
    /// ```
    /// # use riqle_jobs_core::{JobError, RunContext};
    /// # struct Order { id: String }
    /// # async fn ship(_: &Order) -> Result<u64, JobError> { Ok(1) }
    /// async fn body(run: &RunContext, orders: Vec<Order>) -> Result<(), JobError> {
    ///     for order in &orders {
    ///         run.keyed(&order.id).step("ship", || ship(order)).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn keyed(&self, key: impl fmt::Display) -> RunContext {
        RunContext { keys: self.keys.and(&key), ..self.clone() }
    }

    /// The same context with step names counted from zero: for a block of steps that the body repeats after an error. Steps that
    /// have a result return it, as in a new attempt.
    ///
    /// ```
    /// # use riqle_jobs_core::{JobError, RunContext};
    /// # async fn reserve() -> Result<u64, JobError> { Ok(1) }
    /// # async fn pay(_: u64) -> Result<(), JobError> { Ok(()) }
    /// async fn body(run: &RunContext) -> Result<(), JobError> {
    ///     let mut left = 3;
    ///     loop {
    ///         let run = run.again();
    ///         let paid = async {
    ///             let seat = run.step("reserve", reserve).await?; // once, however often `pay` fails
    ///             run.step("pay", || pay(seat)).await
    ///         };
    ///         left -= 1;
    ///         match paid.await {
    ///             Err(_) if left > 0 => continue,
    ///             paid => return paid,
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn again(&self) -> RunContext {
        RunContext { frame: Arc::default(), ..self.clone() }
    }

    /// Runs a step once: its result is saved under the lease before the body continues, and later attempts of
    /// the run get it back without running `f`. The returned value is the saved one, read back.
    ///
    /// A name is one step of a run. A call after one that failed or was dropped is the same step. Once `f` has
    /// returned, its result is saved even if the call is dropped, and a later call returns it. Calling a name
    /// whose result this body already has, or that is in flight, is an error: the run is dead at once, whatever
    /// the body returns. In a loop, use [`keyed`](Self::keyed); to repeat a block of steps,
    /// [`again`](Self::again). Steps called within a step are counted in each execution of it; a name that is
    /// called in two steps, or in one and in the body, needs a key. A spawned task is outside the step that
    /// spawned it, and can start no step once the body has ended.
    ///
    /// # Errors
    /// What `f` returns; a saved result that is not a `T`, as
    /// [`Job::on_unreadable_step`](crate::Job::on_unreadable_step) says; the loss of the lease. A result over
    /// the limit, or one that does not read back as a `T`, makes the run dead, whatever the body returns.
    #[track_caller]
    pub fn step<T, F, Fut>(
        &self,
        name: &str,
        f: F,
    ) -> impl Future<Output = Result<T, JobError>> + Send + use<T, F, Fut>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, JobError>> + Send,
    {
        let (run, path, at) = (self.clone(), self.keys.path(name), Location::caller());
        async move {
            let (call, found) = StepCall::begin(run, path, StepKind::Apart, at).await?;
            let replaces = match found {
                Found::Saved(value) => return Ok(call.have(value)),
                Found::New { replaces, .. } => replaces,
            };
            let begun = Instant::now();
            let value = call.execute(async { f().await }).await?;
            let (result, value) = call.write(&value)?;
            call.save(result, begun, replaces).await?;
            Ok(call.have(value))
        }
    }

    /// Runs a [`Step`] under its own name.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    #[track_caller]
    pub fn step_with<'s, S: Step>(
        &self,
        step: &'s S,
        input: S::Input,
    ) -> impl Future<Output = Result<S::Output, JobError>> + Send + use<'s, S> {
        self.step(S::NAME, move || step.run(input))
    }

    /// The time as shown to people: the machine's, or that of the store's manual clock. An embedded store's own
    /// may be off after the machine's clock was set.
    pub(crate) fn date(&self) -> Timestamp {
        self.inner.worker.clock.local_now()
    }

    /// What the worker reports of providers that accept no email.
    pub(crate) fn mailers(&self) -> &Mailers {
        &self.inner.worker.mailers
    }

    /// What is known of the run's steps.
    pub(crate) fn steps(&self) -> &RunSteps {
        &self.inner.steps
    }

    /// Locked while an email of this key is being sent: of two concurrent steps that send it, one waits for the
    /// other.
    pub(crate) fn sending(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut sending = self.inner.sending.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sending.entry(key.to_owned()).or_default())
    }

    fn lease(&self) -> &LeaseRef {
        &self.inner.lease
    }

    /// Notes what a store answered to a write under the lease.
    fn note_answer(&self, answer: LeaseAnswer) -> Result<(), JobError> {
        match answer {
            LeaseAnswer::Done => {}
            LeaseAnswer::LeaseLost => self.inner.cancellation.fire(StopReason::LeaseLost),
            LeaseAnswer::CancelRequested => self.inner.cancellation.fire(StopReason::Cancelled),
        }
        self.check_lease()
    }

    /// Whether a step may begin.
    fn check_goes_on(&self) -> Result<(), JobError> {
        self.check_lease()?;
        match self.inner.steps.doomed() {
            Some(message) => Err(JobError::dead(message)),
            None if self.inner.cancellation.has_ended() => {
                Err(JobError::retry("the attempt has ended; no more steps can start"))
            }
            None => Ok(()),
        }
    }

    /// Waits, where the process has slept past its lease, until it is known whether that still holds.
    ///
    /// # Errors
    /// `Unavailable` where it does not, or is not known in time.
    pub(crate) async fn check_holds(&self, operation: &'static str) -> Result<(), Error> {
        let cancellation = &self.inner.cancellation;
        let is_known = timeout(KNOWN_WITHIN, cancellation.until_certain()).await.is_ok();
        if is_known && cancellation.is_certain() && cancellation.lost().is_none() {
            return Ok(());
        }
        let message = match cancellation.lost() {
            Some(StopReason::Cancelled) => "the run was cancelled",
            _ => "the process slept past the lease of its run, which another may have taken",
        };
        Err(Error::new(ErrorKind::Unavailable, operation, message))
    }

    /// Whatever verdict the error carries, the store would refuse to record it.
    fn check_lease(&self) -> Result<(), JobError> {
        match self.inner.cancellation.lost() {
            None | Some(StopReason::Shutdown | StopReason::Ended) => Ok(()),
            Some(StopReason::LeaseLost) => {
                Err(JobError::retry("the lease is lost; another claim has the run"))
            }
            Some(StopReason::Cancelled) => Err(JobError::retry("the run was cancelled")),
        }
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

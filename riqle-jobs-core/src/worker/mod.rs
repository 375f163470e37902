//! Runs jobs: claims due runs, runs their bodies, settles them, keeps their leases.

mod attempt;
mod buffer;
mod claim_failures;
mod claim_loop;
mod dead_log;
mod due_ticks;
mod erased_job;
#[cfg(test)]
mod fuzz;
mod held_leases;
mod hooks;
mod housekeeping;
mod housekeeping_failures;
mod lease_keeper;
mod metrics;
pub(crate) mod natural_batch;
mod note_writer;
pub(crate) mod panic_hook;
mod queue_slots;
mod running;
mod settler;
mod shutdown;
mod step_saver;
mod tick_failures;
mod ticker;
pub(crate) mod verdict;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{task::JoinSet, time::timeout};

pub use hooks::{Alert, RunReport};
pub use running::WorkerStats;
pub use shutdown::Shutdown;

use self::{
    dead_log::DeadLog,
    erased_job::{Declared, ErasedJob},
    hooks::Hooks,
    metrics::Meter,
    running::Running,
    ticker::Ticker,
};
use crate::{
    AsStore, Error, ErrorKind, Job, JobFn, JobFuture, JobInput, NamedJob, Payload, Retention, RunContext,
    Store, WorkerId,
    limits::{TEXT_BYTES, check_name, clean_text},
};

/// Claims and runs the jobs that it has registered.
///
/// It survives an unavailable store: it waits, with jittered backoff, and continues.
///
/// ```no_run
/// # use riqle_jobs_core::{Job, JobError, JobInput, RunContext, Worker};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Welcome;
/// # impl JobInput for Welcome {
/// #     const JOB: &'static str = "send-welcome-email";
/// # }
/// # struct SendWelcomeEmail;
/// # impl Job for SendWelcomeEmail {
/// #     type Input = Welcome; type Output = ();
/// #     async fn run(&self, _: &RunContext, _: Welcome) -> Result<(), JobError> { Ok(()) }
/// # }
/// # async fn start(store: riqle_jobs_core::Memory) -> Result<(), riqle_jobs_core::Error> {
/// Worker::new(&store).register(SendWelcomeEmail).concurrency(32).run().await
/// # }
/// ```
pub struct Worker {
    store: Arc<dyn Store>,
    jobs: BTreeMap<Arc<str>, Arc<ErasedJob>>,
    hooks: Arc<Hooks>,
    dead_log: Arc<DeadLog>,
    settings: Settings,
    duplicate: Option<String>,
    stats: Arc<running::Counters>,
    meter: Arc<Meter>,
}

#[derive(Clone)]
struct Settings {
    id: WorkerId,
    label: String,
    concurrency: usize,
    queue_slots: BTreeMap<String, usize>,
    lease: Duration,
    poll: Duration,
    grace: Duration,
    retention: Retention,
    panic_hook: bool,
    report_every: Duration,
}

impl Worker {
    /// A worker of `store` without jobs.
    pub fn new(store: &impl AsStore) -> Self {
        Self {
            store: store.as_store(),
            jobs: BTreeMap::new(),
            hooks: Arc::default(),
            dead_log: Arc::default(),
            settings: Settings {
                id: WorkerId::new(),
                label: format!("process {}", std::process::id()),
                concurrency: 32,
                queue_slots: BTreeMap::new(),
                lease: Duration::from_secs(30),
                poll: Duration::from_secs(1),
                grace: Duration::from_secs(10),
                retention: Retention::default(),
                panic_hook: true,
                report_every: housekeeping::REPORT_EVERY,
            },
            duplicate: None,
            stats: Arc::default(),
            meter: Arc::default(),
        }
    }

    /// Adds a job. The worker claims no others.
    #[must_use]
    pub fn register<J: Job>(self, job: J) -> Self {
        self.add(erased_job::erase(job))
    }

    fn add(mut self, job: Arc<ErasedJob>) -> Self {
        let name = job.declaration.name.clone();
        if self.jobs.insert(name.as_str().into(), job).is_some() {
            self.duplicate = Some(name);
        }
        self
    }

    /// Adds a function as a job, called with a clone of `app`, such as a pool: `.register_with(app, resize)`. To set a retry
    /// policy or a timeout, register a [`JobFn`](crate::JobFn).
    #[must_use]
    pub fn register_with<A, I, O, F, Fut>(self, app: A, body: F) -> Self
    where
        A: Clone + Send + Sync + 'static,
        I: JobInput,
        O: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(A, RunContext, I) -> Fut + Send + Sync + 'static,
        Fut: JobFuture<O> + Send + 'static,
    {
        self.register(JobFn::new(move |run, input| body(app.clone(), run, input)))
    }

    /// Adds a job whose name is known only at run time, with a body over the input as it is stored. To set a queue, a retry
    /// policy or a timeout, use [`register_named_job`](Self::register_named_job).
    #[must_use]
    pub fn register_named<F, Fut, O>(self, name: impl Into<String>, body: F) -> Self
    where
        F: Fn(RunContext, Payload) -> Fut + Send + Sync + 'static,
        Fut: JobFuture<O> + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        self.register_named_job(NamedJob::new(name, body))
    }

    /// Adds a [`NamedJob`].
    #[must_use]
    pub fn register_named_job<F, Fut, O>(self, job: NamedJob<F, O>) -> Self
    where
        F: Fn(RunContext, Payload) -> Fut + Send + Sync + 'static,
        Fut: JobFuture<O> + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        self.add(erased_job::erase_named(job))
    }

    /// How many attempts run at once, at least 1. Default 32.
    #[must_use]
    pub fn concurrency(mut self, attempts: usize) -> Self {
        self.settings.concurrency = attempts.max(1);
        self
    }

    /// Limits how many attempts of a queue this worker runs at once, at least 1 and within
    /// [`concurrency`](Self::concurrency): for heavy work, or for an outside service that takes few requests at
    /// a time. Default: no limit.
    #[must_use]
    pub fn queue_slots(mut self, queue: impl Into<String>, attempts: usize) -> Self {
        self.settings.queue_slots.insert(queue.into(), attempts.max(1));
        self
    }

    /// How long a claim holds unless extended, and so the longest wait after a crash. It is extended while the
    /// attempt is alive. Default 30 s, at least 100 ms.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.max(Duration::from_millis(100));
        self
    }

    /// How often it polls for due runs whose hint was lost, ±20%. Default 1 s, at least 1 ms.
    #[must_use]
    pub fn poll_interval(mut self, poll: Duration) -> Self {
        self.settings.poll = poll.clamp(Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
        self
    }

    /// How long running attempts may continue once shutdown has begun. Default 10 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// A name for display; default the process id. Workers may share it: they are told apart by a random id.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.settings.label = clean_text(&label.into(), TEXT_BYTES);
        self
    }

    /// How long ended runs, events and emails are kept; the worker prunes every minute.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.settings.retention = retention;
        self
    }

    /// Leaves the process's panic hook alone: the error of a panic then lacks its location.
    #[must_use]
    pub fn without_panic_hook(mut self) -> Self {
        self.settings.panic_hook = false;
        self
    }

    /// Called when a run has become a dead letter, after that is stored.
    #[must_use]
    pub fn on_dead(mut self, hook: impl Fn(&RunReport) + Send + Sync + 'static) -> Self {
        self.hooks_mut().dead = Some(Arc::new(hook));
        self
    }

    /// Called when a failed attempt will be retried, after that is stored.
    #[must_use]
    pub fn on_retry(mut self, hook: impl Fn(&RunReport) + Send + Sync + 'static) -> Self {
        self.hooks_mut().retry = Some(Arc::new(hook));
        self
    }

    /// Called when a human must act: an error with [`JobError::alert`](crate::JobError::alert), such as a
    /// mailer's wrong key.
    #[must_use]
    pub fn on_alert(mut self, hook: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        self.hooks_mut().alert = Some(Arc::new(hook));
        self
    }

    /// Its id, random in each process.
    pub fn id(&self) -> WorkerId {
        self.settings.id
    }

    /// Its counters so far.
    pub fn stats(&self) -> WorkerStats {
        self.stats.read()
    }

    /// Runs until the process is told to stop: SIGTERM or Ctrl-C ends it gracefully, a second one at once.
    ///
    /// # Errors
    /// `Rejected` if no job is registered, two share a name, a queue has slots but no job, or a template of a job's rules
    /// is wrong; `Misconfigured` if a thread or signal handler can't be set up.
    pub async fn run(&self) -> Result<(), Error> {
        self.run_with(&Shutdown::on_signals()?).await
    }

    /// Runs until `stop` resolves, then ends gracefully.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(&self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let shutdown = Shutdown::new();
        shutdown.fired_by(stop, self.run_with(&shutdown)).await
    }

    /// Runs until `shutdown` says so.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with(&self, shutdown: &Shutdown) -> Result<(), Error> {
        self.check()?;
        let running = Running::start(self)?;
        let mut keeping = JoinSet::new();
        keeping.spawn(housekeeping::keep(running.shared(), self.declared()?, self.settings.clone()));
        keeping.spawn(Ticker::new(&running.shared(), &self.settings).keep_ticking());
        let ended = running.until_stopped(shutdown).await;
        keeping.shutdown().await;
        self.report_metrics().await;
        housekeeping::sign_off(&*self.store, self.settings.id).await;
        ended
    }

    /// Runs what is due now, and what becomes due meanwhile, until nothing is left: for tests, and for
    /// processes that are started for one round.
    ///
    /// # Errors
    /// As [`run`](Self::run); also the store's errors of the first call.
    pub async fn run_until_idle(&self) -> Result<(), Error> {
        self.check()?;
        housekeeping::register(&*self.store, &self.declared()?).await?;
        let ended = Running::start(self)?.until_idle(&self.settings).await;
        self.report_metrics().await;
        ended
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    async fn report_metrics(&self) {
        let report = self.meter.report(&self.store, self.settings.id);
        match timeout(Duration::from_secs(1), report).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "can't report metrics"),
            Err(_) => tracing::debug!("can't report metrics in time"),
        }
    }

    fn hooks_mut(&mut self) -> &mut Hooks {
        // Shared only while it runs, and then it is borrowed.
        Arc::make_mut(&mut self.hooks)
    }

    /// Its jobs with their schedules.
    fn declared(&self) -> Result<Vec<Declared>, Error> {
        self.jobs.values().map(|job| job.declared(&self.store.limits())).collect()
    }

    fn check(&self) -> Result<(), Error> {
        if let Some(name) = &self.duplicate {
            let message = format!("two jobs are registered as {name:?}");
            return Err(Error::new(ErrorKind::Rejected, "register", message));
        }
        if self.jobs.is_empty() {
            let message = "no job is registered; add one with Worker::register";
            return Err(Error::new(ErrorKind::Rejected, "run", message));
        }
        for job in self.jobs.values() {
            let names = check_name("job", &job.declaration.name)
                .and_then(|()| check_name("queue", &job.declaration.queue));
            let rules = names.and_then(|()| job.declaration.rules.check(&job.declaration.name));
            rules.map_err(|error| error.of("run"))?;
            job.declared(&self.store.limits())?;
        }
        let has_job = |queue: &str| self.jobs.values().any(|job| job.declaration.queue == queue);
        if let Some(queue) = self.settings.queue_slots.keys().find(|queue| !has_job(queue)) {
            let message = format!("queue {queue:?} has slots, but no registered job uses it");
            return Err(Error::new(ErrorKind::Rejected, "run", message));
        }
        Ok(())
    }
}

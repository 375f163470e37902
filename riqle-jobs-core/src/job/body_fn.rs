//! Functions and closures as jobs.

use std::{marker::PhantomData, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Job, JobError, JobFuture, JobInput, RetryPolicy, RunContext, UnreadableStep, schedule::Schedule,
};

/// A job whose body is a function or a closure.
///
/// ```
/// # use std::time::Duration;
/// use riqle_jobs_core::{JobError, JobFn, JobInput, Memory, RetryPolicy, RunContext, Worker};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize {
///     image: String,
/// }
///
/// impl JobInput for Resize {
///     const JOB: &'static str = "resize";
/// }
///
/// async fn resize(run: RunContext, input: Resize) -> Result<usize, JobError> {
///     run.step("resize", || async move { Ok(input.image.len()) }).await
/// }
///
/// let resize = JobFn::new(resize)
///     .retry_policy(RetryPolicy::exponential(Duration::from_secs(1)).max_retries(2))
///     .timeout(Duration::from_secs(60));
/// let worker = Worker::new(&Memory::new()).register(resize);
/// ```
pub struct JobFn<F, I, O> {
    body: F,
    policy: RetryPolicy,
    timeout: Duration,
    unreadable_step: UnreadableStep,
    schedules: Box<dyn Fn() -> Vec<Schedule<I>> + Send + Sync>,
    types: PhantomData<fn(I) -> O>,
}

impl<F, Fut, I, O> JobFn<F, I, O>
where
    F: Fn(RunContext, I) -> Fut + Send + Sync + 'static,
    Fut: JobFuture<O> + Send + 'static,
    I: JobInput,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    /// A job with the defaults of [`Job`].
    pub fn new(body: F) -> Self {
        Self {
            body,
            policy: RetryPolicy::default(),
            timeout: super::TIMEOUT,
            unreadable_step: UnreadableStep::Fail,
            schedules: Box::new(Vec::new),
            types: PhantomData,
        }
    }

    /// Its schedules: [`Job::schedules`].
    #[must_use]
    pub fn schedules(mut self, schedules: impl Fn() -> Vec<Schedule<I>> + Send + Sync + 'static) -> Self {
        self.schedules = Box::new(schedules);
        self
    }

    /// When to try again: [`Job::retry_policy`].
    #[must_use]
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How long one attempt may run: [`Job::timeout`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What to do with a saved step that can't be read: [`Job::on_unreadable_step`].
    #[must_use]
    pub fn on_unreadable_step(mut self, then: UnreadableStep) -> Self {
        self.unreadable_step = then;
        self
    }
}

impl<F, Fut, I, O> Job for JobFn<F, I, O>
where
    F: Fn(RunContext, I) -> Fut + Send + Sync + 'static,
    Fut: JobFuture<O> + Send + 'static,
    I: JobInput,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    type Input = I;
    type Output = O;

    fn retry_policy(&self) -> RetryPolicy {
        self.policy.clone()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn schedules(&self) -> Vec<Schedule<I>> {
        (self.schedules)()
    }

    fn on_unreadable_step(&self) -> UnreadableStep {
        self.unreadable_step
    }

    async fn run(&self, run: &RunContext, input: I) -> Result<O, JobError> {
        (self.body)(run.clone(), input).await
    }
}

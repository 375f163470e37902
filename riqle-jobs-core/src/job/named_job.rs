//! Jobs whose name is known only at run time.

use std::{marker::PhantomData, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    JobFuture, Payload, Priority, RetryPolicy, RunContext, UnreadableStep, job,
    schedule::NewSchedule,
    store::{JobDeclaration, JobRules},
};

/// A job whose name is known only at run time, such as one of a plug-in or a tenant; its body takes the input as it is stored.
///
/// ```
/// # use std::time::Duration;
/// use riqle_jobs_core::{JobError, Memory, NamedJob, Payload, RetryPolicy, RunContext, Worker};
///
/// # let plugins = vec!["resize".to_owned(), "crop".to_owned()];
/// let mut worker = Worker::new(&Memory::new());
/// for plugin in plugins {
///     let name = plugin.clone();
///     let body = move |run: RunContext, input: Payload| {
///         let plugin = plugin.clone();
///         async move { run.step("call", || async move { Ok(format!("{plugin}: {} bytes", input.bytes.len())) }).await }
///     };
///     let job = NamedJob::new(name, body)
///         .queue("plugins")
///         .retry_policy(RetryPolicy::exponential(Duration::from_secs(1)).max_retries(2));
///     worker = worker.register_named_job(job);
/// }
/// ```
pub struct NamedJob<F, O> {
    pub(crate) declaration: JobDeclaration,
    pub(crate) schedules: Vec<NewSchedule>,
    pub(crate) policy: RetryPolicy,
    pub(crate) timeout: Duration,
    pub(crate) unreadable_step: UnreadableStep,
    pub(crate) body: F,
    output: PhantomData<fn() -> O>,
}

impl<F, Fut, O> NamedJob<F, O>
where
    F: Fn(RunContext, Payload) -> Fut + Send + Sync + 'static,
    Fut: JobFuture<O> + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    /// With the defaults of [`Job`](crate::Job), in the queue `default`. A name has at most 128 bytes.
    pub fn new(name: impl Into<String>, body: F) -> Self {
        let declaration = JobDeclaration {
            name: name.into(),
            queue: job::QUEUE.to_owned(),
            priority: Priority::DEFAULT,
            trigger: None,
            policy: None,
            rules: JobRules::default(),
        };
        Self {
            declaration,
            schedules: Vec::new(),
            policy: RetryPolicy::default(),
            timeout: job::TIMEOUT,
            unreadable_step: UnreadableStep::Fail,
            body,
            output: PhantomData,
        }
    }

    /// The queue that its runs wait in: [`JobInput::QUEUE`](crate::JobInput::QUEUE).
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.declaration.queue = queue.into();
        self
    }

    /// The event that starts it: [`JobInput::TRIGGER`](crate::JobInput::TRIGGER).
    #[must_use]
    pub fn trigger(mut self, event: impl Into<String>) -> Self {
        self.declaration.trigger = Some(event.into());
        self
    }

    /// Adds a schedule; its job and queue are set to this one's.
    #[must_use]
    pub fn schedule(mut self, schedule: NewSchedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// When to try again: [`Job::retry_policy`](crate::Job::retry_policy).
    #[must_use]
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How long one attempt may run: [`Job::timeout`](crate::Job::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What to do with a saved step that can't be read: [`Job::on_unreadable_step`](crate::Job::on_unreadable_step).
    #[must_use]
    pub fn on_unreadable_step(mut self, then: UnreadableStep) -> Self {
        self.unreadable_step = then;
        self
    }
}

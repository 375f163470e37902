//! Jobs without their types, as a worker runs them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, Job, JobError, JobFuture, NamedJob, Payload, RetryPolicy, RunContext, UnreadableStep, job,
    store::JobDeclaration,
};

/// A [`Job`] without its types; erased once, here.
pub(super) struct ErasedJob {
    pub(super) declaration: JobDeclaration,
    pub(super) policy: RetryPolicy,
    pub(super) timeout: Duration,
    pub(super) unreadable_step: UnreadableStep,
    pub(super) body: Box<dyn Body>,
}

#[async_trait]
pub(super) trait Body: Send + Sync {
    /// The outer error: the stored input can't be read.
    async fn run(&self, context: &RunContext, input: &Payload) -> Result<Result<Payload, JobError>, Error>;
}

/// Asks the application's methods once, here, where their panic is the application's own.
pub(super) fn erase<J: Job>(job: J) -> Arc<ErasedJob> {
    let policy = job.retry_policy();
    Arc::new(ErasedJob {
        declaration: job::declaration::<J::Input>(Some(policy.to_string())),
        policy,
        timeout: job.timeout(),
        unreadable_step: job.on_unreadable_step(),
        body: Box::new(Erased(job)),
    })
}

pub(super) fn erase_named<F, Fut, O>(job: NamedJob<F, O>) -> Arc<ErasedJob>
where
    F: Fn(RunContext, Payload) -> Fut + Send + Sync + 'static,
    Fut: JobFuture<O> + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    let NamedJob { declaration, policy, timeout, unreadable_step, body, .. } = job;
    Arc::new(ErasedJob {
        declaration: JobDeclaration { policy: Some(policy.to_string()), ..declaration },
        policy,
        timeout,
        unreadable_step,
        body: Box::new(Named(body)),
    })
}

struct Named<F>(F);

#[async_trait]
impl<F, Fut, O> Body for Named<F>
where
    F: Fn(RunContext, Payload) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, JobError>> + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    async fn run(&self, context: &RunContext, input: &Payload) -> Result<Result<Payload, JobError>, Error> {
        Ok(match (self.0)(context.clone(), input.clone()).await {
            Ok(output) => encode(context, &output).map_err(JobError::dead),
            Err(error) => Err(error),
        })
    }
}

struct Erased<J>(J);

#[async_trait]
impl<J: Job> Body for Erased<J> {
    async fn run(&self, context: &RunContext, input: &Payload) -> Result<Result<Payload, JobError>, Error> {
        let input = input.decode::<J::Input>()?;
        Ok(match self.0.run(context, input).await {
            Ok(output) => encode(context, &output).map_err(JobError::dead),
            Err(error) => Err(error),
        })
    }
}

fn encode<T: Serialize + DeserializeOwned>(context: &RunContext, output: &T) -> Result<Payload, Error> {
    let (output, _) = Payload::json_of(output)?;
    context.limits().check_result("output", &output)?;
    Ok(output)
}

//! Jobs without their types, as a worker runs them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, ErrorKind, Job, JobError, JobFuture, Limits, NamedJob, Payload, RetryPolicy, RunContext,
    UnreadableStep, job,
    schedule::{NewSchedule, Schedule},
    store::JobDeclaration,
};

/// A [`Job`] without its types; erased once, here.
pub(super) struct ErasedJob {
    pub(super) declaration: JobDeclaration,
    pub(super) schedules: Vec<Result<NewSchedule, Error>>,
    pub(super) policy: RetryPolicy,
    pub(super) timeout: Duration,
    pub(super) unreadable_step: UnreadableStep,
    pub(super) body: Box<dyn Body>,
}

/// What a worker declares of a job.
#[derive(Clone)]
pub(super) struct Declared {
    pub(super) job: JobDeclaration,
    pub(super) schedules: Vec<NewSchedule>,
}

impl ErasedJob {
    /// # Errors
    /// `Rejected` where something is wrong with a schedule, or two have the same name.
    pub(super) fn declared(&self, limits: &Limits) -> Result<Declared, Error> {
        let mut schedules: Vec<NewSchedule> = Vec::with_capacity(self.schedules.len());
        for schedule in &self.schedules {
            let new = schedule.as_ref().map_err(|error| {
                Error::new(
                    error.kind(),
                    "schedule",
                    format!("job {:?}: {}", self.declaration.name, error.message()),
                )
            })?;
            new.checked(limits)?;
            if schedules.iter().any(|other| other.name == new.name) {
                let message = format!("job {:?} has two schedules {:?}", self.declaration.name, new.name);
                return Err(Error::new(ErrorKind::Rejected, "schedule", message));
            }
            schedules.push(new.clone());
        }
        Ok(Declared { job: self.declaration.clone(), schedules })
    }
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
        schedules: job.schedules().into_iter().map(Schedule::erase).collect(),
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
    let NamedJob { declaration, schedules, policy, timeout, unreadable_step, body, .. } = job;
    Arc::new(ErasedJob {
        schedules: schedules.into_iter().map(|new| Ok(new.of(&declaration))).collect(),
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

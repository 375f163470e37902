use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Error, Job, JobError, Payload, RetryPolicy, RunContext,
    job::{self},
    store::JobDeclaration,
};

/// A [`Job`] without its types; erased once, here.
#[async_trait]
pub(super) trait ErasedJob: Send + Sync {
    fn declaration(&self) -> JobDeclaration;
    fn policy(&self) -> RetryPolicy;
    fn timeout(&self) -> std::time::Duration;
    /// The outer error: the stored input can't be read.
    async fn run(&self, context: &RunContext, input: &Payload) -> Result<Result<Payload, JobError>, Error>;
}

pub(super) fn erase<J: Job>(job: J) -> Arc<dyn ErasedJob> {
    Arc::new(Erased(job))
}

struct Erased<J>(J);

#[async_trait]
impl<J: Job> ErasedJob for Erased<J> {
    fn declaration(&self) -> JobDeclaration {
        job::declaration::<J>(Some(self.0.retry_policy().to_string()))
    }

    fn policy(&self) -> RetryPolicy {
        self.0.retry_policy()
    }

    fn timeout(&self) -> std::time::Duration {
        self.0.timeout()
    }

    async fn run(&self, context: &RunContext, input: &Payload) -> Result<Result<Payload, JobError>, Error> {
        let input = input.decode::<J::Input>()?;
        Ok(match self.0.run(context, input).await {
            Ok(output) => encode(context, &output),
            Err(error) => Err(error),
        })
    }
}

fn encode<T: serde::Serialize>(context: &RunContext, output: &T) -> Result<Payload, JobError> {
    let output = Payload::json(output)?;
    context.limits().check_result("output", &output)?;
    Ok(output)
}

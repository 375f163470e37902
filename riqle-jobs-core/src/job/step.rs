//! A step as a type of its own.

use serde::{Serialize, de::DeserializeOwned};

use super::JobFuture;

/// A step as a type of its own, to be shared between jobs and tested alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a step",
    label = "expected a type with `impl Step`",
    note = "for a step of one job alone, `run.step(\"name\", || async {{ … }})` takes a closure"
)]
pub trait Step: Send + Sync {
    /// The stored name, unique within a job; at most 128 bytes.
    const NAME: &'static str;
    /// What it is given.
    type Input: Send;
    /// What is saved.
    type Output: Serialize + DeserializeOwned + Send;

    /// The effect. Runs again only if its result was not saved.
    ///
    /// Written as `async fn run(&self, input: Self::Input) -> Result<Self::Output, JobError>`.
    fn run(&self, input: Self::Input) -> impl JobFuture<Self::Output> + Send;
}

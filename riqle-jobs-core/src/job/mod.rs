//! What applications define: inputs, jobs, steps, and how to retry.

mod body_fn;
mod input;
mod job_error;
mod named_job;
mod retry_policy;
mod rules;
mod step;
mod unreadable_step;

use std::{future::Future, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{RunContext, schedule::Schedule};

pub use body_fn::JobFn;
pub use input::JobInput;
pub(crate) use input::{QUEUE, declaration, rules};
pub use job_error::JobError;
pub(crate) use job_error::Verdict;
pub use named_job::NamedJob;
pub(crate) use retry_policy::mix;
pub use retry_policy::{Jitter, RetryPolicy};
pub use rules::{JobRule, JobRules, Key, LackingPath, RunKeys, Unique};
pub use step::Step;
pub use unreadable_step::UnreadableStep;

/// The default time limit of an attempt.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// A job: what to run for an input, and how to retry. Its fields are what the body needs, such as a [`Sender`](crate::Sender).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    label = "expected a type with `impl Job`",
    note = "give it an Input, an Output and `async fn run(&self, run: &RunContext, input: Input)`"
)]
pub trait Job: Send + Sync + 'static {
    /// The input, which names the job.
    type Input: JobInput;
    /// What a run returns.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// When to try again. Default: 5 retries, after 1, 2, 4, 8, 16 s.
    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::default()
    }

    /// How long one attempt may run before it counts as failed. Default 15 minutes; `Duration::MAX` for no
    /// limit.
    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    /// The schedules of the job: at each tick of one, a run with its input starts. Default: none.
    ///
    /// They are declared where a worker runs the job. What an operator pauses, edits or removes stays so until what is declared
    /// here changes.
    fn schedules(&self) -> Vec<Schedule<Self::Input>> {
        Vec::new()
    }

    /// What to do with a saved step result that no longer decodes into the step's type. Default: fail, as a
    /// dead letter at once.
    fn on_unreadable_step(&self) -> UnreadableStep {
        UnreadableStep::Fail
    }

    /// The body. It runs from the top on each attempt; saved steps return their results.
    ///
    /// Written as `async fn run(&self, run: &RunContext, input: Self::Input) -> Result<Self::Output, JobError>`.
    fn run(&self, run: &RunContext, input: Self::Input) -> impl JobFuture<Self::Output> + Send;
}

/// What the body of a job or a step returns, as an `async fn`: a future of `Result<T, JobError>`. It exists for the
/// compiler's message if a body is something else:
///
/// ```compile_fail,E0277
/// # use riqle_jobs_core::{Job, JobError, JobInput, RunContext};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Welcome;
/// # impl JobInput for Welcome {
/// #     const JOB: &'static str = "welcome-user";
/// # }
/// # struct WelcomeUser;
/// impl Job for WelcomeUser {
///     type Input = Welcome;
///     type Output = ();
///
///     // error[E0277]: the body of a job must be an `async fn` that returns `Result<(), JobError>`
///     fn run(&self, run: &RunContext, input: Welcome) -> Result<(), JobError> {
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the body of a job must be an `async fn` that returns `Result<{T}, JobError>`",
    label = "this is `{Self}`",
    note = "in `impl Job`: `async fn run(&self, run: &RunContext, input: Self::Input) -> Result<Self::Output, JobError>`",
    note = "in `impl Step`: `async fn run(&self, input: Self::Input) -> Result<Self::Output, JobError>`",
    note = "for `JobFn::new`: `async fn resize(run: RunContext, input: Resize) -> Result<Resized, JobError>`; `register_with` \
            gives it the application's state first"
)]
pub trait JobFuture<T>: Future<Output = Result<T, JobError>> {}

#[diagnostic::do_not_recommend]
impl<T, F: Future<Output = Result<T, JobError>>> JobFuture<T> for F {}

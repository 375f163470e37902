use std::{future::Future, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    JobError, Key, Priority, RetryPolicy, RunContext, Unique, UnreadableStep,
    store::{JobDeclaration, JobRules},
};

/// The default time limit of an attempt.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The queue of jobs that name none.
pub(crate) const QUEUE: &str = "default";

/// The input of a job, and all that a producer needs: `jobs.enqueue(input).await?`.
///
/// [`JOB`](Self::JOB) is the stored name, so the types may be renamed and moved freely. After a deploy, inputs that are already
/// stored must still decode.
///
/// What it says holds for every run of the job: also for those that an event starts, and those that a relay moves.
///
/// ```
/// use riqle_jobs_core::{JobInput, Key, Unique};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Welcome {
///     user: String,
///     email: String,
/// }
///
/// impl JobInput for Welcome {
///     const JOB: &'static str = "welcome-user";
///     const TRIGGER: Option<&'static str> = Some("user/created");
///     const UNIQUE: Option<Unique> = Some(Unique::by("welcome:{user}"));
///     const REFERENCE: Option<Key> = Some(Key::by("{user}"));
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the input of a job",
    label = "expected a type with `impl JobInput`",
    note = "derive Serialize and Deserialize, and say whose input it is: `impl JobInput for … {{ const JOB: &'static str = \"…\"; }}`"
)]
pub trait JobInput: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The job's stored name, unique in the application; at most 128 bytes.
    const JOB: &'static str;
    /// The event that starts the job; its data is the input.
    const TRIGGER: Option<&'static str> = None;
    /// The queue that its runs wait in.
    const QUEUE: &'static str = QUEUE;
    /// The priority of its runs among the due runs of the queue.
    const PRIORITY: Priority = Priority::DEFAULT;
    /// The unique key of its runs, of paths of the input: at most one run with it at a time. Default: none.
    const UNIQUE: Option<Unique> = None;
    /// The application's own name for what a run is about, of paths of the input; searchable. Default: none.
    const REFERENCE: Option<Key> = None;
}

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

/// What the store is told about a job.
pub(crate) fn declaration<I: JobInput>(policy: Option<String>) -> JobDeclaration {
    JobDeclaration {
        name: I::JOB.to_owned(),
        queue: I::QUEUE.to_owned(),
        priority: I::PRIORITY,
        trigger: I::TRIGGER.map(str::to_owned),
        policy,
        rules: rules::<I>(),
    }
}

/// What holds for each run of a job.
pub(crate) fn rules<I: JobInput>() -> JobRules {
    JobRules { unique: I::UNIQUE, reference: I::REFERENCE }
}

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

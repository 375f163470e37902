//! The input of a job, which is all that a producer links.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Key, Priority, Unique,
    store::{JobDeclaration, JobRules},
};

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

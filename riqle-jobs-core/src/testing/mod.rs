//! For an application's tests: no server, no sleeping, a clock that only the test moves.
//!
//! ```
//! # use std::time::Duration;
//! # use riqle_jobs_core::{Job, JobError, JobInput, Jobs, ManualClock, Memory, RetryPolicy, RunContext, Worker, testing};
//! # use serde::{Deserialize, Serialize};
//! #[derive(Serialize, Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! impl JobInput for Greeting {
//!     const JOB: &'static str = "greet";
//! }
//!
//! struct Greet;
//!
//! impl Job for Greet {
//!     type Input = Greeting;
//!     type Output = String;
//!     fn retry_policy(&self) -> RetryPolicy {
//!         RetryPolicy::exponential(Duration::from_secs(1)).max_retries(1)
//!     }
//!     async fn run(&self, run: &RunContext, input: Greeting) -> Result<String, JobError> {
//!         if run.attempt() == 1 { Err(JobError::retry("not in the mood")) } else { Ok(format!("hello {}", input.name)) }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), riqle_jobs_core::Error> {
//! let clock = ManualClock::new();
//! let store = Memory::with_clock(&clock);
//! let worker = Worker::new(&store).register(Greet);
//!
//! let run = Jobs::new(&store).enqueue(Greeting { name: "Ada".to_owned() }).await?.id();
//! testing::assert_enqueued::<Greeting>(&store, serde_json::json!({"name": "Ada"})).await;
//!
//! worker.run_until_idle().await?;
//! assert_eq!(testing::advance_to_next_due(&store, &clock).await?, Some(Duration::from_secs(1)));
//! worker.run_until_idle().await?;
//! assert_eq!(testing::output::<String>(&store, run).await?, "hello Ada");
//! # Ok(()) }
//! ```
// Assertions panic; that is what they are for.
#![allow(clippy::panic)]

mod recording_mailer;
mod timeline;

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::{
    recording_mailer::{RecordedEmail, RecordingMailer},
    timeline::{Moment, timeline, timeline_of},
};
use crate::{
    AsStore, Error, ErrorKind, JobInput, ManualClock, Run, RunFilter, RunId, RunState, Store, Timestamp,
    Worker,
    store::{ScheduleFilter, StoredSchedule},
};

/// Moves the clock to when the next run or schedule becomes due, and returns by how much: never 0. If none becomes due
/// later, returns `None` and leaves the clock, so a loop over it ends; with a schedule it does not.
///
/// Runs that are already due don't move the clock: the test's worker takes them first, and those that none
/// takes are [`overdue`].
///
/// # Errors
/// The store's.
pub async fn advance_to_next_due(
    store: &impl AsStore,
    clock: &ManualClock,
) -> Result<Option<Duration>, Error> {
    let store = store.as_store();
    let mut due: Vec<_> = all_schedules(&*store).await?.iter().filter_map(|found| found.row.due_at).collect();
    due.extend(held_up(&*store).await?);
    advance_to_first(&*store, clock, due).await
}

/// When the runs are due that no worker has taken.
async fn held_up(store: &dyn Store) -> Result<Vec<Timestamp>, Error> {
    let held_up = all_runs(store, HELD_UP.to_vec(), None).await?;
    Ok(held_up.into_iter().map(|run| run.due_at).collect())
}

async fn advance_to_first(
    store: &dyn Store,
    clock: &ManualClock,
    due: Vec<Timestamp>,
) -> Result<Option<Duration>, Error> {
    let now = store.now().await?;
    let Some(due) = due.into_iter().filter(|due| *due > now).min() else { return Ok(None) };
    let wait = Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO);
    clock.advance(wait);
    Ok(Some(wait))
}

/// Runs what is due, and what becomes due later, moving the clock to each due time, until nothing does. The next ticks of
/// schedules, of which there is no end, are not waited for.
///
/// # Errors
/// As [`Worker::run_until_idle`], and the store's.
pub async fn work_through(worker: &Worker, clock: &ManualClock) -> Result<(), Error> {
    loop {
        worker.run_until_idle().await?;
        let store = worker.store();
        if advance_to_first(&**store, clock, held_up(&**store).await?).await?.is_none() {
            return Ok(());
        }
    }
}

/// The runs that are due and that no worker has taken, newest id first. After `run_until_idle` they are those of jobs that
/// its worker has not registered, and those of paused queues.
///
/// # Errors
/// The store's.
pub async fn overdue(store: &impl AsStore) -> Result<Vec<Run>, Error> {
    let store = store.as_store();
    let now = store.now().await?;
    let mut runs = all_runs(&*store, HELD_UP.to_vec(), None).await?;
    runs.retain(|run| run.due_at <= now);
    Ok(runs)
}

/// The states of a run until a worker takes it.
const HELD_UP: [RunState; 2] = [RunState::Pending, RunState::Waiting];

/// Asserts that a run of the job of `I` has not started yet and that its input contains all of `part`: objects
/// may contain more, everything else must be equal.
///
/// # Panics
/// If there is none, listing what there is; if the store can't be read.
pub async fn assert_enqueued<I: JobInput>(store: &impl AsStore, part: impl Serialize) {
    let (part, inputs) = pending_inputs::<I>(store, part).await;
    assert!(
        inputs.iter().any(|input| holds(input, &part)),
        "no pending run of {:?} has an input that contains {part}; pending: {inputs:?}",
        I::JOB
    );
}

/// Asserts that no run of the job of `I` that has not started yet has an input that contains all of `part`.
///
/// # Panics
/// If there is one; if the store can't be read.
pub async fn assert_not_enqueued<I: JobInput>(store: &impl AsStore, part: impl Serialize) {
    let (part, inputs) = pending_inputs::<I>(store, part).await;
    assert!(
        !inputs.iter().any(|input| holds(input, &part)),
        "a pending run of {:?} has an input that contains {part}",
        I::JOB
    );
}

/// Asserts that the job of `I` has a schedule of this name that is not paused, and that the input of its runs contains all of
/// `part`. Its next tick is in [`Jobs::schedules`](crate::Jobs::schedules).
///
/// # Panics
/// If there is none, listing what there is; if the store can't be read.
pub async fn assert_scheduled<I: JobInput>(store: &impl AsStore, name: &str, part: impl Serialize) {
    let part = match serde_json::to_value(part) {
        Ok(part) => part,
        Err(error) => panic!("the expected part can't be written as JSON: {error}"),
    };
    let found = match all_schedules(&*store.as_store()).await {
        Ok(found) => found.into_iter().filter(|found| found.job == I::JOB).collect::<Vec<_>>(),
        Err(error) => panic!("can't list the schedules of {:?}: {error}", I::JOB),
    };
    let is_it = |found: &&StoredSchedule| {
        let input = found.row.input.decode::<Value>();
        found.name == name
            && input.is_ok_and(|input| holds(&input, &part))
            && found.state().is_ok_and(|state| !state.is_at_rest())
    };
    let listed = |found: &StoredSchedule| (found.name.clone(), found.row.input.decode::<Value>().ok());
    assert!(
        found.iter().any(|found| is_it(&found)),
        "no schedule {name:?} of {:?} ticks with an input that contains {part}; there are: {:?}",
        I::JOB,
        found.iter().map(listed).collect::<Vec<_>>()
    );
}

async fn all_schedules(store: &dyn Store) -> Result<Vec<StoredSchedule>, Error> {
    let mut filter = ScheduleFilter { limit: 1_000, ..ScheduleFilter::default() };
    let mut all = Vec::new();
    loop {
        let page = store.schedules(filter.clone()).await?;
        filter.after = page.last().map(|last| (last.job.clone(), last.name.clone()));
        let last = page.len() < filter.limit;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// What a succeeded run returned.
///
/// # Errors
/// `NotFound` if there is no such run or it has not succeeded; `Corrupt` if the output is not a `T`.
pub async fn output<T: DeserializeOwned>(store: &impl AsStore, id: RunId) -> Result<T, Error> {
    let run = find(store, id).await?;
    match run.output {
        Some(output) => output.decode(),
        None => {
            let message = format!("run {id} is {} and has no output", run.state);
            Err(Error::new(ErrorKind::NotFound, "output", message))
        }
    }
}

async fn find(store: &impl AsStore, id: RunId) -> Result<Run, Error> {
    let run = store.as_store().run(id).await?;
    run.ok_or_else(|| Error::new(ErrorKind::NotFound, "run", format!("no run {id}")))
}

async fn all_runs(store: &dyn Store, states: Vec<RunState>, job: Option<String>) -> Result<Vec<Run>, Error> {
    let mut filter = RunFilter { states, job, limit: 1_000, ..RunFilter::default() };
    let mut runs = Vec::new();
    loop {
        let page = store.runs(filter.clone()).await?;
        filter.before = page.last().map(|run| run.id);
        let last = page.len() < filter.limit;
        runs.extend(page);
        if last {
            return Ok(runs);
        }
    }
}

async fn pending_inputs<I: JobInput>(store: &impl AsStore, part: impl Serialize) -> (Value, Vec<Value>) {
    let part = match serde_json::to_value(part) {
        Ok(part) => part,
        Err(error) => panic!("the expected part can't be written as JSON: {error}"),
    };
    let store = store.as_store();
    match all_runs(&*store, vec![RunState::Pending], Some(I::JOB.to_owned())).await {
        Ok(runs) => (part, runs.iter().filter_map(|run| run.input.decode().ok()).collect()),
        Err(error) => panic!("can't list the runs of {:?}: {error}", I::JOB),
    }
}

/// Whether `value` contains all of `part`.
fn holds(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::Object(value), Value::Object(part)) => {
            part.iter().all(|(key, part)| value.get(key).is_some_and(|value| holds(value, part)))
        }
        _ => value == part,
    }
}

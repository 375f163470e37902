//! The trait by which schedules are stored. What becomes of one is decided in core; a store keeps what it is given, if nothing
//! has changed since it was read.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::NewRun;
use crate::{Enqueued, Error, Hint, Payload, RunId, clock, outside::random_id, schedule::ScheduleState};

/// Keeps schedules, each in the queue of its job.
///
/// Each has a version, which is another one after every change; a write brings its own. Where a schedule
/// [`wakes`](ScheduleRow::wakes), the end of a run of it, whatever ends it, makes it due [`AT_ONCE`] and adds one to the version,
/// in the same write; only a cancel in an application's transaction may leave that to a worker, by a row that asks for a look at
/// the schedule. So that no end is missed, a row that wakes is written only while each run that it
/// [waits for](ScheduleWrite::waits_for) lives.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Those that are due now, first due first, and when the next one is. A paused queue has none.
    ///
    /// Times of schedules are those of the wall clock ([`Due::At`](crate::Due::At)).
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if a row can't be read.
    async fn due_schedules(&self, request: DueRequest) -> Result<DueSchedules, Error>;

    /// Writes each where its version is still the one that was read, and enqueues its run in the same write. No schedule is
    /// among them twice. Answers are in order; they do not depend on one another. One whose own version is there by now was
    /// written before, and one that removes what is not there, too. Workers are told its [`hints`](ScheduleWrite::hints).
    ///
    /// # Errors
    /// As [`Queue::enqueue`](super::Queue::enqueue) of a run in it. Some may be written in any case: repeating is safe.
    async fn write_schedules(&self, writes: Vec<ScheduleWrite>) -> Result<Vec<ScheduleAnswer>, Error>;

    /// The wall clock's time now, as [`due_schedules`](Self::due_schedules) answers it.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn wall_time(&self) -> Result<Timestamp, Error>;

    /// One schedule.
    ///
    /// # Errors
    /// As [`due_schedules`](Self::due_schedules).
    async fn schedule(&self, job: &str, name: &str) -> Result<Option<StoredSchedule>, Error>;

    /// A page of schedules, by job and name.
    ///
    /// # Errors
    /// As [`due_schedules`](Self::due_schedules).
    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<StoredSchedule>, Error>;

    /// Brings the schedules of a job to its queue, where they are in another one.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe, and goes on with what was interrupted.
    async fn gather_schedules(&self, job: &str, queue: &str) -> Result<(), Error>;
}

/// Which due schedules are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRequest {
    /// The queue.
    pub queue: String,
    /// The jobs.
    pub jobs: Arc<[String]>,
    /// The most schedules.
    pub limit: usize,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct DueSchedules {
    /// Those that are due, first due first.
    pub schedules: Vec<StoredSchedule>,
    /// When the next one is due; in the past if more are due now.
    pub next_due: Option<Timestamp>,
    /// The wall clock's time of this answer.
    pub now: Timestamp,
}

/// A schedule as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSchedule {
    /// The queue that its runs wait in.
    pub queue: String,
    /// The job's name.
    pub job: String,
    /// Its name, unique in the job.
    pub name: String,
    /// Another one after every change.
    pub version: u64,
    /// What is stored of it.
    pub row: ScheduleRow,
    /// Its runs that have not ended, those with the greatest ids first; at most [`LIVE_RUNS_READ`].
    pub live: Vec<RunId>,
}

/// When a schedule is due that must be looked at now: 1970, so that a clock that is set back keeps it no longer.
pub const AT_ONCE: Timestamp = Timestamp::UNIX_EPOCH;

/// How many of its live runs are read with a schedule.
pub const LIVE_RUNS_READ: usize = 100;

/// What is stored of a schedule. Only core reads the last two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// When it is to be looked at; `None`: not before something changes.
    pub due_at: Option<Timestamp>,
    /// Whether the end of a run of it makes it due.
    pub wakes: bool,
    /// The input of its runs.
    pub input: Payload,
    /// Everything else: JSON text.
    pub state: String,
}

/// A change of a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleWrite {
    /// The queue of its job.
    pub queue: String,
    /// The job's name.
    pub job: String,
    /// Its name.
    pub name: String,
    /// The version that was read; `None`: there was none.
    pub expects: Option<u64>,
    /// The version that it gets, below 2^48: no other write has it.
    pub version: u64,
    /// What is stored from now on; `None`: nothing.
    pub row: Option<ScheduleRow>,
    /// The run that starts with it, of the same queue.
    pub run: Option<NewRun>,
    /// Its runs that had not ended when it was read; at most [`LIVE_RUNS_READ`], and those that it waits for.
    pub live: Vec<RunId>,
}

impl ScheduleWrite {
    /// The answer where nothing is to be written, by the version that is there; `None`: it is to be written.
    pub fn answer_without_writing(&self, found: Option<u64>) -> Option<ScheduleAnswer> {
        let was_written = match &self.row {
            Some(_) => found == Some(self.version),
            None => found.is_none(),
        };
        if was_written {
            return Some(ScheduleAnswer::Written(self.run.as_ref().map(|run| Enqueued::Existing(run.id))));
        }
        (found != self.expects).then_some(ScheduleAnswer::Stale)
    }

    /// What workers are told once it is written: of its run; and to look at schedules, unless it is a tick that has started its
    /// run.
    pub fn hints(&self, run: Option<Enqueued>) -> impl Iterator<Item = Hint> + use<> {
        let queue = Some(self.queue.clone());
        let is_at_once = self.row.as_ref().is_some_and(|row| row.due_at == Some(AT_ONCE));
        let of_run = run.is_some_and(Enqueued::is_new).then(|| Hint::Due(queue.clone()));
        let of_schedules = (run.is_none() || is_at_once).then_some(Hint::Schedules(queue));
        of_run.into_iter().chain(of_schedules)
    }

    /// Runs whose end is to make it due: where one of them has ended by now, the write is stale.
    pub fn waits_for(&self) -> &[RunId] {
        if self.row.as_ref().is_some_and(|row| row.wakes) { &self.live } else { &[] }
    }
}

/// What became of a [`ScheduleWrite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleAnswer {
    /// It is stored, with what became of its run.
    Written(Option<Enqueued>),
    /// Something has changed since it was read: nothing is stored of it.
    Stale,
}

/// Which schedules to list. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleFilter {
    /// Of this job.
    pub job: Option<String>,
    /// Whose name begins so.
    pub prefix: String,
    /// Only those behind this job and name: the last of the previous page.
    pub after: Option<(String, String)>,
    /// Page size; 0 means 100.
    pub limit: usize,
}

impl ScheduleFilter {
    /// Those whose name begins so.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Whether it lists one of this job and name. What stands under an empty name, or one that begins with a control character,
    /// is no schedule.
    pub fn lists(&self, job: &str, name: &str) -> bool {
        name >= " "
            && self.job.as_deref().is_none_or(|asked| asked == job)
            && name.starts_with(&self.prefix)
            && self.after.as_ref().is_none_or(|(after, last)| (after.as_str(), last.as_str()) < (job, name))
    }

    /// How many are on a page.
    pub fn page(&self) -> usize {
        if self.limit == 0 { 100 } else { self.limit }
    }
}

/// At random, and small enough for what counts in floating point numbers to add to.
pub(crate) fn new_version() -> u64 {
    random_id().as_u64_pair().0 >> 17
}

impl StoredSchedule {
    /// What core keeps in it.
    ///
    /// # Errors
    /// `Corrupt` if it can't be read.
    pub fn state(&self) -> Result<ScheduleState, Error> {
        serde_json::from_str(&self.row.state).map_err(|cause| {
            let message = format!("the schedule {:?} of job {:?} can't be read", self.name, self.job);
            Error::new(crate::ErrorKind::Corrupt, "read", message).caused_by(cause)
        })
    }

    /// Its change to a new state.
    pub(crate) fn write(
        &self,
        state: &ScheduleState,
        input: Option<Payload>,
        run: Option<NewRun>,
    ) -> ScheduleWrite {
        let mut live = self.live.clone();
        live.extend(run.as_ref().map(|run| run.id));
        let due_at = state.due_at(&self.job, &self.name, &live);
        let row = ScheduleRow {
            due_at: due_at.map(|time| clock::from_millis(time.as_millisecond())),
            wakes: state.wakes(),
            input: input.unwrap_or_else(|| self.row.input.clone()),
            state: serde_json::to_string(state).unwrap_or_default(),
        };
        ScheduleWrite { row: Some(row), run, ..self.removal() }
    }

    /// Its removal.
    pub(crate) fn removal(&self) -> ScheduleWrite {
        ScheduleWrite {
            queue: self.queue.clone(),
            job: self.job.clone(),
            name: self.name.clone(),
            expects: Some(self.version),
            version: new_version(),
            row: None,
            run: None,
            live: self.live.clone(),
        }
    }
}

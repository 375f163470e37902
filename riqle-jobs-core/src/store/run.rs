use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Fingerprint, JobInput, Payload, RunId, limits};

/// How urgent a run is among the due runs of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(u8);

impl Priority {
    /// Before all others.
    pub const URGENT: Priority = Priority(0);
    /// Before the default.
    pub const HIGH: Priority = Priority(1);
    /// The default.
    pub const DEFAULT: Priority = Priority(2);
    /// After all others.
    pub const LOW: Priority = Priority(3);
    /// All of them, most urgent first.
    pub const ALL: [Priority; 4] = [Self::URGENT, Self::HIGH, Self::DEFAULT, Self::LOW];

    /// From the stored number, 0 to 3.
    ///
    /// # Errors
    /// `Corrupt` for another number.
    pub fn from_number(number: u8) -> Result<Self, Error> {
        if number > 3 {
            let message = format!("priority {number} is not between 0 and 3");
            return Err(Error::new(ErrorKind::Corrupt, "read", message));
        }
        Ok(Self(number))
    }

    /// The number to store: 0 most urgent, to 3.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// When a run is due. Relative times count from the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Due {
    /// At once.
    Now,
    /// This long after the store accepts it.
    In(Duration),
    /// At a time, cut to whole milliseconds, by the clock of the server, or of an embedded store's machine,
    /// even when that is set; a time in the past means now, in its place among the due runs.
    At(Timestamp),
}

/// How long a unique key stays taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UniqueScope {
    /// Until the run is first claimed, or ends.
    WhilePending,
    /// Until the run has succeeded, is dead or is cancelled.
    WhileNotEnded,
    /// For a time counted from the enqueue, whatever becomes of the run.
    Period(Duration),
}

/// What to do when a key is taken by a run with another input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OtherInput {
    /// An error of kind `Conflict`: the caller reuses a key by mistake.
    Conflicts,
    /// The first one wins, as for events.
    IsIgnored,
}

/// A key that only one run of the job may hold at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// The key, unique per job; `event/…` belongs to events.
    pub key: String,
    /// How long it stays taken.
    pub scope: UniqueScope,
    /// What to do when the key is taken by a run with another input fingerprint.
    pub other_input: OtherInput,
}

/// A run to be stored: what enqueue, `enqueue_in` and the relay take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Made by the caller, so that repeating the enqueue after a lost reply is harmless.
    pub id: RunId,
    /// The job's name.
    pub job: String,
    /// The job's queue.
    pub queue: String,
    /// Its priority among due runs.
    pub priority: Priority,
    /// When it is due.
    pub due: Due,
    /// The job's input.
    pub input: Payload,
    /// The fingerprint of `input`, if it has a unique key that compares inputs; else [`Fingerprint::NONE`].
    pub fingerprint: Fingerprint,
    /// The unique key, if it has one.
    pub unique: Option<Unique>,
    /// The application's own name for what the run is about (an order id); searchable.
    pub reference: Option<String>,
    /// The event that started it.
    pub event_id: Option<String>,
    /// Keys of the limits that it counts against, computed from the job's flow rules; none so far.
    pub gates: Vec<String>,
}

impl NewRun {
    /// A run of the input's job, due now.
    ///
    /// # Errors
    /// `Rejected` if the input can't be written as JSON, or does not read back as an `I`.
    pub fn of<I: JobInput>(input: &I) -> Result<Self, Error> {
        let (input, _) = Payload::json_of(input)?;
        Ok(Self::with_payload(I::JOB, I::QUEUE, I::PRIORITY, input))
    }

    /// A run of a job known by name, due now.
    pub fn with_payload(job: &str, queue: &str, priority: Priority, input: Payload) -> Self {
        Self {
            id: RunId::new(),
            job: job.to_owned(),
            queue: queue.to_owned(),
            priority,
            due: Due::Now,
            input,
            fingerprint: Fingerprint::NONE,
            unique: None,
            reference: None,
            event_id: None,
            gates: Vec::new(),
        }
    }

    /// Delays the run, counted from when the store accepts it.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.due = Due::In(delay);
        self
    }

    /// Makes it due at `time`.
    #[must_use]
    pub fn at(mut self, time: Timestamp) -> Self {
        self.due = Due::At(time);
        self
    }

    /// Allows at most one run of the job with this key that has not ended. A second one returns the first one's
    /// id; with another input it is a `Conflict`.
    ///
    /// Inputs are compared as [`Payload::fingerprint`] says: the order of keys does not count, the order of
    /// lists does. An input with a `HashSet`, whose order changes each time it is written, differs each time;
    /// use a `BTreeSet`.
    #[must_use]
    pub fn unique(self, key: impl Into<String>) -> Self {
        self.unique_within(key, UniqueScope::WhileNotEnded)
    }

    /// Like [`unique`](Self::unique), with the time for which the key is taken.
    #[must_use]
    pub fn unique_within(mut self, key: impl Into<String>, scope: UniqueScope) -> Self {
        self.unique = Some(Unique { key: key.into(), scope, other_input: OtherInput::Conflicts });
        self.fingerprint = self.input.fingerprint();
        self
    }

    /// Files it under the application's own name for what it is about.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Sets its priority among due runs.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Marks it as started by an event: each job starts at most once for an event id within `for_time`.
    #[must_use]
    pub(crate) fn started_by(mut self, event_id: &str, for_time: Duration) -> Self {
        self.event_id = Some(event_id.to_owned());
        self.unique = Some(Unique {
            key: format!("{}{event_id}", limits::EVENT_KEY_PREFIX),
            scope: UniqueScope::Period(for_time),
            other_input: OtherInput::IsIgnored,
        });
        self
    }
}

/// The outcome for a [`NewRun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is stored under its id.
    New(RunId),
    /// Its unique key was taken by this run, or the id was stored before.
    Existing(RunId),
    /// It is staged under its id; whether it is new shows when it arrives.
    Staged(RunId),
}

impl Enqueued {
    /// The run that now represents the call.
    pub fn id(self) -> RunId {
        match self {
            Enqueued::New(id) | Enqueued::Existing(id) | Enqueued::Staged(id) => id,
        }
    }

    /// Whether this call stored it.
    pub fn is_new(self) -> bool {
        matches!(self, Enqueued::New(_))
    }
}

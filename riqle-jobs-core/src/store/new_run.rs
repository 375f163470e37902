//! A run to be stored, and what became of it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Fingerprint, JobInput, Payload, Priority, RunId, TraceContext, job,
    job::{JobRule, LackingPath, RunKeys},
    limits,
    schedule::Tick,
    store::{JobDeclaration, NewEvent},
};

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
pub struct UniqueKey {
    /// The key, unique per job.
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
    pub unique: Option<UniqueKey>,
    /// The application's own name for what the run is about (an order id); searchable.
    pub reference: Option<String>,
    /// The event that started it.
    pub event_id: Option<String>,
    /// For how long its job starts nothing more for that event: the run holds the event's key, beside its own. Set by
    /// [`events`](crate::events) alone.
    pub event_id_kept: Option<Duration>,
    /// The schedule that started it, and at which of its times.
    pub tick: Option<Tick>,
    /// Keys of the limits that it counts against, computed from the job's flow rules; none so far.
    pub gates: Vec<String>,
    /// The trace that it belongs to; [`Jobs`](crate::Jobs) sets it where a trace is propagated.
    pub trace: Option<TraceContext>,
    /// What its input lacks for the keys that its job's rules make: refused, but for a run that an event starts.
    pub lacking: Vec<LackingPath>,
}

impl NewRun {
    /// A run of the input's job, due now, with the keys that the job's rules make. What the input lacks for them is refused
    /// once the run is enqueued, unless it is given another key.
    ///
    /// # Errors
    /// `Rejected` if the input can't be written as JSON, does not read back as an `I`, or a template of the job's rules
    /// is wrong.
    pub fn of<I: JobInput>(input: &I) -> Result<Self, Error> {
        let (input, _) = Payload::json_of(input)?;
        let keys = job::rules::<I>().keys(I::JOB, &input).map_err(|error| error.of("enqueue"))?;
        Ok(Self::named(I::JOB, input).queue(I::QUEUE).priority(I::PRIORITY).with_keys(keys))
    }

    /// A run of a job whose name is known only at run time, due now, in the queue `default`. It has the keys that it is
    /// given: the rules of a job's input are not asked.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), riqle_jobs_core::Error> {
    /// use riqle_jobs_core::{JobError, Memory, NewRun, Payload, Queue, RunContext, Worker, testing};
    ///
    /// async fn shout(_: RunContext, text: Payload) -> Result<String, JobError> {
    ///     Ok(text.decode::<String>()?.to_uppercase())
    /// }
    ///
    /// let store = Memory::new();
    /// let plugin = "shout".to_owned();
    /// let run = NewRun::named(&plugin, Payload::json("hello")?);
    /// let id = run.id;
    /// store.enqueue(vec![run]).await?;
    /// Worker::new(&store).register_named(&plugin, shout).run_until_idle().await?;
    /// assert_eq!(testing::output::<String>(&store, id).await?, "HELLO");
    /// # Ok(())
    /// # }
    /// ```
    pub fn named(job: impl Into<String>, input: Payload) -> Self {
        Self {
            id: RunId::new(),
            job: job.into(),
            queue: job::QUEUE.to_owned(),
            priority: Priority::DEFAULT,
            due: Due::Now,
            input,
            fingerprint: Fingerprint::NONE,
            unique: None,
            reference: None,
            event_id: None,
            event_id_kept: None,
            tick: None,
            gates: Vec::new(),
            trace: None,
            lacking: Vec::new(),
        }
    }

    fn with_keys(mut self, keys: RunKeys) -> Self {
        if let Some((key, scope)) = keys.unique {
            self = self.unique_within(key, scope);
        }
        Self { reference: keys.reference, lacking: keys.lacking, ..self }
    }

    /// A run of a declared job with this input, due now, with the keys that the declared rules make.
    ///
    /// # Errors
    /// `Rejected` if a template of the rules is wrong.
    pub fn of_declared(job: &JobDeclaration, input: Payload) -> Result<Self, Error> {
        let keys = job.rules.keys(&job.name, &input).map_err(|error| error.of("enqueue"))?;
        Ok(Self::named(&job.name, input).queue(&job.queue).priority(job.priority).with_keys(keys))
    }

    /// Sets its queue, which must be the one that the job's workers take it from.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
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
        self.unique = Some(UniqueKey { key: key.into(), scope, other_input: OtherInput::Conflicts });
        self.fingerprint = self.input.fingerprint();
        self.lacking.retain(|lacking| lacking.rule != JobRule::Unique);
        self
    }

    /// Files it under the application's own name for what it is about.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self.lacking.retain(|lacking| lacking.rule != JobRule::Reference);
        self
    }

    /// Sets its priority among due runs.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// A run of a job that an event starts, with the keys that the job's rules make of its data: its own, and the event's.
    #[must_use]
    pub(crate) fn of_event(job: &JobDeclaration, event: &NewEvent) -> Self {
        let mut run = Self::of_rules(job, event.data.clone());
        if let Some(unique) = &mut run.unique {
            unique.other_input = OtherInput::IsIgnored;
        }
        Self {
            due: event.due_at.map_or(Due::Now, Due::At),
            event_id: Some(event.id.clone()),
            event_id_kept: Some(event.id_kept),
            trace: event.trace.clone(),
            ..run
        }
    }

    /// A run of a job that no caller enqueues, with the keys that the job's rules make. It is refused for none of them.
    pub(crate) fn of_rules(job: &JobDeclaration, input: Payload) -> Self {
        let keys = job.rules.keys_or_none(&job.name, &input);
        Self::named(&job.name, input).queue(&job.queue).priority(job.priority).with_keys(keys)
    }

    /// The key of the event that starts it, by which its job starts once for the event, whatever becomes of the run.
    pub fn event_key(&self) -> Option<UniqueKey> {
        let (id, kept) = (self.event_id.as_ref()?, self.event_id_kept?);
        Some(UniqueKey {
            key: format!("{}{id}", limits::EVENT_KEY_PREFIX),
            scope: UniqueScope::Period(kept),
            other_input: OtherInput::IsIgnored,
        })
    }

    /// Whether it holds a key of any kind.
    pub fn has_key(&self) -> bool {
        self.unique.is_some() || (self.event_id.is_some() && self.event_id_kept.is_some())
    }
}

/// The outcome for a [`NewRun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is stored under its id.
    New(RunId),
    /// Its unique key was taken by this run, or the id was stored before. Of a run that an event starts: the event has
    /// started this run before.
    Existing(RunId),
    /// It is staged under its id; whether it is new shows when it arrives.
    Staged(RunId),
    /// Of a run that an event starts: its own unique key is held by this run, so the event starts nothing for its job.
    Joined(RunId),
}

impl Enqueued {
    /// The run that now represents the call.
    pub fn id(self) -> RunId {
        match self {
            Enqueued::New(id) | Enqueued::Existing(id) | Enqueued::Joined(id) | Enqueued::Staged(id) => id,
        }
    }

    /// Whether this call stored it.
    pub fn is_new(self) -> bool {
        matches!(self, Enqueued::New(_))
    }
}

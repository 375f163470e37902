//! Which runs to list.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{JobInput, RunId, RunState};

/// Which runs to list. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFilter {
    /// Of these states.
    pub states: Vec<RunState>,
    /// Of this job.
    pub job: Option<String>,
    /// Of this queue.
    pub queue: Option<String>,
    /// With this reference.
    pub reference: Option<String>,
    /// With this unique key.
    pub unique_key: Option<String>,
    /// With this fingerprint of the newest error; an empty one means runs without an error.
    pub error_fingerprint: Option<String>,
    /// Enqueued at this time or later.
    pub enqueued_from: Option<Timestamp>,
    /// Enqueued before this time.
    pub enqueued_before: Option<Timestamp>,
    /// Older than this one: the last id of the previous page.
    pub before: Option<RunId>,
    /// Page size; 0 means 100.
    pub limit: usize,
}

macro_rules! of_state {
    ($($name:ident: $state:ident,)+) => {
        $(
            #[doc = concat!("Runs that are ", stringify!($name), ".")]
            pub fn $name() -> Self {
                Self::all().states([RunState::$state])
            }
        )+
    };
}

impl RunFilter {
    /// All runs.
    pub fn all() -> Self {
        Self::default()
    }

    of_state! {
        pending: Pending, running: Running, waiting: Waiting, succeeded: Succeeded, dead: Dead, cancelled: Cancelled,
    }

    /// In one of these states; an empty list means any.
    #[must_use]
    pub fn states(mut self, states: impl Into<Vec<RunState>>) -> Self {
        self.states = states.into();
        self
    }

    /// Of the job of this input.
    #[must_use]
    pub fn of<I: JobInput>(self) -> Self {
        self.job(I::JOB)
    }

    /// Of the job of this name.
    #[must_use]
    pub fn job(mut self, name: impl Into<String>) -> Self {
        self.job = Some(name.into());
        self
    }

    /// Of this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// With this reference.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// With this unique key.
    #[must_use]
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    /// With this fingerprint of the newest error; an empty one means runs without an error.
    #[must_use]
    pub fn error_fingerprint(mut self, fingerprint: impl Into<String>) -> Self {
        self.error_fingerprint = Some(fingerprint.into());
        self
    }

    /// Enqueued at this time or later.
    #[must_use]
    pub fn enqueued_from(mut self, from: Timestamp) -> Self {
        self.enqueued_from = Some(from);
        self
    }

    /// Enqueued before this time.
    #[must_use]
    pub fn enqueued_before(mut self, before: Timestamp) -> Self {
        self.enqueued_before = Some(before);
        self
    }

    /// Older than this run: the last one of the previous page.
    #[must_use]
    pub fn before(mut self, run: RunId) -> Self {
        self.before = Some(run);
        self
    }

    /// Page size; 0 means 100.
    #[must_use]
    pub fn limit(mut self, runs: usize) -> Self {
        self.limit = runs;
        self
    }

    /// Page size, with 0 replaced by 100.
    pub fn page_size(&self) -> usize {
        if self.limit == 0 { 100 } else { self.limit }
    }
}

/// In words, without page and limit: `state dead, job resize`; nothing if it lists all runs.
impl fmt::Display for RunFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<_> = self.states.iter().map(|state| state.as_str()).collect();
        let states = (!states.is_empty()).then(|| states.join(" or "));
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let error =
            self.error_fingerprint.as_deref().map(|error| if error.is_empty() { "none" } else { error });
        let words = [
            ("state", states),
            ("job", self.job.clone()),
            ("queue", self.queue.clone()),
            ("reference", self.reference.clone()),
            ("key", self.unique_key.clone()),
            ("error", error.map(str::to_owned)),
            ("from", time(self.enqueued_from)),
            ("to", time(self.enqueued_before)),
        ];
        let words =
            words.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value}")));
        f.pad(&words.collect::<Vec<_>>().join(", "))
    }
}

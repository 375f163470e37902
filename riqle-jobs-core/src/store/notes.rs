use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{LeaseRef, state::closed_set};

closed_set! {
    /// How much a log line matters.
    LogLevel {
        /// For the record.
        Info = "info",
        /// Somebody may want to look.
        Warn = "warn",
    }
}

/// What a body says of itself while it runs, under its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The lease that allows it.
    pub lease: LeaseRef,
    /// Replaces the run's progress, where it is given.
    pub progress: Option<Progress>,
    /// Log lines to be added, by number.
    pub lines: Vec<LogLine>,
}

/// How far a body has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// So much is done; at most 2^63 - 1.
    pub done: u64,
    /// Of so much; 0 where that is not known; at most 2^63 - 1.
    pub total: u64,
    /// What is being done, cleaned and capped; may be empty.
    pub text: String,
}

/// A log line to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Counts the lines of the claim, from 1, so that a line that is added again is known.
    pub number: u32,
    /// How much it matters.
    pub level: LogLevel,
    /// Cleaned and capped.
    pub text: String,
}

/// What the bodies of a run have said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunNotes {
    /// The newest progress.
    pub progress: Option<Progress>,
    /// The newest 100 log lines, in the order in which they were added.
    pub lines: Vec<LoggedLine>,
}

/// A log line as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedLine {
    /// When it was stored, by the store's clock.
    pub at: Timestamp,
    /// The attempt that wrote it: `failures + 1`.
    pub attempt: u32,
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}

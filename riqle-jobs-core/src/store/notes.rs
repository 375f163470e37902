//! Progress and log lines: as a body reports them, and as they are read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{LeaseRef, state::closed_set};

closed_set! {
    /// How much a log line matters.
    LogLevel {
        /// For the record.
        Info = "info",
        /// Needs attention.
        Warn = "warn",
    }
}

/// What a body reports about itself while it runs, under its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The lease that allows it.
    pub lease: LeaseRef,
    /// Replaces the run's progress, if given.
    pub progress: Option<Progress>,
    /// Log lines to be added, by number.
    pub lines: Vec<LogLine>,
}

/// The progress of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How much is done; at most 2^63 - 1.
    pub done: u64,
    /// Out of how much; 0 if unknown; at most 2^63 - 1.
    pub total: u64,
    /// What is being done, cleaned and capped; may be empty.
    pub text: String,
}

/// A log line to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Counts the lines of the claim, from 1, so that a repeated line is recognised.
    pub number: u32,
    /// How much it matters.
    pub level: LogLevel,
    /// Cleaned and capped.
    pub text: String,
}

/// The notes of a run's bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunNotes {
    /// The newest progress.
    pub progress: Option<Progress>,
    /// The newest 100 log lines, in the order in which they were added.
    pub lines: Vec<LoggedLine>,
}

/// A stored log line.
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

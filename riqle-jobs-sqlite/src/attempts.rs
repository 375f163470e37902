//! The attempts of a run, as they are kept in its row: a JSON array, oldest first.

use std::time::Duration;

use riqle_jobs_core::{
    AttemptOutcome, AttemptRecord, Error, ErrorKind, RunId, WorkerId, from_millis, millis_of,
};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Times and delay in milliseconds.
#[derive(Serialize, Deserialize)]
struct Attempt {
    number: u32,
    /// Of those alone that stand for several.
    times: Option<u32>,
    started_at: i64,
    ended_at: i64,
    worker: WorkerId,
    outcome: AttemptOutcome,
    error: Option<String>,
    delay: Option<u64>,
}

impl From<AttemptRecord> for Attempt {
    fn from(record: AttemptRecord) -> Self {
        Self {
            number: record.number,
            times: Some(record.times).filter(|times| *times != 1),
            started_at: record.started_at.as_millisecond(),
            ended_at: record.ended_at.as_millisecond(),
            worker: record.worker,
            outcome: record.outcome,
            error: record.error,
            delay: record.delay.map(|delay| millis_of(delay).unsigned_abs()),
        }
    }
}

impl From<Attempt> for AttemptRecord {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            times: attempt.times.unwrap_or(1),
            started_at: from_millis(attempt.started_at),
            ended_at: from_millis(attempt.ended_at),
            worker: attempt.worker,
            outcome: attempt.outcome,
            error: attempt.error,
            delay: attempt.delay.map(Duration::from_millis),
        }
    }
}

/// The stored text with one more attempt. What can't be read goes, since it must not keep the run from being recovered
/// or ended.
pub(crate) fn with_attempt(run: RunId, stored: &str, attempt: AttemptRecord) -> Result<String> {
    let mut attempts = read_attempts(stored).unwrap_or_else(|error| {
        tracing::error!(%run, %error, "the earlier attempts of a run are damaged and left out");
        Vec::new()
    });
    attempt.add_to(&mut attempts);
    let attempts: Vec<Attempt> = attempts.into_iter().map(Attempt::from).collect();
    Ok(serde_json::to_string(&attempts).map_err(unreadable)?)
}

/// Reads the stored text.
pub(crate) fn read_attempts(stored: &str) -> Result<Vec<AttemptRecord>, Error> {
    let attempts: Vec<Attempt> = serde_json::from_str(stored).map_err(unreadable)?;
    Ok(attempts.into_iter().map(AttemptRecord::from).collect())
}

fn unreadable(cause: serde_json::Error) -> Error {
    let message = "the attempts of a run can't be read";
    Error::new(ErrorKind::Corrupt, "read", message).caused_by(cause)
}

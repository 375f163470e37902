//! The attempts of a run, as they are kept in its row: an array of JSON texts, oldest first, written by the statements
//! that end them.

use std::time::Duration;

use riqle_jobs_core::{AttemptOutcome, AttemptRecord, Error, ErrorKind, WorkerId, from_millis};
use serde::Deserialize;

use crate::error::{Failure, Result};

/// Times and delay in milliseconds.
#[derive(Deserialize)]
struct Attempt {
    number: u32,
    /// Of those alone that may stand for several.
    times: Option<u32>,
    started_at: i64,
    ended_at: i64,
    worker: WorkerId,
    outcome: AttemptOutcome,
    error: Option<String>,
    delay: Option<u64>,
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

/// Reads the stored texts.
pub(crate) fn read_attempts(stored: Option<Vec<String>>) -> Result<Vec<AttemptRecord>> {
    let read = |text: &String| serde_json::from_str::<Attempt>(text).map(AttemptRecord::from);
    stored.unwrap_or_default().iter().map(read).collect::<Result<_, _>>().map_err(|cause| {
        let message = "the attempts of a run can't be read";
        Failure::from(Error::new(ErrorKind::Corrupt, "read", message).caused_by(cause))
    })
}

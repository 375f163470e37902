//! The attempts of a run, as they are kept in its row: a JSON array, oldest first.

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{
    AttemptOutcome, AttemptRecord, Error, ErrorKind, RunId, WorkerId, from_millis, limits::ATTEMPTS_KEPT,
};
use serde::{Deserialize, Serialize};

use crate::error::{Result, into_driver};

/// Times and delay in milliseconds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Attempt {
    number: u32,
    started_at: i64,
    ended_at: i64,
    worker: WorkerId,
    outcome: AttemptOutcome,
    error: Option<String>,
    delay: Option<u64>,
}

impl Attempt {
    pub(crate) fn new(
        number: u32,
        (worker, started_at): (WorkerId, Timestamp),
        ended_at: Timestamp,
        outcome: AttemptOutcome,
    ) -> Self {
        let (started_at, ended_at) = (started_at.as_millisecond(), ended_at.as_millisecond());
        Self { number, started_at, ended_at, worker, outcome, error: None, delay: None }
    }

    pub(crate) fn error(mut self, error: Option<&str>) -> Self {
        self.error = error.map(str::to_owned);
        self
    }

    pub(crate) fn delay_millis(mut self, delay: Option<i64>) -> Self {
        self.delay = delay.map(i64::unsigned_abs);
        self
    }

    fn record(self) -> AttemptRecord {
        AttemptRecord {
            number: self.number,
            started_at: from_millis(self.started_at),
            ended_at: from_millis(self.ended_at),
            worker: self.worker,
            outcome: self.outcome,
            error: self.error,
            delay: self.delay.map(Duration::from_millis),
        }
    }
}

/// The stored text with one more attempt; the oldest go. What can't be read goes too, since it must not keep the run
/// from being recovered or ended.
pub(crate) fn with_attempt(run: RunId, stored: &str, attempt: Attempt) -> Result<String> {
    let mut attempts = parse(stored).unwrap_or_else(|error| {
        tracing::error!(%run, %error, "the earlier attempts of a run are damaged and left out");
        Vec::new()
    });
    let surplus = (attempts.len() + 1).saturating_sub(ATTEMPTS_KEPT);
    attempts.drain(..surplus);
    attempts.push(attempt);
    serde_json::to_string(&attempts).map_err(unreadable)
}

/// Reads the stored text.
pub(crate) fn read_attempts(stored: &str) -> Result<Vec<AttemptRecord>> {
    Ok(parse(stored)?.into_iter().map(Attempt::record).collect())
}

fn parse(stored: &str) -> Result<Vec<Attempt>> {
    serde_json::from_str(stored).map_err(unreadable)
}

fn unreadable(cause: serde_json::Error) -> sqlx::Error {
    let message = "the attempts of a run are not as they were written";
    into_driver(Error::new(ErrorKind::Corrupt, "read", message).caused_by(cause))
}

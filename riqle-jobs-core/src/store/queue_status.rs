//! The status of a queue, and who paused it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    limits::{TEXT_BYTES, check_key, check_name, clean_text},
};

/// The status of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// Its name.
    pub name: String,
    /// Who paused it, if it is paused.
    pub pause: Option<Pause>,
    /// Pending runs that are due.
    pub due: u64,
    /// Pending runs that are due later.
    pub scheduled: u64,
    /// Running runs, including those whose lease has run out.
    pub running: u64,
    /// Waiting runs.
    pub waiting: u64,
    /// The earliest due time of the pending runs that are due.
    pub oldest_due: Option<Timestamp>,
}

impl QueueStatus {
    /// The status of an empty queue.
    pub fn empty(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { name, pause: None, due: 0, scheduled: 0, running: 0, waiting: 0, oldest_due: None }
    }
}

/// The pause of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it: 1 to 512 bytes.
    pub by: String,
    /// Why, for display; may be empty.
    pub why: String,
    /// Since when, by the store's clock.
    pub at: Timestamp,
}

impl Pause {
    /// The pause of `queue`, checked and cleaned as every store keeps it.
    ///
    /// # Errors
    /// `Rejected` if the queue's name or `by` is empty, too long or holds control characters.
    pub fn new(queue: &str, by: &str, why: &str, at: Timestamp) -> Result<Self, Error> {
        check_name("queue", queue)
            .and_then(|()| check_key("`by`", by))
            .map_err(|error| error.of("pause_queue"))?;
        Ok(Self { by: by.to_owned(), why: clean_text(why, TEXT_BYTES), at })
    }
}

//! A schedule that was made in a transaction of the application. The transaction only adds a row of its own, so that no worker
//! ever waits for its end; a worker makes the schedule after the commit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Missed, NewSchedule, Overlap, Rule};
use crate::{
    Error, ErrorKind, Limits, Payload, Timestamp,
    outside::rising_id,
    store::{AT_ONCE, ScheduleRow, ScheduleWrite, StoredSchedule, new_version},
};

/// What its row's name begins with: the name of no schedule holds it.
const MARK: char = '\u{1}';

/// Everything of a schedule but its job, its queue and its input.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wish {
    name: String,
    rule: Rule,
    missed: Missed,
    overlap: Overlap,
    jitter: Duration,
}

impl NewSchedule {
    /// The row that a transaction of the application adds. A worker makes the schedule of it.
    ///
    /// # Errors
    /// As [`Jobs::schedule`](crate::Jobs::schedule), but for a schedule of this name that the job's code declares: that is
    /// found out, and told in the log, by the worker.
    pub fn row_to_add(&self, limits: &Limits) -> Result<ScheduleWrite, Error> {
        self.checked_to_come(limits, Timestamp::now())?;
        Ok(ScheduleWrite {
            queue: self.queue.clone(),
            job: self.job.clone(),
            name: format!("{MARK}{}", rising_id()),
            expects: None,
            version: new_version(),
            row: Some(ScheduleRow {
                due_at: Some(AT_ONCE),
                wakes: false,
                input: self.input.clone(),
                state: written(self)?,
            }),
            run: None,
        })
    }

    pub(crate) fn head(&self) -> Wish {
        let Self { name, rule, missed, overlap, jitter, .. } = self.clone();
        Wish { name, rule, missed, overlap, jitter }
    }
}

fn written(new: &NewSchedule) -> Result<String, Error> {
    serde_json::to_string(&new.head()).map_err(|cause| {
        Error::new(ErrorKind::Rejected, "schedule", "it can't be written as JSON").caused_by(cause)
    })
}

impl Wish {
    pub(crate) fn of(self, job: &str, queue: &str, input: Payload) -> NewSchedule {
        let Self { name, rule, missed, overlap, jitter } = self;
        NewSchedule {
            job: job.to_owned(),
            queue: queue.to_owned(),
            name,
            rule,
            input,
            missed,
            overlap,
            jitter,
        }
    }
}

impl StoredSchedule {
    /// Whether it is a row that a transaction has added.
    pub(crate) fn is_to_be_made(&self) -> bool {
        self.name.starts_with(MARK)
    }

    /// What is to be made of it.
    pub(crate) fn to_be_made(&self) -> Result<NewSchedule, Error> {
        let wish: Wish = serde_json::from_str(&self.row.state).map_err(|cause| {
            Error::new(ErrorKind::Corrupt, "read", "a schedule of a transaction can't be read")
                .caused_by(cause)
        })?;
        Ok(wish.of(&self.job, &self.queue, self.row.input.clone()))
    }
}

//! What a transaction of the application wants done to schedules. The transaction only adds a row of its own, so that nobody ever
//! waits for its end; a worker does it after the commit.

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

/// What is to be done.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wish {
    /// A schedule is to be made, with the input of the row.
    Make(ScheduleSettings),
    /// A run of the schedule of this name has ended.
    LookAt(String),
}

/// Everything of a schedule but its job, its queue and its input.
#[derive(Serialize, Deserialize)]
pub(crate) struct ScheduleSettings {
    name: String,
    rule: Rule,
    missed: Missed,
    overlap: Overlap,
    jitter: Duration,
}

/// What a worker has to do.
pub(crate) enum ToDo {
    Make(NewSchedule),
    LookAt(String),
}

impl ScheduleWrite {
    /// The row that a transaction of the application adds where it ends a run of a schedule.
    pub fn to_look_at(job: &str, queue: &str, schedule: &str) -> Self {
        let wish = Wish::LookAt(schedule.to_owned());
        Self::of_wish(job, queue, Payload::from_json_text("null"), &wish)
    }

    fn of_wish(job: &str, queue: &str, input: Payload, wish: &Wish) -> Self {
        let state = serde_json::to_string(wish).unwrap_or_default();
        Self {
            queue: queue.to_owned(),
            job: job.to_owned(),
            name: format!("{MARK}{}", rising_id()),
            expects: None,
            version: new_version(),
            row: Some(ScheduleRow { due_at: Some(AT_ONCE), wakes: false, input, state }),
            run: None,
            live: Vec::new(),
        }
    }
}

impl NewSchedule {
    /// The row that a transaction of the application adds. A worker makes the schedule of it.
    ///
    /// # Errors
    /// As [`Jobs::schedule`](crate::Jobs::schedule), but for a schedule of this name that the job's code declares: that is
    /// found out, and told in the log, by the worker.
    pub fn row_to_add(&self, limits: &Limits) -> Result<ScheduleWrite, Error> {
        self.checked_to_come(limits, Timestamp::now())?;
        Ok(ScheduleWrite::of_wish(&self.job, &self.queue, self.input.clone(), &Wish::Make(self.settings())))
    }

    pub(crate) fn settings(&self) -> ScheduleSettings {
        let Self { name, rule, missed, overlap, jitter, .. } = self.clone();
        ScheduleSettings { name, rule, missed, overlap, jitter }
    }
}

impl ScheduleSettings {
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
    pub(crate) fn is_a_wish(&self) -> bool {
        self.name.starts_with(MARK)
    }

    /// What is to be done for it.
    pub(crate) fn to_do(&self) -> Result<ToDo, Error> {
        let wish: Wish = serde_json::from_str(&self.row.state).map_err(|cause| {
            Error::new(
                ErrorKind::Corrupt,
                "read",
                "what a transaction wants done to a schedule can't be read",
            )
            .caused_by(cause)
        })?;
        Ok(match wish {
            Wish::Make(head) => ToDo::Make(head.of(&self.job, &self.queue, self.row.input.clone())),
            Wish::LookAt(schedule) => ToDo::LookAt(schedule),
        })
    }
}

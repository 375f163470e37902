//! A run, an event, a cancel or a schedule, as it is stored while staged.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{NewEvent, TakenStaged, UniqueKey};
use crate::{
    Codec, Due, Error, ErrorKind, Fingerprint, NewRun, Payload, Priority, RunFilter, RunId, TraceContext,
    events::EVENT_ID_KEPT,
    schedule::{NewSchedule, ScheduleSettings, Tick},
    state::closed_set,
};

closed_set! {
    /// The kind of a staged item.
    StagedKind {
        /// A run to be enqueued.
        Run = "run",
        /// An event to be sent.
        Event = "event",
        /// Runs to be cancelled.
        Cancel = "cancel",
        /// A schedule to be made.
        Schedule = "schedule",
    }
}

/// A run, an event, a cancel or a schedule as it is stored while staged. Only this module writes and reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Which of these.
    pub kind: StagedKind,
    /// The id of the run or event, or one of its own; an item of the same kind and id is the same item.
    pub id: String,
    /// Everything but the payload: JSON text.
    pub head: String,
    /// The input of the run or of the schedule's runs, or the event's data.
    pub payload: Payload,
}

/// What was staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StagedItem {
    /// A run to be enqueued.
    Run(NewRun),
    /// An event to be sent.
    Event(NewEvent),
    /// Cancel the runs that it lists and that have not ended.
    Cancel(RunFilter),
    /// A schedule to be made.
    Schedule(NewSchedule),
}

#[derive(Serialize, Deserialize)]
struct RunHead {
    job: String,
    queue: String,
    priority: Priority,
    due: Due,
    /// In hexadecimal.
    fingerprint: String,
    unique: Option<UniqueKey>,
    reference: Option<String>,
    event_id: Option<String>,
    event_id_kept: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tick: Option<Tick>,
    gates: Vec<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "TraceContext::deserialize_or_none"
    )]
    trace: Option<TraceContext>,
}

#[derive(Serialize, Deserialize)]
struct EventHead {
    name: String,
    due_at: Option<Timestamp>,
    #[serde(default = "kept_by_default", skip_serializing_if = "is_default")]
    id_kept: Duration,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "TraceContext::deserialize_or_none"
    )]
    trace: Option<TraceContext>,
}

#[derive(Serialize, Deserialize)]
struct ScheduleHead {
    job: String,
    queue: String,
    #[serde(flatten)]
    rest: ScheduleSettings,
}

fn kept_by_default() -> Duration {
    EVENT_ID_KEPT
}

fn is_default(kept: &Duration) -> bool {
    *kept == EVENT_ID_KEPT
}

impl Staged {
    /// A run to be staged.
    ///
    /// # Errors
    /// `Rejected` if it can't be written as JSON.
    pub fn run(run: NewRun) -> Result<Self, Error> {
        let head = RunHead {
            job: run.job,
            queue: run.queue,
            priority: run.priority,
            due: run.due,
            fingerprint: format!("{:032x}", u128::from_be_bytes(run.fingerprint.0)),
            unique: run.unique,
            reference: run.reference,
            event_id: run.event_id,
            event_id_kept: run.event_id_kept,
            tick: run.tick,
            gates: run.gates,
            trace: run.trace,
        };
        Ok(Self { kind: StagedKind::Run, id: run.id.to_string(), head: written(&head)?, payload: run.input })
    }

    /// An event to be staged.
    ///
    /// # Errors
    /// `Rejected` if it can't be written as JSON.
    pub fn event(event: NewEvent) -> Result<Self, Error> {
        let NewEvent { id, name, data, due_at, id_kept, trace } = event;
        let head = written(&EventHead { name, due_at, id_kept, trace })?;
        Ok(Self { kind: StagedKind::Event, id, head, payload: data })
    }

    /// A cancel to be staged.
    ///
    /// # Errors
    /// `Rejected` where it has no JSON form.
    pub fn cancel(filter: &RunFilter) -> Result<Self, Error> {
        let payload = Payload { codec: Codec::JSON, bytes: Vec::new() };
        Ok(Self { kind: StagedKind::Cancel, id: RunId::new().to_string(), head: written(filter)?, payload })
    }

    /// A schedule to be staged.
    ///
    /// # Errors
    /// `Rejected` where it has no JSON form.
    pub fn schedule(new: &NewSchedule) -> Result<Self, Error> {
        let head = ScheduleHead { job: new.job.clone(), queue: new.queue.clone(), rest: new.settings() };
        let (id, payload) = (RunId::new().to_string(), new.input.clone());
        Ok(Self { kind: StagedKind::Schedule, id, head: written(&head)?, payload })
    }

    /// What was staged.
    ///
    /// # Errors
    /// `Corrupt` if the stored form can't be read.
    pub fn item(&self) -> Result<StagedItem, Error> {
        let payload = self.payload.clone();
        match self.kind {
            StagedKind::Run => {
                let head: RunHead = self.read_head()?;
                let fingerprint = u128::from_str_radix(&head.fingerprint, 16).map_err(unreadable)?;
                Ok(StagedItem::Run(NewRun {
                    id: self.id.parse::<RunId>().map_err(unreadable)?,
                    job: head.job,
                    queue: head.queue,
                    priority: head.priority,
                    due: head.due,
                    input: payload,
                    fingerprint: Fingerprint(fingerprint.to_be_bytes()),
                    unique: head.unique,
                    reference: head.reference,
                    event_id: head.event_id,
                    event_id_kept: head.event_id_kept,
                    tick: head.tick,
                    gates: head.gates,
                    trace: head.trace,
                    lacking: Vec::new(),
                }))
            }
            StagedKind::Event => {
                let EventHead { name, due_at, id_kept, trace } = self.read_head()?;
                let id = self.id.clone();
                Ok(StagedItem::Event(NewEvent { id, name, data: payload, due_at, id_kept, trace }))
            }
            StagedKind::Cancel => Ok(StagedItem::Cancel(self.read_head()?)),
            StagedKind::Schedule => {
                let ScheduleHead { job, queue, rest } = self.read_head()?;
                Ok(StagedItem::Schedule(rest.of(&job, &queue, payload)))
            }
        }
    }

    fn read_head<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.head).map_err(unreadable)
    }
}

impl TakenStaged {
    /// What was staged, with what is left of a delay.
    ///
    /// # Errors
    /// As [`Staged::item`].
    pub fn item(&self) -> Result<StagedItem, Error> {
        let mut item = self.staged.item()?;
        if let StagedItem::Run(run) = &mut item
            && let Due::In(delay) = run.due
        {
            run.due = match delay.saturating_sub(self.waited) {
                Duration::ZERO => Due::Now,
                left => Due::In(left),
            };
        }
        Ok(item)
    }
}

fn written<T: Serialize>(head: &T) -> Result<String, Error> {
    serde_json::to_string(head).map_err(|cause| {
        Error::new(ErrorKind::Rejected, "stage", format!("can't be written as JSON: {cause}"))
            .caused_by(cause)
    })
}

fn unreadable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, "read", "a staged item can't be read").caused_by(cause)
}

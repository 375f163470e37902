//! What a store implements, and the values that pass between core and store.

mod attempt;
mod audit;
mod dead_group;
mod event_list;
mod health;
mod histogram;
mod inspect;
mod kind_by_kind;
mod machine_clock;
mod metrics;
mod new_run;
mod notes;
mod operate;
mod priority;
mod queue;
mod queue_status;
mod registry;
mod repeated;
mod replay;
pub mod rules;
mod run;
mod run_filter;
mod schedules;
mod staged;
mod staging;
mod wake;
mod writes;

use std::sync::Arc;

pub use attempt::{AttemptOutcome, AttemptRecord};
#[cfg(feature = "mock")]
pub use audit::MockAudit;
pub use audit::{ActionFilter, ActionKind, ActionState, Audit, NewAction, RecordedAction};
pub use dead_group::DeadGroup;
pub use event_list::{EVENTS_LOOKED_AT, EventFilter, ListedEvent};
pub use health::{FirstDue, Health, Misplaced, Problem, WORKER_GONE_AFTER};
pub use histogram::Histogram;
#[cfg(feature = "mock")]
pub use inspect::MockInspect;
pub use inspect::{COUNTED_TO, DeadError, Inspect, JobCount};
pub use kind_by_kind::KindByKind;
pub use machine_clock::{MachineClock, Readings, SteadyTime};
pub use metrics::{JobMetrics, MetricsFilter, Span};
pub use new_run::{Due, Enqueued, NewRun, OtherInput, UniqueKey, UniqueScope};
pub use notes::{LogLevel, LogLine, LoggedLine, Note, Progress, RunNotes};
#[cfg(feature = "mock")]
pub use operate::MockOperate;
pub use operate::{Operate, Pruned, Retention, WORKER_FORGOTTEN_AFTER};
pub use priority::Priority;
#[cfg(feature = "mock")]
pub use queue::MockQueue;
pub use queue::{
    ClaimRequest, Claimed, ClaimedRun, Ending, LeaseAnswer, LeaseConnection, LeaseRef, Queue, SavedStep,
    Settlement, StepSave,
};
pub use queue_status::{Pause, QueueStatus};
#[cfg(feature = "mock")]
pub use registry::MockRegistry;
pub use registry::{
    EventEffect, EventRun, EventStart, JobDeclaration, NewEvent, RegisteredJob, RegisteredWorker, Registry,
    StoredEvent, TroubleKind, WorkerOrder, WorkerReport, WorkerTrouble,
};
pub use repeated::{Repeated, RepeatedEach};
pub use replay::{Replay, ReplayFrom};
pub use rules::{Admission, Admitted, GroupCommit, HeldKey, Stored};
pub use run::{Holder, Run};
pub use run_filter::RunFilter;
#[cfg(feature = "mock")]
pub use schedules::MockSchedules;
pub(crate) use schedules::new_version;
pub use schedules::{
    AT_ONCE, DueRequest, DueSchedules, LIVE_RUNS_READ, ScheduleAnswer, ScheduleFilter, ScheduleRow,
    ScheduleWrite, Schedules, StoredSchedule,
};
pub use staged::{Staged, StagedItem, StagedKind};
#[cfg(feature = "mock")]
pub use staging::MockStaging;
pub use staging::{
    AsStaging, RefusedStaged, STEPS_KEPT, StagedNumber, StagedRequest, Staging, StagingStatus, TakenStaged,
};
pub use wake::{Hint, Wake, WakeSender, WakeUps};
pub use writes::Writes;

use crate::EmailLog;
pub use crate::job::{JobRule, JobRules, LackingPath, RunKeys};

/// Everything that a store does; implemented for every type that implements the parts.
pub trait Store: Queue + Registry + Inspect + Operate + EmailLog + Audit + Schedules {}

impl<S: Queue + Registry + Inspect + Operate + EmailLog + Audit + Schedules + ?Sized> Store for S {}

/// What [`Jobs::new`](crate::Jobs::new) and [`Worker::new`](crate::Worker::new) take: a store's handle
/// (`Memory`, `Sqlite`, …) or an `Arc<dyn Store>` as `connect` returns it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store",
    label = "expected a store's handle, such as `Memory`, `Sqlite` or `Arc<dyn Store>`"
)]
pub trait AsStore {
    /// What [`Jobs::begin`](crate::Jobs::begin) begins its transactions in: a SQL store's own handle, `()` where there is
    /// none.
    type Database;

    /// A shared handle.
    fn as_store(&self) -> Arc<dyn Store>;

    /// See [`Database`](Self::Database).
    fn database(&self) -> Self::Database;
}

impl AsStore for Arc<dyn Store> {
    type Database = ();

    fn as_store(&self) -> Arc<dyn Store> {
        Arc::clone(self)
    }

    fn database(&self) {}
}

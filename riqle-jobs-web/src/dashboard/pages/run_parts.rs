//! What the page of one run shows: who has it, its attempts, its steps, its progress, its log.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use riqle_jobs_core::{
    AttemptOutcome, AttemptRecord, LogLevel, Run, SavedStep, schedule::Tick, store::Holder,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    payload::PayloadView,
    schedules::path_of,
    timeline::{Bar, Line, began_at},
};
use crate::dashboard::{
    show::{Took, When},
    visit::Visit,
};

/// Who has the run now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HolderView {
    pub(super) worker: String,
    /// Its label, if it is still registered.
    pub(super) label: Option<String>,
    pub(super) claimed_at: When,
    pub(super) lease_until: When,
    #[serde(skip)]
    pub(super) bar: Bar,
}

/// One attempt, or snoozes or give-backs without a failure between them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptView {
    pub(super) number: u32,
    /// How many attempts it represents: 1, except for snoozes and give-backs.
    pub(super) times: u32,
    /// When the first of them was claimed.
    pub(super) started_at: When,
    /// When the last of them ended.
    pub(super) ended_at: When,
    /// Between the two.
    pub(super) took_ms: Took,
    pub(super) worker: String,
    /// The worker's label, if it is still registered.
    pub(super) worker_label: Option<String>,
    /// `succeeded`, `failed`, `snoozed`, `given-back`, `crashed` or `cancelled`.
    #[schema(value_type = String)]
    pub(super) outcome: AttemptOutcome,
    /// With its causes, one per line, or the panic's message and location.
    pub(super) error: Option<String>,
    /// How long until the run was due again.
    pub(super) delay_ms: Option<Took>,
    #[serde(skip)]
    pub(super) bar: Bar,
}

/// A saved step.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepView {
    pub(super) name: String,
    pub(super) saved_at: When,
    pub(super) took_ms: Took,
    pub(super) result: PayloadView,
    #[serde(skip)]
    pub(super) bar: Bar,
}

/// Work behind the last saved step.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnsavedView {
    pub(super) began_at: When,
    pub(super) took_ms: Took,
    pub(super) outcome: Unsaved,
    #[serde(skip)]
    pub(super) bar: Bar,
}

/// How the attempt of such work stands.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unsaved {
    /// It runs.
    Running,
    /// It failed.
    Failed,
    /// Its worker died.
    Crashed,
}

/// The progress that the body reported.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProgressView {
    pub(super) done: u64,
    /// 0 if unknown.
    pub(super) total: u64,
    pub(super) text: String,
}

/// A line that the body wrote.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogView {
    pub(super) at: When,
    pub(super) attempt: u32,
    /// `info` or `warn`.
    #[schema(value_type = String)]
    pub(super) level: LogLevel,
    pub(super) text: String,
}

impl HolderView {
    pub(super) fn of(holder: &Holder, bar: Bar) -> Self {
        Self {
            worker: holder.worker.to_string(),
            label: None,
            claimed_at: When(holder.claimed_at),
            lease_until: When(holder.lease_until),
            bar,
        }
    }
}

impl AttemptView {
    pub(super) fn of(attempt: &AttemptRecord, line: &Line, visit: &Visit) -> Self {
        let took =
            Duration::try_from(attempt.ended_at.duration_since(attempt.started_at)).unwrap_or_default();
        Self {
            number: attempt.number,
            times: attempt.times,
            started_at: When(attempt.started_at),
            ended_at: When(attempt.ended_at),
            took_ms: Took(took),
            worker: attempt.worker.to_string(),
            worker_label: None,
            outcome: attempt.outcome,
            error: attempt.error.as_deref().map(|error| visit.text(error)),
            delay_ms: attempt.delay.map(Took),
            bar: line.bar(attempt.started_at, attempt.ended_at),
        }
    }

    pub(super) fn class(&self) -> &'static str {
        match self.outcome {
            AttemptOutcome::Succeeded => "good",
            AttemptOutcome::Failed | AttemptOutcome::Crashed => "bad",
            _ => "quiet",
        }
    }
}

impl StepView {
    pub(super) fn of(step: &SavedStep, line: &Line, visit: &Visit) -> Self {
        Self {
            name: visit.text(step.path.as_str()),
            saved_at: When(step.saved_at),
            took_ms: Took(step.took),
            result: PayloadView::of(&step.result, visit),
            bar: line.bar(began_at(step), step.saved_at),
        }
    }
}

impl UnsavedView {
    pub(super) fn of(run: &Run, steps: &[SavedStep], line: &Line, now: Timestamp) -> Option<Self> {
        let (started_at, ended_at, outcome) = match (run.holder, run.attempts.last()) {
            (Some(holder), _) => (holder.claimed_at, now, Unsaved::Running),
            (None, Some(last)) => match last.outcome {
                AttemptOutcome::Failed => (last.started_at, last.ended_at, Unsaved::Failed),
                AttemptOutcome::Crashed => (last.started_at, last.ended_at, Unsaved::Crashed),
                _ => return None,
            },
            (None, None) => return None,
        };
        let began_at = steps.iter().map(|step| step.saved_at).max()?.max(started_at).min(ended_at);
        Some(Self {
            began_at: When(began_at),
            took_ms: Took(Duration::try_from(ended_at.duration_since(began_at)).unwrap_or_default()),
            outcome,
            bar: line.bar(began_at, ended_at),
        })
    }

    pub(super) fn class(&self) -> &'static str {
        if self.outcome == Unsaved::Running { "running" } else { "bad" }
    }
}

impl fmt::Display for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unsaved::Running => "running",
            Unsaved::Failed => "failed",
            Unsaved::Crashed => "crashed",
        })
    }
}

impl LogView {
    pub(super) fn is_warning(&self) -> bool {
        self.level == LogLevel::Warn
    }
}

/// The schedule that started a run.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScheduledView {
    pub(crate) name: String,
    /// The time that the run is for; of one that was triggered by hand, when that was.
    pub(crate) tick: When,
    #[serde(skip)]
    pub(crate) path: Option<String>,
}

impl ScheduledView {
    pub(crate) fn of(job: &str, tick: &Tick, visit: &Visit) -> Self {
        let name = visit.text(&tick.schedule);
        let path = (name == tick.schedule).then(|| path_of(job, &tick.schedule));
        Self { name, tick: When(tick.at), path }
    }
}

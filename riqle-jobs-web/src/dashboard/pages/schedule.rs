//! The page of one schedule.

use std::collections::BTreeMap;

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    Payload, RunId, RunState, ScheduleStatus,
    schedule::{MOST_MISSED, Missed, Overlap, Rule, SHORTEST_INTERVAL},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{payload::PayloadView, queues::PauseView, schedules::ScheduleRow};
use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{Count, When},
    visit::{Path, Visit},
};

/// How many next ticks are shown.
const NEXT_TICKS: usize = 5;

/// A schedule with everything known about it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchedulePage {
    #[serde(flatten)]
    row: ScheduleRow,
    /// Given back with an edit, so that it replaces nothing that was not shown.
    #[serde(skip)]
    shown: String,
    /// Its cron expression; an interval has none.
    cron: Option<String>,
    /// The zone of its cron expression.
    zone: Option<String>,
    /// The length of its interval; a cron expression has none.
    every_seconds: Option<f64>,
    /// From when its interval is counted.
    starting_at: Option<When>,
    /// What becomes of missed ticks: `skip`, `latest`, or `all:N`, each of the latest N.
    missed: String,
    /// What becomes of a tick while an earlier run has not ended: `allow`, `skip`, `one-waits` or `cancel-earlier`.
    #[schema(value_type = String)]
    overlap: Overlap,
    /// By how much a run is delayed at most.
    jitter_seconds: f64,
    /// The input of its runs.
    input: PayloadView,
    /// The next five from now on; none while it is paused or removed.
    next_ticks: Vec<When>,
    /// Why its next ticks can't be told.
    problem: Option<String>,
    /// Its runs that have not ended, newest first; at most 100.
    #[schema(value_type = Vec<uuid::Uuid>)]
    live_runs: Vec<RunId>,
    pause: Option<PauseView>,
    /// Who gave it another rule, input or policy than its maker did.
    edited: Option<EditView>,
    backfill: Option<BackfillView>,
    /// How many ticks have started no run, by reason; of those that were missed at one time, at most 10,000 are counted.
    #[schema(value_type = BTreeMap<String, u64>)]
    skipped_by_reason: BTreeMap<&'static str, Count>,
}

/// Who edited a schedule.
#[derive(Serialize, ToSchema)]
pub(crate) struct EditView {
    by: String,
    at: When,
}

/// A range of ticks that is filled in, one run after the other.
#[derive(Serialize, ToSchema)]
pub(crate) struct BackfillView {
    by: String,
    /// Ticks up to this one have had their turn.
    done: When,
    until: When,
}

/// One schedule.
#[utoipa::path(get, path = "/schedules/{job}/{name}", tag = "schedules",
    params(("job" = String, Path), ("name" = String, Path)), responses(
    (status = 200, body = SchedulePage), (status = 404, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(
    visit: Visit,
    State(web): State<Web>,
    Path((job, name)): Path<(String, String)>,
) -> Response {
    let viewer = visit.clone();
    visit.show(move || SchedulePage::load(web.clone(), viewer.clone(), job.clone(), name.clone())).await
}

impl SchedulePage {
    async fn load(web: Web, visit: Visit, job: String, name: String) -> Result<Self, Failure> {
        if visit.text(&name) != name {
            visit.must_be_operator()?;
        }
        let (found, now) =
            (web.jobs.schedule_status(&job, &name).await?, web.jobs.store().wall_time().await?);
        let found = found.ok_or_else(|| Failure::not_found("schedule"))?;
        let row = ScheduleRow::load(&**web.jobs.store(), &found).await?;
        let shown = settings_of(&found);
        let ScheduleStatus { input, live, state, .. } = found;
        let (next_ticks, problem) = match state.next_ticks(now, NEXT_TICKS) {
            Ok(ticks) => (ticks.into_iter().map(When).collect(), None),
            Err(error) => (Vec::new(), Some(error.message().to_owned())),
        };
        let (cron, zone, every_seconds, starting_at) = match state.rule {
            Rule::Cron { expression, zone } => (Some(expression), Some(zone), None, None),
            Rule::Every { period, from } => (None, None, Some(period.as_secs_f64()), Some(When(from))),
        };
        Ok(Self {
            row,
            shown,
            cron,
            zone,
            every_seconds,
            starting_at,
            missed: state.missed.to_string(),
            overlap: state.overlap,
            jitter_seconds: state.jitter.as_secs_f64(),
            input: PayloadView::of(&input, &visit),
            next_ticks,
            problem,
            live_runs: live,
            pause: state.pause.map(|pause| PauseView::of(pause, &visit)),
            edited: state.edited.map(|edited| EditView { by: edited.by, at: When(edited.at) }),
            backfill: state.backfill.map(|backfill| BackfillView {
                by: backfill.by,
                done: When(backfill.done),
                until: When(backfill.until),
            }),
            skipped_by_reason: state
                .skipped
                .iter()
                .map(|(reason, skipped)| (reason.as_str(), Count(*skipped)))
                .collect(),
        })
    }

    fn is_last_dead(&self) -> bool {
        self.row.last.as_ref().is_some_and(|last| last.state == Some(RunState::Dead))
    }

    /// What a form offers for missed ticks.
    fn missed_words(&self) -> Vec<String> {
        let usual =
            [Missed::Skip, Missed::Latest, Missed::All(10), Missed::All(100), Missed::All(MOST_MISSED)];
        let mut words: Vec<_> = usual.map(|missed| missed.to_string()).into();
        if !words.contains(&self.missed) {
            words.push(self.missed.clone());
        }
        words
    }
}

/// What an operator can edit, as a text that differs where any of it does.
pub(crate) fn settings_of(found: &ScheduleStatus) -> String {
    let ScheduleStatus { input, state, .. } = found;
    let digest = Payload::json(&(&state.rule, state.missed, state.overlap, state.jitter, &input.bytes));
    digest
        .map(|digest| digest.fingerprint().0.iter().map(|byte| format!("{byte:02x}")).collect())
        .unwrap_or_default()
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct Html<'a> {
    page: &'a SchedulePage,
    visit: &'a Visit,
}

impl Page for SchedulePage {
    const PLACE: Place = Place::Schedules;

    fn title(&self) -> String {
        format!("{} {}", self.row.job, self.row.name)
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

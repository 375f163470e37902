//! What is done to a schedule: trigger, pause, resume, backfill, edit, remove.

use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::Response};
use jiff::Timestamp;
use riqle_jobs_core::{
    ScheduleStatus,
    schedule::{Missed, NewSchedule, Rule},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Done, Submitted,
    queue::PauseRequest,
    run::{Nothing, null_too, other_input},
};
use crate::dashboard::{
    Web,
    failure::Failure,
    pages::{run_filter::time, schedule::settings_of, schedules::path_of},
    visit::Path,
};

/// Which ticks to fill in, both ends included.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackfillRequest {
    /// A time such as `2026-11-26T08:30:00Z`.
    from: String,
    /// A time that has come.
    until: String,
    #[serde(default, rename = "formToken")]
    #[schema(ignore)]
    _form_token: String,
}

/// What to change of a schedule; what is left out stays as it is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct EditRequest {
    /// A cron expression; not with `everySeconds`.
    cron: Option<String>,
    /// The time zone of the cron expression.
    zone: Option<String>,
    /// The length of the interval, a second at least.
    every_seconds: Option<f64>,
    /// A time from which the interval is counted.
    starting_at: Option<String>,
    /// The input of its runs; kept verbatim.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(deserialize_with = "null_too")]
    input: Option<Box<RawValue>>,
    /// The same as text, as forms send it.
    #[schema(ignore)]
    input_text: Option<String>,
    /// `skip`, `latest`, or `all:N`, each of the latest N.
    missed: Option<String>,
    /// `allow`, `skip`, `one-waits` or `cancel-earlier`.
    overlap: Option<String>,
    jitter_seconds: Option<f64>,
    /// What the page showed, as forms send it.
    #[schema(ignore)]
    shown: Option<String>,
    #[serde(rename = "formToken")]
    #[schema(ignore)]
    _form_token: String,
}

/// Starts a run of a schedule now; the outcome is its id.
#[utoipa::path(post, path = "/schedules/{job}/{name}/trigger", tag = "schedules",
    params(("job" = String, Path), ("name" = String, Path)), request_body = Nothing,
    responses((status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn trigger(
    Path((job, name)): Path<(String, String)>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    match visit.operator().trigger_schedule(&job, &name).await {
        Ok(started) => visit.done(&format!("runs/{}", started.outcome), started),
        Err(error) => visit.fail(&Failure::of_action(error)),
    }
}

/// Stops the ticks of a schedule; its runs continue.
#[utoipa::path(post, path = "/schedules/{job}/{name}/pause", tag = "schedules",
    params(("job" = String, Path), ("name" = String, Path)), request_body = PauseRequest,
    responses((status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn pause(
    Path((job, name)): Path<(String, String)>,
    Submitted { visit, asked }: Submitted<PauseRequest>,
) -> Response {
    visit.acted(&path_of(&job, &name), visit.operator().pause_schedule(&job, &name, &asked.why).await)
}

/// Lets a paused schedule tick again, from now on.
#[utoipa::path(post, path = "/schedules/{job}/{name}/resume", tag = "schedules",
    params(("job" = String, Path), ("name" = String, Path)), request_body = Nothing,
    responses((status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn resume(
    Path((job, name)): Path<(String, String)>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    visit.acted(&path_of(&job, &name), visit.operator().resume_schedule(&job, &name).await)
}

/// Fills in the ticks of a range, one run after the other.
#[utoipa::path(post, path = "/schedules/{job}/{name}/backfill", tag = "schedules",
    params(("job" = String, Path), ("name" = String, Path)), request_body = BackfillRequest,
    responses((status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn backfill(
    Path((job, name)): Path<(String, String)>,
    Submitted { visit, asked }: Submitted<BackfillRequest>,
) -> Response {
    let end =
        |field, text: &str| time(field, text)?.ok_or_else(|| Failure::bad(format!("`{field}` is missing")));
    let begun = async {
        let (from, until): (Timestamp, Timestamp) = (end("from", &asked.from)?, end("until", &asked.until)?);
        let begun = visit.operator().backfill_schedule(&job, &name, from, until).await;
        begun.map_err(Failure::of_action)
    };
    visit.ended(&path_of(&job, &name), begun.await)
}

/// Gives a schedule another rule, input or policy.
#[utoipa::path(post, path = "/schedules/{job}/{name}/edit", tag = "schedules",
    params(("job" = String, Path), ("name" = String, Path)), request_body = EditRequest,
    responses((status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn edit(
    State(web): State<Web>,
    Path((job, name)): Path<(String, String)>,
    Submitted { visit, asked }: Submitted<EditRequest>,
) -> Response {
    let edited = async {
        let found = web.jobs.schedule_status(&job, &name).await?;
        let found = found.ok_or_else(|| Failure::not_found("schedule"))?;
        if asked.shown.as_ref().is_some_and(|shown| *shown != settings_of(&found)) {
            let text = "the schedule has changed since the page was loaded: go back, reload it and try again";
            return Err(Failure { status: StatusCode::CONFLICT, text: text.to_owned() });
        }
        let new = asked.applied_to(&found)?;
        visit.operator().edit_schedule(new).await.map_err(Failure::of_action)
    };
    visit.ended(&path_of(&job, &name), edited.await)
}

/// Removes a schedule; its runs continue.
#[utoipa::path(post, path = "/schedules/{job}/{name}/remove", tag = "schedules",
    params(("job" = String, Path), ("name" = String, Path)), request_body = Nothing,
    responses((status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn remove(
    Path((job, name)): Path<(String, String)>,
    Submitted { visit, .. }: Submitted<Nothing>,
) -> Response {
    visit.acted("schedules", visit.operator().remove_schedule(&job, &name).await)
}

impl EditRequest {
    fn applied_to(&self, found: &ScheduleStatus) -> Result<NewSchedule, Failure> {
        let ScheduleStatus { job, queue, name, state, .. } = found;
        let input = other_input(&found.input, self.input.as_deref(), self.input_text.as_deref())?;
        let missed = self.missed.as_deref().map(str::parse::<Missed>).transpose();
        let missed = missed.map_err(|_| Failure::bad("`missed` must be `skip`, `latest` or `all:N`"))?;
        let overlap = self.overlap.as_deref().map(str::parse).transpose();
        let overlap = overlap.map_err(|_| {
            Failure::bad("`overlap` must be `allow`, `skip`, `one-waits` or `cancel-earlier`")
        })?;
        Ok(NewSchedule {
            queue: queue.clone(),
            missed: missed.unwrap_or(state.missed),
            overlap: overlap.unwrap_or(state.overlap),
            jitter: seconds("jitterSeconds", self.jitter_seconds)?.unwrap_or(state.jitter),
            ..NewSchedule::new(
                job,
                name,
                self.rule(&state.rule)?,
                input.unwrap_or_else(|| found.input.clone()),
            )
        })
    }

    fn rule(&self, old: &Rule) -> Result<Rule, Failure> {
        let (period, from) = (seconds("everySeconds", self.every_seconds)?, self.starting_at.as_deref());
        let from = from.map(|text| time("startingAt", text)).transpose()?.flatten();
        let (is_cron, is_every) =
            (self.cron.is_some() || self.zone.is_some(), period.is_some() || from.is_some());
        match old.clone() {
            _ if is_cron && is_every => {
                Err(Failure::bad("a rule is a cron expression or an interval, not both"))
            }
            Rule::Cron { expression, zone } if !is_every => Ok(Rule::Cron {
                expression: self.cron.clone().unwrap_or(expression),
                zone: self.zone.clone().unwrap_or(zone),
            }),
            Rule::Every { period: old, from: counted } if !is_cron => {
                Ok(Rule::Every { period: period.unwrap_or(old), from: from.unwrap_or(counted) })
            }
            Rule::Every { .. } => {
                let expression = self.cron.clone().ok_or_else(|| Failure::bad("`cron` is missing"))?;
                Ok(Rule::Cron { expression, zone: self.zone.clone().unwrap_or_else(|| "UTC".to_owned()) })
            }
            Rule::Cron { .. } => {
                let period = period.ok_or_else(|| Failure::bad("`everySeconds` is missing"))?;
                Ok(Rule::Every { period, from: from.unwrap_or(Timestamp::UNIX_EPOCH) })
            }
        }
    }
}

fn seconds(field: &str, seconds: Option<f64>) -> Result<Option<Duration>, Failure> {
    let seconds = seconds.map(Duration::try_from_secs_f64).transpose();
    seconds.map_err(|_| Failure::bad(format!("`{field}` is not a duration")))
}

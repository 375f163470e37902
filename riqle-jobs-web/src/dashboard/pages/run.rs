//! The page of one run, with everything known about it.

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    AttemptRecord, RunId, RunState,
    email::{EmailFilter, addresses_in},
    operator::RunAction,
    store::{
        RunNotes,
        rules::{Operation, Standing, Todo},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    emails::EmailRow,
    payload::PayloadView,
    run_parts::{AttemptView, HolderView, LogView, ProgressView, ScheduledView, StepView, UnsavedView},
    run_row::RunRow,
    timeline::Line,
};
use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{When, in_address, many},
    visit::{Path, Visit},
};
use crate::security::quoted;

/// A run with everything known about it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunPage {
    #[serde(flatten)]
    row: RunRow,
    priority: u8,
    failures: u32,
    /// The error with its causes, whole.
    whole_error: Option<String>,
    error_fingerprint: Option<String>,
    event_id: Option<String>,
    trace_id: Option<String>,
    /// The schedule that started it.
    schedule: Option<ScheduledView>,
    #[schema(value_type = uuid::Uuid)]
    root: RunId,
    #[schema(value_type = Option<uuid::Uuid>)]
    replay_of: Option<RunId>,
    holder: Option<HolderView>,
    input: PayloadView,
    output: Option<PayloadView>,
    /// Oldest first, the newest 25.
    attempts: Vec<AttemptView>,
    /// In the order in which they were saved.
    steps: Vec<StepView>,
    /// What the newest attempt has done since the last saved step, if it is running or has failed.
    unsaved: Option<UnsavedView>,
    progress: Option<ProgressView>,
    /// The newest 100 lines, oldest first.
    log: Vec<LogView>,
    /// The emails that it has sent or will send.
    emails: Vec<EmailRow>,
    /// The store's time.
    now: When,
}

/// One run.
#[utoipa::path(get, path = "/runs/{id}", tag = "runs", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, body = RunPage), (status = 404, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Response {
    let viewer = visit.clone();
    visit.show(move || RunPage::load(web.clone(), viewer.clone(), id.clone())).await
}

impl RunPage {
    async fn load(web: Web, visit: Visit, id: String) -> Result<Self, Failure> {
        let id: RunId = id.parse().map_err(|_| Failure::not_found("run"))?;
        let store = &**web.jobs.store();
        let of_run = EmailFilter::all().run_id(id).limit(20);
        let (run, steps, notes, emails, workers, now) = tokio::try_join!(
            store.run(id),
            store.steps(id),
            store.notes(id),
            store.emails(of_run),
            store.workers(),
            store.now(),
        )?;
        let run = run.ok_or_else(|| Failure::not_found("run"))?;
        let line = Line::of(&run, &steps, now);
        let label = |worker| {
            let known = workers.iter().find(|known| known.report.id == worker);
            known.map(|known| known.report.label.clone())
        };
        let attempt = |attempt: &AttemptRecord| AttemptView {
            worker_label: label(attempt.worker),
            ..AttemptView::of(attempt, &line, &visit)
        };
        let holder = run.holder.map(|holder| HolderView {
            label: label(holder.worker),
            ..HolderView::of(&holder, line.bar(holder.claimed_at, now))
        });
        let RunNotes { progress, lines } = notes;
        Ok(Self {
            row: RunRow::of(&run, &visit),
            priority: run.priority.number(),
            failures: run.failures,
            whole_error: run.error().map(|error| visit.text(error)),
            error_fingerprint: run.error_fingerprint.clone(),
            event_id: run.event_id.as_deref().map(|event| visit.text(event)),
            trace_id: run.trace.as_ref().map(|trace| trace.trace_id().to_owned()),
            schedule: run.tick.as_ref().map(|tick| ScheduledView::of(&run.job, tick, &visit)),
            root: run.root,
            replay_of: run.replay_of,
            holder,
            input: PayloadView::of(&run.input, &visit),
            output: run.output.as_ref().map(|output| PayloadView::of(output, &visit)),
            attempts: run.attempts.iter().map(attempt).collect(),
            unsaved: UnsavedView::of(&run, &steps, &line, now),
            steps: steps.iter().map(|step| StepView::of(step, &line, &visit)).collect(),
            progress: progress.map(|progress| ProgressView {
                done: progress.done,
                total: progress.total,
                text: visit.text(&progress.text),
            }),
            log: lines
                .into_iter()
                .map(|line| LogView {
                    at: When(line.at),
                    attempt: line.attempt,
                    level: line.level,
                    text: visit.text(&line.text),
                })
                .collect(),
            emails: emails.iter().map(|email| EmailRow::of(email, &visit)).collect(),
            now: When(now),
        })
    }

    fn can(&self, act: RunAction) -> bool {
        let operation = match act {
            RunAction::Replay => Operation::Replay { new_run: RunId::new() },
            RunAction::Discard => Operation::Discard,
            RunAction::Cancel => Operation::Cancel,
            RunAction::RunNow => Operation::RunNow,
        };
        let RunRow { id, state, due_at: When(due_at), replayed_by, .. } = self.row;
        let run = Standing { id, state, reason: None, due_at, replayed_by };
        matches!(operation.check(&run, self.now.0), Ok(Todo::Do))
    }

    /// What starts the same run again, from a shell.
    fn curl(&self, visit: &Visit) -> String {
        let (entry, hint) = match visit.way.curl() {
            Some((option, hint)) => (format!(" \\\n  {option}"), format!("# {hint}\n")),
            None => (String::new(), String::new()),
        };
        let body = format!(r#"{{"input": {}}}"#, self.input.compact());
        let path = format!("{}/jobs/{}/runs", visit.base, in_address(&self.row.job));
        format!(
            "{hint}curl -X POST {} \\\n  -H 'Content-Type: application/json'{entry} \\\n  -d {}",
            quoted(&path),
            quoted(&body)
        )
    }

    fn kept_steps(&self) -> String {
        if self.steps.is_empty() {
            "no saved steps".to_owned()
        } else {
            many(self.steps.len() as u64, "saved step")
        }
    }

    /// Whether what is shown can be searched for: what a viewer sees of an address can't.
    fn is_whole(text: &str, visit: &Visit) -> bool {
        visit.is_operator() || (!text.contains('@') && addresses_in(text).is_empty())
    }

    /// Names of steps, each once, to replay from.
    fn step_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for step in &self.steps {
            if !names.contains(&step.name.as_str()) {
                names.push(&step.name);
            }
        }
        names
    }

    fn progress_percent(&self) -> Option<u64> {
        let progress = self.progress.as_ref().filter(|progress| progress.total > 0)?;
        Some((progress.done.saturating_mul(100) / progress.total).min(100))
    }
}

#[derive(Template)]
#[template(path = "run.html")]
struct Html<'a> {
    page: &'a RunPage,
    visit: &'a Visit,
}

impl Page for RunPage {
    const PLACE: Place = Place::Runs;

    fn title(&self) -> String {
        format!("{} {}", self.row.job, self.row.short_id())
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

//! `events` and `audit`.

use jiff::Timestamp;
use riqle_jobs::store::{
    ActionFilter, ActionId, ActionKind, ActionState, EventFilter, ListedEvent, RecordedAction,
};
use serde::Serialize;

use crate::{
    arguments::{Audit, Events},
    context::Context,
    failure::Failure,
    print::{Row, Tone},
    selection::word_of,
    times::ago,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventRow {
    id: String,
    name: String,
    received_at: Timestamp,
    runs: Vec<EventRunRow>,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
struct EventRunRow {
    job: String,
    run: String,
}

impl EventRow {
    fn of(event: ListedEvent, now: Timestamp) -> Self {
        let runs = event.runs.into_iter().map(|run| EventRunRow { job: run.job, run: run.run.to_string() });
        Self { id: event.id, name: event.name, received_at: event.received_at, runs: runs.collect(), now }
    }
}

impl Row for EventRow {
    const HEADS: &'static [&'static str] = &["EVENT", "NAME", "RECEIVED", "STARTED"];

    fn cells(&self) -> Vec<String> {
        let runs: Vec<_> = self.runs.iter().map(|run| format!("{} {}", run.job, run.run)).collect();
        vec![self.id.clone(), self.name.clone(), ago(self.received_at, self.now), runs.join(", ")]
    }
}

pub(crate) async fn events(asked: Events, context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let now = jobs.store().now().await?;
    let filter = EventFilter {
        id: None,
        name: asked.name,
        before: asked.page.before.clone(),
        limit: asked.page.limit(),
    };
    let rows: Vec<_> = jobs.events(filter).await?.into_iter().map(|event| EventRow::of(event, now)).collect();
    context.print(&rows, "no matching events")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActionRow {
    id: ActionId,
    at: Timestamp,
    by: String,
    kind: ActionKind,
    subject: String,
    detail: String,
    state: ActionState,
    outcome: String,
    #[serde(skip)]
    now: Timestamp,
}

impl ActionRow {
    fn of(recorded: RecordedAction, now: Timestamp) -> Self {
        let RecordedAction { action, at, .. } = recorded;
        Self {
            id: action.id,
            at,
            by: action.by,
            kind: action.kind,
            subject: action.subject,
            detail: action.detail,
            state: action.state,
            outcome: action.outcome,
            now,
        }
    }
}

impl Row for ActionRow {
    const HEADS: &'static [&'static str] = &["WHEN", "BY", "ACTION", "TARGET", "DETAIL", "STATE", "OUTCOME"];

    fn cells(&self) -> Vec<String> {
        vec![
            ago(self.at, self.now),
            self.by.clone(),
            self.kind.to_string(),
            self.subject.clone(),
            self.detail.clone(),
            self.state.to_string(),
            self.outcome.clone(),
        ]
    }

    fn tone(&self) -> Tone {
        match self.state {
            ActionState::Done => Tone::Plain,
            ActionState::Underway => Tone::Warning,
            ActionState::Failed => Tone::Bad,
        }
    }
}

pub(crate) async fn audit(asked: Audit, context: &mut Context<'_>) -> Result<(), Failure> {
    let kind =
        asked.kind.as_deref().map(|word| word_of(word, ActionKind::ALL, "kind of action")).transpose()?;
    let jobs = context.jobs().await?;
    let now = jobs.store().now().await?;
    let filter = ActionFilter {
        by: asked.by,
        kind,
        before: asked.page.before()?,
        limit: asked.page.limit(),
        ..ActionFilter::default()
    };
    let found = jobs.store().actions(filter).await?;
    let rows: Vec<_> = found.into_iter().map(|recorded| ActionRow::of(recorded, now)).collect();
    context.print(&rows, "no matching actions")
}

//! Everything about a run.

use std::fmt::Write as _;

use jiff::Timestamp;
use riqle_jobs::{
    Jobs, Payload, Run, RunId, RunState,
    email::{EmailDetail, EmailFilter, EmailRecord, EmailStatus},
    show::{length, many},
    store::{
        AttemptOutcome, AttemptRecord, Codec, EmailId, LoggedLine, Progress, Reason, RunNotes, SavedStep,
        TraceContext, WorkerId,
    },
};
use serde::Serialize;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use crate::{context::Context, failure::Failure, print::in_one_line};

/// How many emails of a run are read.
const EMAILS: usize = 100;

/// Everything about a run.
struct Whole {
    run: Run,
    steps: Vec<SavedStep>,
    notes: RunNotes,
    emails: Vec<EmailRecord>,
}

/// The same as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown<'a> {
    id: RunId,
    job: &'a str,
    queue: &'a str,
    priority: u8,
    state: RunState,
    reason: Option<Reason>,
    input: Box<RawValue>,
    output: Option<Box<RawValue>>,
    failures: u32,
    crashes: u32,
    enqueued_at: Timestamp,
    due_at: Timestamp,
    ended_at: Option<Timestamp>,
    worker: Option<WorkerId>,
    lease_until: Option<Timestamp>,
    unique_key: Option<&'a str>,
    reference: Option<&'a str>,
    event_id: Option<&'a str>,
    schedule: Option<&'a str>,
    tick: Option<Timestamp>,
    trace_id: Option<&'a str>,
    root: RunId,
    replay_of: Option<RunId>,
    replayed_by: Option<RunId>,
    error_fingerprint: Option<&'a str>,
    attempts: Vec<AttemptShown<'a>>,
    steps: Vec<StepShown<'a>>,
    progress: Option<&'a Progress>,
    log: &'a [LoggedLine],
    /// Its emails; not called so, since an export hides the values of such keys.
    messages: Vec<MessageShown<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptShown<'a> {
    number: u32,
    times: u32,
    outcome: AttemptOutcome,
    started_at: Timestamp,
    ended_at: Timestamp,
    worker: WorkerId,
    error: Option<&'a str>,
    delay_ms: Option<u64>,
}

impl<'a> AttemptShown<'a> {
    fn of(attempt: &'a AttemptRecord) -> Self {
        Self {
            number: attempt.number,
            times: attempt.times,
            outcome: attempt.outcome,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            worker: attempt.worker,
            error: attempt.error.as_deref(),
            delay_ms: attempt.delay.map(|delay| delay.as_millis() as u64),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepShown<'a> {
    step: &'a str,
    result: Box<RawValue>,
    saved_at: Timestamp,
    took_ms: f64,
}

impl<'a> StepShown<'a> {
    fn of(step: &'a SavedStep) -> Self {
        Self {
            step: step.path.as_str(),
            result: value_of(&step.result),
            saved_at: step.saved_at,
            took_ms: step.took.as_secs_f64() * 1e3,
        }
    }
}

#[derive(Serialize)]
struct MessageShown<'a> {
    id: EmailId,
    status: EmailStatus,
    detail: EmailDetail,
    to: &'a str,
    subject: &'a str,
    error: Option<&'a str>,
}

impl<'a> MessageShown<'a> {
    fn of(email: &'a EmailRecord) -> Self {
        Self {
            id: email.id,
            status: email.status,
            detail: email.detail,
            to: &email.to,
            subject: &email.subject,
            error: email.error.as_deref(),
        }
    }
}

impl Whole {
    async fn read(jobs: &Jobs, id: RunId) -> Result<Self, Failure> {
        let run = jobs.run(id).await?.ok_or_else(|| Failure::not_found(format!("no run {id}")))?;
        let store = jobs.store();
        let (steps, notes, emails) = tokio::try_join!(
            store.steps(id),
            store.notes(id),
            store.emails(EmailFilter { run_id: Some(id), limit: EMAILS, ..EmailFilter::all() }),
        )?;
        Ok(Self { run, steps, notes, emails })
    }

    fn json(&self) -> Shown<'_> {
        let Self { run, steps, notes, emails } = self;
        Shown {
            id: run.id,
            job: &run.job,
            queue: &run.queue,
            priority: run.priority.number(),
            state: run.state,
            reason: run.reason,
            input: value_of(&run.input),
            output: run.output.as_ref().map(value_of),
            failures: run.failures,
            crashes: run.crashes,
            enqueued_at: run.enqueued_at,
            due_at: run.due_at,
            ended_at: run.ended_at,
            worker: run.holder.map(|holder| holder.worker),
            lease_until: run.holder.map(|holder| holder.lease_until),
            unique_key: run.unique_key.as_deref(),
            reference: run.reference.as_deref(),
            event_id: run.event_id.as_deref(),
            schedule: run.tick.as_ref().map(|tick| tick.schedule.as_str()),
            tick: run.tick.as_ref().map(|tick| tick.at),
            trace_id: run.trace.as_ref().map(TraceContext::trace_id),
            root: run.root,
            replay_of: run.replay_of,
            replayed_by: run.replayed_by,
            error_fingerprint: run.error_fingerprint.as_deref(),
            attempts: run.attempts.iter().map(AttemptShown::of).collect(),
            steps: steps.iter().map(StepShown::of).collect(),
            progress: notes.progress.as_ref(),
            log: &notes.lines,
            messages: emails.iter().map(MessageShown::of).collect(),
        }
    }

    fn text(&self) -> String {
        let Self { run, steps, notes, emails } = self;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            if !value.is_empty() {
                let _ = writeln!(text, "{name:<12}{}", in_one_line(&value));
            }
        };
        let some = |value: &Option<String>| value.clone().unwrap_or_default();
        let reason = run.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        line("run", run.id.to_string());
        line("job", run.job.clone());
        line("queue", run.queue.clone());
        line("state", format!("{}{reason}", run.state));
        line("attempts", format!("{} failed, {} crashed", run.failures, run.crashes));
        line("enqueued", time(run.enqueued_at));
        line("due", time(run.due_at));
        line("ended", run.ended_at.map(time).unwrap_or_default());
        if let Some(holder) = run.holder {
            line("held by", format!("worker {}, lease until {}", holder.worker, time(holder.lease_until)));
        }
        line("unique key", some(&run.unique_key));
        line("reference", some(&run.reference));
        line("event", some(&run.event_id));
        if let Some(tick) = &run.tick {
            line("schedule", format!("{}, tick of {}", tick.schedule, time(tick.at)));
        }
        line("trace", run.trace.as_ref().map(|trace| trace.trace_id().to_owned()).unwrap_or_default());
        line("replay of", run.replay_of.map(|run| run.to_string()).unwrap_or_default());
        line("replayed by", run.replayed_by.map(|run| run.to_string()).unwrap_or_default());
        line("fingerprint", some(&run.error_fingerprint));
        line("input", value_of(&run.input).get().to_owned());
        line(
            "output",
            run.output.as_ref().map(|output| value_of(output).get().to_owned()).unwrap_or_default(),
        );
        if let Some(progress) = &notes.progress {
            line("progress", format!("{} of {} {}", progress.done, progress.total, progress.text));
        }
        for attempt in &run.attempts {
            let took = std::time::Duration::try_from(attempt.ended_at.duration_since(attempt.started_at));
            let times = if attempt.times > 1 { format!(", {} times", attempt.times) } else { String::new() };
            let _ = writeln!(
                text,
                "\nattempt {}  {}{times}  {}  took {}",
                attempt.number,
                attempt.outcome,
                time(attempt.started_at),
                length(took.unwrap_or_default())
            );
            for error in attempt.error.iter().flat_map(|error| error.lines()) {
                let _ = writeln!(text, "  {}", in_one_line(error));
            }
        }
        if !steps.is_empty() {
            let _ = writeln!(text, "\n{} saved", many(steps.len() as u64, "step"));
        }
        for step in steps {
            let (path, result) = (step.path.to_string(), value_of(&step.result).get().to_owned());
            let _ =
                writeln!(text, "  {}  {}  {}", in_one_line(&path), length(step.took), in_one_line(&result));
        }
        if !notes.lines.is_empty() {
            text.push_str("\nlog\n");
        }
        for logged in &notes.lines {
            let _ = writeln!(text, "  {}  {}  {}", time(logged.at), logged.level, in_one_line(&logged.text));
        }
        if !emails.is_empty() {
            text.push_str("\nemails\n");
        }
        for email in emails {
            let about = in_one_line(&format!("{}  to {}  {}", email.detail, email.to, email.subject));
            let _ = writeln!(text, "  {}  {about}", email.id);
        }
        text
    }
}

/// As it is stored, where that is JSON; otherwise how long it is.
fn value_of(payload: &Payload) -> Box<RawValue> {
    let text = std::str::from_utf8(&payload.bytes).ok().filter(|_| payload.codec == Codec::JSON);
    let read = text.and_then(|text| serde_json::from_str::<Box<RawValue>>(text).ok());
    read.or_else(|| to_raw_value(&json!({ "bytes": payload.bytes.len() })).ok()).unwrap_or_default()
}

fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Everything about a run as JSON.
pub(crate) async fn json_of(jobs: &Jobs, id: RunId) -> Result<String, Failure> {
    let whole = Whole::read(jobs, id).await?;
    serde_json::to_string(&whole.json()).map_err(|error| Failure::refused(error.to_string()))
}

pub(super) async fn show(id: RunId, context: &mut Context<'_>) -> Result<(), Failure> {
    let whole = Whole::read(&context.jobs().await?, id).await?;
    match context.json {
        true => context.print_json(&whole.json()),
        false => context.console.say(&whole.text()),
    }
}

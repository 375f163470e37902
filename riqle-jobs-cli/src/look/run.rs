//! Everything about a run.

use std::fmt::Write as _;

use riqle_jobs::{
    Jobs, Payload, Run, RunId,
    email::{EmailFilter, EmailRecord},
    show::{length, many},
    store::{RunNotes, SavedStep},
};
use serde_json::{Value, json};

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

    fn json(&self) -> Value {
        let Self { run, steps, notes, emails } = self;
        json!({
            "id": run.id,
            "job": run.job,
            "queue": run.queue,
            "priority": run.priority.number(),
            "state": run.state,
            "reason": run.reason,
            "input": value_of(&run.input),
            "output": run.output.as_ref().map(value_of),
            "failures": run.failures,
            "crashes": run.crashes,
            "enqueuedAt": run.enqueued_at,
            "dueAt": run.due_at,
            "endedAt": run.ended_at,
            "worker": run.holder.map(|holder| holder.worker),
            "leaseUntil": run.holder.map(|holder| holder.lease_until),
            "uniqueKey": run.unique_key,
            "reference": run.reference,
            "eventId": run.event_id,
            "schedule": run.tick.as_ref().map(|tick| &tick.schedule),
            "tick": run.tick.as_ref().map(|tick| tick.at),
            "root": run.root,
            "replayOf": run.replay_of,
            "replayedBy": run.replayed_by,
            "errorFingerprint": run.error_fingerprint,
            "attempts": run.attempts.iter().map(|attempt| json!({
                "number": attempt.number,
                "times": attempt.times,
                "outcome": attempt.outcome,
                "startedAt": attempt.started_at,
                "endedAt": attempt.ended_at,
                "worker": attempt.worker,
                "error": attempt.error,
                "delayMs": attempt.delay.map(|delay| delay.as_millis() as u64),
            })).collect::<Vec<_>>(),
            "steps": steps.iter().map(|step| json!({
                "step": step.path.to_string(),
                "result": value_of(&step.result),
                "savedAt": step.saved_at,
                "tookMs": step.took.as_secs_f64() * 1e3,
            })).collect::<Vec<_>>(),
            "progress": notes.progress,
            "log": notes.lines,
            // Not `emails`: the values of such keys are hidden in an export.
            "messages": emails.iter().map(|email| json!({
                "id": email.id,
                "status": email.status,
                "detail": email.detail,
                "to": email.to,
                "subject": email.subject,
                "error": email.error,
            })).collect::<Vec<_>>(),
        })
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
        line("replay of", run.replay_of.map(|run| run.to_string()).unwrap_or_default());
        line("replayed by", run.replayed_by.map(|run| run.to_string()).unwrap_or_default());
        line("fingerprint", some(&run.error_fingerprint));
        line("input", value_of(&run.input).to_string());
        line("output", run.output.as_ref().map(|output| value_of(output).to_string()).unwrap_or_default());
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
            let (path, result) = (step.path.to_string(), value_of(&step.result).to_string());
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

/// As JSON; what is not JSON as how long it is.
pub(crate) fn value_of(payload: &Payload) -> Value {
    let of_bytes = || json!({ "bytes": payload.bytes.len() });
    payload.decode::<Value>().unwrap_or_else(|_| of_bytes())
}

fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Everything about a run as JSON.
pub(crate) async fn json_of(jobs: &Jobs, id: RunId) -> Result<Value, Failure> {
    Ok(Whole::read(jobs, id).await?.json())
}

pub(super) async fn show(id: RunId, context: &mut Context<'_>) -> Result<(), Failure> {
    let whole = Whole::read(&context.jobs().await?, id).await?;
    match context.json {
        true => context.print_json(&whole.json()),
        false => context.console.say(&whole.text()),
    }
}

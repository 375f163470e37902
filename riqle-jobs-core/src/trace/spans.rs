//! The spans that the engine makes, with the fields of OpenTelemetry's messaging conventions, version 1.45.0 of the semantic
//! conventions. The fields that are for a distributed trace alone are there only where a trace is propagated.
//!
//! An attempt and its steps are at level INFO, so that the log lines of a body say which run they are of; enqueues, events and
//! emails are at DEBUG; claims and settlements, which are of many runs at once and which an idle worker makes all the time,
//! at TRACE.

use tracing::{
    Span, debug_span,
    field::{Empty, display},
    info_span, trace_span,
};

use super::propagation;
use crate::{
    ClaimRequest, Claimed, ClaimedRun, EmailId, Enqueued, Error, JobError, NewRun, StepPath,
    email::SendOutcome, store::NewEvent,
};

const SYSTEM: &str = "riqle_jobs";

/// A name or another field of a distributed trace.
fn traced<T>(field: impl FnOnce() -> T) -> Option<T> {
    propagation::is_on().then(field)
}

/// Of an enqueue, whose trace its runs carry from here on.
pub(crate) fn enqueue(runs: &mut [NewRun]) -> Span {
    let Some(first) = runs.first() else { return Span::none() };
    let queue = first.queue.as_str();
    let span = debug_span!(
        "enqueue",
        queue,
        job = first.job,
        run = Empty,
        error = Empty,
        otel.name = traced(|| format!("enqueue {queue}")),
        otel.kind = traced(|| "producer"),
        otel.status_code = Empty,
        messaging.system = traced(|| SYSTEM),
        messaging.operation.name = traced(|| "enqueue"),
        "messaging.operation.type" = traced(|| "send"),
        messaging.destination.name = traced(|| queue),
        messaging.message.id = Empty,
        messaging.batch.message_count = (runs.len() > 1).then_some(runs.len()),
        "error.type" = Empty,
    );
    propagation::carry(&span, runs);
    span
}

/// Of events that are sent, whose trace they carry from here on, and so do the runs that they start.
pub(crate) fn send_events(events: &mut [NewEvent]) -> Span {
    let Some(first) = events.first() else { return Span::none() };
    let name = first.name.as_str();
    let id = (events.len() == 1).then_some(first.id.as_str());
    let span = debug_span!(
        "send_events",
        event = name,
        id,
        error = Empty,
        otel.name = traced(|| format!("send {name}")),
        otel.kind = traced(|| "producer"),
        otel.status_code = Empty,
        messaging.system = traced(|| SYSTEM),
        messaging.operation.name = traced(|| "send"),
        "messaging.operation.type" = traced(|| "send"),
        messaging.destination.name = traced(|| name),
        messaging.message.id = id.filter(|_| propagation::is_on()),
        messaging.batch.message_count = (events.len() > 1).then_some(events.len()),
        "error.type" = Empty,
    );
    propagation::carry(&span, events);
    span
}

/// Of an attempt: a child of the call that enqueued its run where that was just now, else with a link to it.
pub(crate) fn attempt(run: &ClaimedRun) -> Span {
    let (id, queue, attempt) = (run.lease.run, &*run.lease.queue, run.failures.saturating_add(1));
    let span = info_span!(
        parent: None,
        "attempt",
        run = %id,
        job = run.job,
        queue,
        attempt,
        "error.type" = Empty,
        otel.name = traced(|| format!("process {queue}")),
        otel.kind = traced(|| "consumer"),
        otel.status_code = Empty,
        messaging.system = traced(|| SYSTEM),
        messaging.operation.name = traced(|| "process"),
        "messaging.operation.type" = traced(|| "process"),
        messaging.destination.name = traced(|| queue),
        messaging.consumer.group.name = Empty,
        messaging.message.id = Empty,
        messaging.message.conversation_id = Empty,
        riqle_jobs.job.attempt = Empty,
        riqle_jobs.job.crashes = Empty,
        riqle_jobs.steps.saved = Empty,
    );
    propagation::follow(&span, run.trace.as_ref(), attempt);
    if propagation::is_sampled(&span) {
        span.record("messaging.consumer.group.name", &*run.job);
        span.record("messaging.message.id", display(id));
        span.record("messaging.message.conversation_id", display(run.root));
        span.record("riqle_jobs.job.attempt", attempt);
        span.record("riqle_jobs.job.crashes", run.crashes);
        span.record("riqle_jobs.steps.saved", run.steps.len());
    }
    span
}

/// Of one execution of a step. A saved step is not executed, and has none.
pub(crate) fn step(path: &StepPath) -> Span {
    info_span!(
        "step",
        step = %path,
        "error.type" = Empty,
        otel.name = traced(|| format!("step {}", path.name())),
        otel.status_code = Empty,
        riqle_jobs.step.name = traced(|| path.name()),
    )
}

/// Of one send of an email by a mailer.
pub(crate) fn email(provider: &str, email: EmailId) -> Span {
    debug_span!(
        "email",
        %email,
        provider,
        outcome = Empty,
        "error.type" = Empty,
        otel.name = traced(|| format!("email {provider}")),
        otel.kind = traced(|| "client"),
        otel.status_code = Empty,
    )
}

/// Of one claim, of as many runs as it takes.
pub(crate) fn claim(request: &ClaimRequest) -> Span {
    let queue = request.queue.as_str();
    trace_span!(
        parent: None,
        "claim",
        queue,
        error = Empty,
        "error.type" = Empty,
        otel.name = traced(|| format!("receive {queue}")),
        otel.kind = traced(|| "client"),
        otel.status_code = Empty,
        messaging.system = traced(|| SYSTEM),
        messaging.operation.name = traced(|| "receive"),
        "messaging.operation.type" = traced(|| "receive"),
        messaging.destination.name = traced(|| queue),
        messaging.client.id = traced(|| display(request.worker)),
        messaging.batch.message_count = Empty,
    )
}

/// Of one write of how attempts ended, of several queues where a store has all of them.
pub(crate) fn settle(attempts: usize) -> Span {
    trace_span!(
        parent: None,
        "settle",
        error = Empty,
        "error.type" = Empty,
        otel.name = traced(|| "settle"),
        otel.kind = traced(|| "client"),
        otel.status_code = Empty,
        messaging.system = traced(|| SYSTEM),
        messaging.operation.name = traced(|| "settle"),
        "messaging.operation.type" = traced(|| "settle"),
        messaging.batch.message_count = attempts,
    )
}

/// Notes what an enqueue came to.
pub(crate) fn enqueued(span: &Span, answers: &Result<Vec<Enqueued>, Error>) {
    match answers.as_deref() {
        _ if span.is_disabled() => {}
        Ok([answer]) => {
            span.record("run", display(answer.id()));
            if propagation::is_sampled(span) {
                span.record("messaging.message.id", display(answer.id()));
            }
        }
        Ok(_) => {}
        Err(error) => call_failed(span, error),
    }
}

/// Notes how many runs a claim has taken.
pub(crate) fn claimed(span: &Span, answer: &Result<Claimed, Error>) {
    match answer {
        Ok(claimed) => {
            span.record("messaging.batch.message_count", claimed.runs.len());
        }
        Err(error) => call_failed(span, error),
    }
}

/// Notes the error of a store's call.
pub(crate) fn call_failed(span: &Span, error: &Error) {
    if !span.is_disabled() {
        span.record("error", display(error));
        failed(span, &error.kind().as_str().replace(' ', "-"));
    }
}

/// Notes what a mailer answered. What is put off is no error: it goes out later.
pub(crate) fn sent(span: &Span, outcome: &SendOutcome) {
    span.record("outcome", outcome.as_str());
    if !matches!(outcome, SendOutcome::Accepted { .. } | SendOutcome::Deferred { .. }) {
        failed(span, outcome.as_str());
    }
}

/// Notes the error of a step, unless it puts the run off or gives it up on purpose.
pub(crate) fn step_failed(span: &Span, error: &JobError) {
    if let Some(error) = error.error_type() {
        failed(span, error);
    }
}

/// Notes that a span ended in an error of this type, a word of which there are few.
pub(crate) fn failed(span: &Span, error_type: &str) {
    span.record("error.type", error_type);
    if propagation::is_on() {
        span.record("otel.status_code", "ERROR");
    }
}

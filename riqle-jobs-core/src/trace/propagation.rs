//! How a trace crosses from the process that enqueues to the one that works.

use std::{sync::OnceLock, time::Duration};

use jiff::Timestamp;
use tracing::Span;

use super::TraceContext;
use crate::{NewRun, clock, store::NewEvent};

/// An attempt that begins so soon after the call that enqueued its run is part of that call's trace. A later one is a trace of
/// its own, with a link: else a delayed run, a retry or a replay would make traces of days.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Reads and writes the trace that a span belongs to.
pub trait Propagation: Send + Sync + 'static {
    /// The `traceparent` and `tracestate` by which others follow this span; `None` if it isn't part of a trace.
    fn headers_of(&self, span: &Span) -> Option<(String, String)>;

    /// Whether the span will be exported; fields that are not needed to decide that are left out if not.
    fn is_sampled(&self, span: &Span) -> bool;

    /// Puts a span that has just been made into relation to what `context` names.
    fn relate(&self, span: &Span, context: &TraceContext, relation: Relation);
}

/// How an attempt relates to the call that enqueued its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Its span is a child of the call's, in the same trace.
    Child,
    /// Its span begins a trace of its own, with a link to the call's.
    Link,
}

static PROPAGATION: OnceLock<Box<dyn Propagation>> = OnceLock::new();

/// From now on, what this process enqueues and sends carries the trace of its spans, and the attempts that it runs follow the
/// trace that their runs carry. Returns whether it was set; only the first call sets it.
pub fn propagate_with(propagation: impl Propagation) -> bool {
    PROPAGATION.set(Box::new(propagation)).is_ok()
}

/// Whether spans are to have the fields of a distributed trace.
pub(super) fn is_on() -> bool {
    PROPAGATION.get().is_some()
}

/// Whether a span of a distributed trace is to be seen.
pub(super) fn is_sampled(span: &Span) -> bool {
    PROPAGATION.get().is_some_and(|propagation| propagation.is_sampled(span))
}

/// What can carry the trace in which it was made.
pub(crate) trait Carries {
    fn trace(&mut self) -> &mut Option<TraceContext>;
}

impl Carries for NewRun {
    fn trace(&mut self) -> &mut Option<TraceContext> {
        &mut self.trace
    }
}

impl Carries for NewEvent {
    fn trace(&mut self) -> &mut Option<TraceContext> {
        &mut self.trace
    }
}

/// Lets what has no trace yet carry that of a span; of the current one, where nobody takes the span.
pub(super) fn carry(span: &Span, items: &mut [impl Carries]) {
    let Some(propagation) = PROPAGATION.get() else { return };
    let headers = propagation.headers_of(span).or_else(|| propagation.headers_of(&Span::current()));
    let Some((traceparent, tracestate)) = headers else { return };
    let context = TraceContext::new(&traceparent, &tracestate, Timestamp::now());
    for item in items {
        let trace = item.trace();
        if trace.is_none() {
            trace.clone_from(&context);
        }
    }
}

/// Puts an attempt's span where its run's trace says.
pub(super) fn follow(span: &Span, context: Option<&TraceContext>, attempt: u32) {
    if let (Some(propagation), Some(context)) = (PROPAGATION.get(), context) {
        let (since, now) = (context.since(), Timestamp::now());
        let is_at_once =
            attempt == 1 && clock::later(since, AT_ONCE) >= now && clock::later(now, AT_ONCE) >= since;
        propagation.relate(span, context, if is_at_once { Relation::Child } else { Relation::Link });
    }
}

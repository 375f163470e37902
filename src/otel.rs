//! Traces that cross processes, by OpenTelemetry: what is enqueued or sent carries the trace that it belongs to, and the
//! attempts of its runs follow it, in whatever process they run. The guide's page [Traces and logs](crate::guide::traces)
//! shows how to set it up.

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use riqle_jobs_core::trace::{Propagation, Relation, propagate_with};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use riqle_jobs_core::trace::TraceContext;

/// From now on, what this process enqueues and sends carries the trace that it belongs to, and the attempts that it runs
/// follow the trace that their runs carry. Call it once, after the subscriber with the layer of `tracing-opentelemetry` is
/// set; called again it does nothing.
///
/// The first attempt of a run that begins within five seconds of the call that enqueued it is a child of that call, in the same
/// trace. Any other, such as one of a delayed run, a retry or a replay, begins a trace of its own, with a link to the call.
pub fn propagate() {
    propagate_with(OpenTelemetry);
}

struct OpenTelemetry;

impl Propagation for OpenTelemetry {
    fn headers_of(&self, span: &Span) -> Option<(String, String)> {
        let of_span = span.context().span().span_context().clone();
        // Nobody takes the span: then that of whoever calls.
        let context = match of_span.is_valid() {
            true => of_span,
            false => Context::current().span().span_context().clone(),
        };
        context.is_valid().then(|| {
            let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
            (format!("00-{trace}-{span}-{flags:02x}"), context.trace_state().header())
        })
    }

    fn is_sampled(&self, span: &Span) -> bool {
        span.context().span().span_context().is_sampled()
    }

    fn relate(&self, span: &Span, context: &TraceContext, relation: Relation) {
        let Some(remote) = span_context(context) else { return };
        match relation {
            // Refused only where no layer takes the span, or it has a parent already.
            Relation::Child => drop(span.set_parent(Context::new().with_remote_span_context(remote))),
            Relation::Link => span.add_link(remote),
        }
    }
}

/// `None` where a part of it is not as OpenTelemetry has it.
fn span_context(context: &TraceContext) -> Option<SpanContext> {
    let mut parts = context.traceparent().split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    let state = context.tracestate().parse::<TraceState>().unwrap_or_default();
    Some(SpanContext::new(trace, span, TraceFlags::new(flags), true, state))
}

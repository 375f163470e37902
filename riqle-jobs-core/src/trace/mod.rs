//! Traces: the spans of the engine, and what travels with a run so that its attempts belong to the trace in which it was
//! enqueued. The spans are `tracing`'s; what makes a distributed trace of them is a [`Propagation`], as the facade's
//! feature `otel` has one for OpenTelemetry.

mod context;
mod propagation;
pub(crate) mod spans;

pub use context::TraceContext;
pub use propagation::{Propagation, Relation, propagate_with};

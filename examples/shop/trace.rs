//! Traces, for the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names.

use axum::{
    extract::{MatchedPath, Request},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::TracerProvider,
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Instrument, Subscriber, debug_span, field::Empty, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use crate::Failure;

/// What sends spans to the collector, and the layer that makes them; `None` where no collector is named.
pub fn exporter<S>() -> Result<Option<(SdkTracerProvider, impl Layer<S> + use<S>)>, Failure>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_none_or(|endpoint| endpoint.is_empty()) {
        return Ok(None);
    }
    // Its client has no TLS of its own; and it must not be made on a thread that runs tasks.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = std::thread::spawn(|| {
        SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build()
    });
    let exporter = exporter.join().map_err(|_| "the exporter of traces can't be made")??;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("riqle-shop").build())
        .build();
    let ours = Targets::new()
        .with_target("shop", LevelFilter::DEBUG)
        .with_target("riqle_jobs_core", LevelFilter::DEBUG);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop")).with_filter(ours);
    Ok(Some((provider, layer)))
}

/// Puts a request into a span, of the caller's trace if it names one.
pub async fn request(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let span = debug_span!(
        "request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = Empty,
    );
    let caller = TraceContextPropagator::new().extract(&Headers(request.headers()));
    // Refused only where nobody takes the span.
    let _ = span.set_parent(caller);
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

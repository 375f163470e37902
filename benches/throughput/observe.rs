//! What a process is watched with, to see what that costs: `--observe log|metrics|traces`.

use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use riqle_jobs::otel;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Has the process watched as the guide says: a log at info, the recorder of an exporter, or one trace in a hundred.
pub(crate) fn install(what: &str) {
    let log = || tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::INFO);
    match what {
        "log" => tracing_subscriber::registry().with(log()).init(),
        "metrics" => {
            drop(PrometheusBuilder::new().set_buckets(&[0.1, 1.0, 10.0]).unwrap().install_recorder())
        }
        "traces" => {
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(Nowhere)
                .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(0.01))))
                .build();
            let ours = Targets::new()
                .with_default(LevelFilter::INFO)
                .with_target("riqle_jobs_core", LevelFilter::DEBUG);
            let traces =
                tracing_opentelemetry::layer().with_tracer(provider.tracer("bench")).with_filter(ours);
            tracing_subscriber::registry().with(traces).init();
            otel::propagate();
        }
        other => panic!("unknown observer {other:?}; use log, metrics or traces"),
    }
}

/// A collector that takes all and costs nothing.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

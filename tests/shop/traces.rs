//! What a collector gets of a purchase, from the webhook to the email.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, status::StatusCode},
};
use prost::Message;

use crate::process::{SECRET, Shop, checkout, eventually, get};

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    /// Starts it; answers with its address as a URL.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// The trace of the span with this name: a line a span, under its parent, in the order in which they begin.
    fn picture(&self, root: &str) -> String {
        let spans = self.0.lock().unwrap().clone();
        let root = spans.iter().find(|span| span.name == root).unwrap();
        let mut picture = String::new();
        draw(root, &spans, 0, &mut picture);
        picture
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let of_scopes = request.resource_spans.into_iter().flat_map(|of_resource| of_resource.scope_spans);
    collector.0.lock().unwrap().extend(of_scopes.flat_map(|of_scope| of_scope.spans));
}

fn draw(span: &Span, all: &[Span], depth: usize, picture: &mut String) {
    let failed = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
    let end = if failed { " failed" } else { "" };
    picture.push_str(&format!("{}{}{end}\n", "  ".repeat(depth), span.name));
    let mut children: Vec<_> = all.iter().filter(|child| child.parent_span_id == span.span_id).collect();
    children.sort_by_key(|child| child.start_time_unix_nano);
    children.into_iter().for_each(|child| draw(child, all, depth + 1, picture));
}

#[tokio::test]
async fn a_purchase_is_one_trace_from_the_webhook_to_the_email() {
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    let collector = Collector::default();
    let mut shop = Shop::start_with(vec![
        ("RIQLE_JOBS_URL", format!("sqlite:{}", folder.path().join("shop.db").display())),
        ("RIQLE_MAIL_URL", format!("file:{}", mail.display())),
        ("STRIPE_WEBHOOK_SECRET", SECRET.to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.start().await),
    ])
    .await;

    let purchase = checkout("evt_1", "order-1001", "ada@example.com");
    assert_eq!(shop.deliver(&purchase).await.unwrap().0, 200);
    eventually("the order's fulfilment", async || {
        let (_, order) = get(shop.address, "/orders/order-1001").await?;
        order["fulfilledAt"]
            .is_number()
            .then_some(())
            .or_else(|| order["fulfilledAt"].is_string().then_some(()))
    })
    .await;
    shop.terminate().await;
    assert!(shop.ends().await.success());

    let guide = include_str!("../../src/guide/traces.md");
    let picture = collector.picture("POST /webhooks/stripe");
    assert!(
        guide.contains(&format!("```text\n{picture}```")),
        "the guide shows another picture than\n{picture}"
    );
}

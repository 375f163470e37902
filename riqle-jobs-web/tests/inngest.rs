//! The official npm package `inngest`, unmodified, sends events to ours. Needs the feature `real-servers`, Node.js, and the
//! folder of the npm packages in `RIQLE_TEST_NODE_MODULES`.
#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::IntoResponse,
};
use riqle_jobs_web::EventApi;
use serde_json::{Value, json};

use self::support::{Bench, node::node, serve};

const KEY: &str = "a-key-of-the-shop";

async fn send(address: SocketAddr, key: Option<&str>, sends: Value) -> Value {
    let task = json!({"baseUrl": format!("http://{address}"), "eventKey": key, "sends": sends});
    node("inngest.mjs", &task).await
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["ids"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn single_events_batches_ids_and_future_times_are_taken() {
    for bench in Bench::all().await {
        let address = serve(|_| EventApi::new(&bench.jobs).keys([KEY]).router()).await;
        let event = |data: Value| json!({"name": "email/welcome", "data": data});
        let later = bench.store().now().await.unwrap().as_millisecond() + 3_600_000;
        let with_id = json!({"name": "email/welcome", "data": {"n": 3}, "id": "user-7"});
        let sends = json!([
            event(json!({"n": 0, "name": "Ada <script>"})),
            [event(json!({"n": 1})), event(json!({"n": 2}))],
            with_id,
            with_id,
            {"name": "email/welcome", "data": {"n": 4}, "ts": later, "v": "1", "user": {"id": 7}},
        ]);
        let answers = send(address, Some(KEY), sends).await;
        assert_eq!((ids(&answers[0]).len(), ids(&answers[1]).len()), (1, 2), "{answers}");
        assert_eq!((ids(&answers[2]), ids(&answers[3])), (vec!["user-7"], vec!["user-7"]));
        let inputs = bench.inputs().await;
        let expected =
            [r#"{"n":0,"name":"Ada <script>"}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#];
        assert_eq!(inputs, expected);
        let runs = bench.runs().await;
        assert_eq!(runs[4].due_at.as_millisecond(), later);
        let started_by: Vec<_> = runs[..3].iter().map(|run| run.event_id.as_deref().unwrap()).collect();
        let answered = [ids(&answers[0]), ids(&answers[1])].concat();
        assert_eq!(started_by, answered);
    }
}

#[tokio::test]
async fn its_retries_start_no_second_run() {
    for bench in Bench::all().await {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let router = EventApi::new(&bench.jobs).keys([KEY]).router();
        // The events are taken, and the first two answers are lost.
        let router = router.layer(from_fn(move |request: Request, next: Next| {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                let answer = next.run(request).await;
                if call < 2 { StatusCode::BAD_GATEWAY.into_response() } else { answer }
            }
        }));
        let address = serve(|_| router).await;
        let event = |n: u32| json!({"name": "email/welcome", "data": {"n": n}});
        let answers = send(address, Some(KEY), json!([[event(1), event(2)]])).await;
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert_eq!(bench.inputs().await, [r#"{"n":1}"#, r#"{"n":2}"#]);
        let runs = bench.runs().await;
        let started_by: Vec<_> = runs.iter().map(|run| run.event_id.as_deref().unwrap()).collect();
        assert_eq!(started_by, ids(&answers[0]));
    }
}

#[tokio::test]
async fn it_hears_why_events_are_refused_and_needs_no_key_in_development() {
    let bench = &Bench::all().await[0];
    let address = serve(|_| EventApi::new(&bench.jobs).keys([KEY]).router()).await;
    let bad = json!([[{"name": "email/welcome", "data": {}}, {"name": "inngest/x", "data": {}}]]);
    let answers = send(address, Some(KEY), bad).await;
    let error = answers[0]["error"].as_str().unwrap_or_else(|| panic!("{answers}"));
    assert!(error.contains(r#"names that start with "inngest/" are reserved"#), "{error}");
    let answers = send(address, Some("wrong"), json!([{"name": "email/welcome", "data": {}}])).await;
    assert!(answers[0]["error"].is_string(), "{answers}");
    assert!(bench.runs().await.is_empty());

    let development = serve(|address| EventApi::new(&bench.jobs).development(address).router()).await;
    let answers = send(development, None, json!([{"name": "email/welcome", "data": {}}])).await;
    assert_eq!(ids(&answers[0]).len(), 1, "{answers}");
}

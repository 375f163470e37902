//! Health, jobs and runs of them, over real HTTP, on memory and SQLite; and who is let in.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{Jobs, Memory, RunId, Shutdown, Worker, WorkerId, async_trait, store::WorkerReport};
use riqle_jobs_web::{
    api, health,
    security::{Access, Authenticate, Role, User},
};
use serde_json::json;

use self::support::{Bench, Welcome, WelcomeInput, get, post, request, serve};

const VIEWER: &str = "Authorization: Bearer see\r\n";
const OPERATOR: &str = "Authorization: bearer act\r\n";
/// grace:Grüße
const BASIC: &str = "Authorization: Basic Z3JhY2U6R3LDvMOfZQ==\r\n";
const RUNS: &str = "/riqle/api/jobs/send-welcome-email/runs";

fn access() -> Access {
    Access::closed().bearer("board", "see", Role::Viewer).bearer("deploys", "act", Role::Operator).basic(
        "grace",
        "Grüße",
        Role::Operator,
    )
}

async fn web(bench: &Bench, access: Access) -> SocketAddr {
    serve(|_| Router::new().nest("/riqle", api::router(&bench.jobs, access))).await
}

async fn worker_reports(bench: &Bench) {
    let report = WorkerReport {
        id: WorkerId::new(),
        label: "<script>".to_owned(),
        version: "1".to_owned(),
        jobs: [("send-welcome-email".to_owned(), "email".to_owned())].into(),
        concurrency: 1,
        running: 0,
        claimed_ahead: [].into(),
        troubles: Vec::new(),
    };
    bench.store().report_worker(report).await.unwrap();
}

#[tokio::test]
async fn health_says_whether_the_store_answers_and_somebody_works() {
    for bench in Bench::all().await {
        let address = serve(|_| health::router(&bench.jobs)).await;
        let answer = get(address, "/health", "").await;
        let expected = json!({"status": 503, "error": "no worker is alive", "oldestDue": null, "workers": 0});
        assert_eq!((answer.status, answer.json()), (503, expected));

        worker_reports(&bench).await;
        let answer = get(address, "/health", "").await;
        assert_eq!(answer.json(), json!({"status": 200, "message": "OK", "oldestDue": null, "workers": 1}));

        let run = bench.jobs.enqueue(WelcomeInput(json!({}))).await.unwrap().id();
        let due_at = bench.store().run(run).await.unwrap().unwrap().due_at.to_string();
        assert_eq!(get(address, "/health", "").await.json()["oldestDue"], due_at);

        bench.goes_away();
        let answer = get(address, "/health", "").await;
        assert_eq!(
            (answer.status, answer.json()),
            (503, json!({"error": "the store is unavailable", "status": 503}))
        );
    }
}

#[tokio::test]
async fn jobs_are_listed_with_who_runs_them() {
    for bench in Bench::all().await {
        let worker = Worker::new(bench.jobs.store()).register(Welcome);
        worker.run_until_idle().await.unwrap();
        worker_reports(&bench).await;
        let address = web(&bench, access()).await;
        let answer = get(address, "/riqle/api/jobs", VIEWER).await;
        assert_eq!(answer.status, 200);
        let mut jobs = answer.json();
        assert!(jobs["jobs"][0].as_object_mut().unwrap().remove("seenAt").unwrap().is_string());
        assert!(jobs["jobs"][0].as_object_mut().unwrap().remove("policy").unwrap().is_string());
        assert_eq!(
            jobs,
            json!({"jobs": [{
                "name": "send-welcome-email",
                "queue": "email",
                "priority": 2,
                "trigger": "email/welcome",
                "rules": {},
                "workers": 1,
            }]})
        );
    }
}

#[tokio::test]
async fn a_run_is_started_with_test_data_that_is_kept_to_the_letter() {
    for bench in Bench::all().await {
        let address = web(&bench, access()).await;
        let input = r#"{"amount": 9007199254740993, "name": "<script>"}"#;
        let answer = post(address, RUNS, BASIC, format!(r#"{{"input":{input}}}"#)).await;
        assert_eq!(answer.status, 201);
        let runs = bench.runs().await;
        assert_eq!(answer.json(), json!({"id": runs[0].id, "status": 201}));
        assert_eq!(runs[0].input.bytes, input.as_bytes());
        assert_eq!((runs[0].job.as_str(), runs[0].queue.as_str()), ("send-welcome-email", "email"));

        let id = RunId::new();
        for _ in 0..2 {
            let again = post(address, RUNS, BASIC, format!(r#"{{"id":"{id}","input":7}}"#)).await;
            assert_eq!((again.status, &again.json()["id"]), (201, &json!(id)));
        }
        for (other, status) in [
            (format!(r#"{{"id":"{id}","input":8}}"#), 409),
            (r#"{"id":"0197a6f0-3c5e-4b1d-9f00-6a1c4a0f3f2e","input":7}"#.to_owned(), 400),
        ] {
            assert_eq!(post(address, RUNS, BASIC, other).await.status, status);
        }
        assert_eq!(bench.runs().await.len(), 2);
    }
}

#[tokio::test]
async fn what_is_no_input_starts_nothing() {
    for bench in Bench::all().await {
        let address = web(&bench, access()).await;
        let large = format!(r#"{{"input":"{}"}}"#, "x".repeat(1 << 20));
        let larger = format!(r#"{{"input":"{}"}}"#, "x".repeat((1 << 20) + 2_000));
        for (status, path, body) in [
            (400, RUNS, "{"),
            (400, RUNS, "7"),
            (400, RUNS, "{}"),
            (400, RUNS, r#"{"input":1,"inputs":2}"#),
            (400, RUNS, large.as_str()),
            (413, RUNS, larger.as_str()),
            (404, "/riqle/api/jobs/%3Cscript%3E/runs", r#"{"input":1}"#),
        ] {
            let answer = post(address, path, OPERATOR, body).await;
            assert_eq!(answer.status, status, "{} of {:.30}", answer.text, body);
            assert_eq!(answer.json()["status"], status);
        }
        // As a form of another site would send it.
        let (line, headers) = (format!("POST {RUNS}"), format!("{BASIC}Content-Type: text/plain\r\n"));
        assert_eq!(request(address, &line, &headers, br#"{"input":1}"#).await.status, 415);
        assert!(bench.runs().await.is_empty());
        bench.goes_away();
        assert_eq!(post(address, RUNS, OPERATOR, r#"{"input":1}"#).await.status, 503);
        assert_eq!(get(address, "/riqle/api/jobs", VIEWER).await.status, 503);
    }
}

#[tokio::test]
async fn a_viewer_may_look_and_not_act_and_others_neither() {
    let bench = &Bench::all().await[0];
    let address = web(bench, access()).await;
    let body = r#"{"input":1}"#;
    assert_eq!(get(address, "/riqle/api/jobs", VIEWER).await.status, 200);
    let answer = post(address, RUNS, VIEWER, body).await;
    assert_eq!((answer.status, &answer.json()["error"]), (403, &json!("viewers can look, but not act")));
    for nobody in [
        "",
        "Authorization: Bearer sea\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic see\r\n",
        // grace: and no password
        "Authorization: Basic Z3JhY2U6\r\n",
        "Authorization: Bearer grace:Grüße\r\n",
    ] {
        let answer = get(address, "/riqle/api/jobs", nobody).await;
        assert_eq!(answer.status, 401, "{nobody}");
        assert!(answer.head.contains("www-authenticate: basic"), "{}", answer.head);
        assert_eq!(post(address, RUNS, nobody, body).await.status, 401, "{nobody}");
    }
    assert!(bench.runs().await.is_empty());
}

#[tokio::test]
async fn without_configuration_it_is_closed_or_open_to_the_machine_itself() {
    let bench = &Bench::all().await[0];
    // An empty token is what an unset variable gives.
    let closed =
        web(bench, Access::closed().bearer("x", "", Role::Operator).basic("x", "", Role::Operator)).await;
    for headers in ["", "Authorization: Bearer \r\n", OPERATOR] {
        let answer = get(closed, "/riqle/api/jobs", headers).await;
        let error = "closed: no token, password or authentication is configured";
        assert_eq!((answer.status, answer.json()), (503, json!({"error": error, "status": 503})));
    }
    let here = serve(|address| api::router(&bench.jobs, Access::open_to_this_machine(address))).await;
    assert_eq!(get(here, "/api/jobs", "").await.status, 200);
    for elsewhere in
        ["Host: rebound.example\r\n", "Host: localhost:evil\r\n", "Forwarded: for=203.0.113.7\r\n"]
    {
        assert_eq!(get(here, "/api/jobs", elsewhere).await.status, 401, "{elsewhere}");
    }
    let everywhere = Access::open_to_this_machine(([0, 0, 0, 0], 80).into());
    let everywhere = serve(|_| api::router(&bench.jobs, everywhere)).await;
    assert_eq!(get(everywhere, "/api/jobs", "").await.status, 503);
    let locked = |address| Access::open_to_this_machine(address).bearer("deploys", "act", Role::Operator);
    let locked = serve(|address| api::router(&bench.jobs, locked(address))).await;
    assert_eq!(get(locked, "/api/jobs", "").await.status, 401);
    assert_eq!(get(locked, "/api/jobs", OPERATOR).await.status, 200);
}

#[tokio::test]
async fn a_link_is_made_where_nobody_may_act_and_its_token_is_a_bearer_token() {
    let bench = &Bench::all().await[0];
    let local = ([127, 0, 0, 1], 80).into();
    for somebody in [access(), Access::by(Sessions), Access::open_to_this_machine(local)] {
        assert!(somebody.or_link().1.is_none());
    }
    let viewer = || Access::closed().bearer("board", "see", Role::Viewer);
    for nobody in [Access::closed(), viewer(), Access::open_to_this_machine(([0, 0, 0, 0], 80).into())] {
        assert!(nobody.or_link().1.is_some());
    }
    let (access, link) = viewer().or_link();
    let link = link.unwrap();
    let address = serve(|_| api::router(&bench.jobs, access)).await;
    let runs = "/api/jobs/send-welcome-email/runs";
    let bearer = format!("Authorization: Bearer {}\r\n", link.token());
    assert_eq!(post(address, runs, &bearer, r#"{"input":1}"#).await.status, 201);
    assert_eq!(post(address, runs, VIEWER, r#"{"input":1}"#).await.status, 403);
    // A token in an address is for browsers, which are led on at once.
    assert_eq!(post(address, &link.to(runs), "", r#"{"input":1}"#).await.status, 401);
    assert_eq!(get(address, &link.to("/api/jobs"), "").await.status, 303);
    let answer = get(address, "/api/jobs", "").await;
    let error = "open the link with the token that the application printed when it started";
    assert_eq!((answer.status, answer.json()), (401, json!({"error": error, "status": 401})));
}

/// The application's sessions.
struct Sessions;

#[async_trait]
impl Authenticate for Sessions {
    async fn user(&self, request: &Parts) -> Result<User, Response> {
        match request.headers.get("cookie").and_then(|cookie| cookie.to_str().ok()) {
            Some("session=ada") => Ok(User { name: "ada".to_owned(), role: Role::Viewer }),
            _ => Err((StatusCode::SEE_OTHER, [("location", "/login")]).into_response()),
        }
    }
}

#[tokio::test]
async fn an_application_names_its_users_itself_beside_tokens() {
    let bench = &Bench::all().await[0];
    let access = Access::by(Sessions).bearer("deploys", "act", Role::Operator);
    let address = web(bench, access).await;
    assert_eq!(get(address, "/riqle/api/jobs", "Cookie: session=ada\r\n").await.status, 200);
    assert_eq!(post(address, RUNS, "Cookie: session=ada\r\n", r#"{"input":1}"#).await.status, 403);
    assert_eq!(post(address, RUNS, OPERATOR, r#"{"input":1}"#).await.status, 201);
    let answer = get(address, "/riqle/api/jobs", "").await;
    assert!(answer.status == 303 && answer.head.contains("location: /login"), "{}", answer.head);
}

#[tokio::test]
async fn other_methods_are_answered_as_json_too() {
    let bench = &Bench::all().await[0];
    let address = web(bench, access()).await;
    let answer = request(address, "DELETE /riqle/api/jobs", OPERATOR, b"").await;
    assert_eq!(answer.json(), json!({"error": "method not allowed", "status": 405}));
    let secret = format!("{:?}", access());
    assert_eq!(secret, "Access(3 credentials)");
}

#[tokio::test]
async fn health_is_503_while_nothing_can_be_written_though_reads_work() {
    let is_full = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&is_full);
    let store = Unreliable::new(Arc::new(Memory::new()), move |operation| {
        (operation == "enqueue" && fails.load(Ordering::SeqCst)).then_some(Fault::Before)
    });
    let jobs = Jobs::new(&store);
    let worker = Worker::new(&store).register(Welcome);
    let (shutdown, address) = (Shutdown::new(), serve(|_| health::router(&jobs)).await);
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { worker.run_with(&shutdown).await }
    });
    // Once the worker has reported.
    while get(address, "/health", "").await.status != 200 {
        tokio::task::yield_now().await;
    }
    jobs.enqueue(WelcomeInput(json!({}))).await.unwrap_err();
    let answer = get(address, "/health", "").await;
    let error = "the store can't be written to";
    let expected = json!({"status": 503, "error": error, "oldestDue": null, "workers": 1});
    assert_eq!((answer.status, answer.json()), (503, expected));

    is_full.store(false, Ordering::SeqCst);
    jobs.enqueue(WelcomeInput(json!({}))).await.unwrap();
    assert_eq!(get(address, "/health", "").await.status, 200);
    shutdown.stop();
    running.await.unwrap().unwrap();
}

//! Who gets into the dashboard, and what of the stored text can do harm there.
#![allow(clippy::unwrap_used)]

mod support;

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use riqle_jobs_core::{
    ActionId, AttemptOutcome, ClaimRequest, EmailId, Ending, Jobs, LeaseToken, LogLevel, NewRun, Payload,
    Priority, Reason, RunId, Settlement, StepPath, StepSave, Store, Timestamp, WorkerId,
    email::{EmailDetail, EmailEnding, EmailStart, EmailStatus, NewEmail, OnUnknown, Rendered},
    schedule::{NewSchedule, Rule},
    store::{
        ActionFilter, ActionKind, ActionState, JobDeclaration, JobRules, LogLine, NewAction, Note, Progress,
        WorkerReport,
    },
};
use riqle_jobs_web::{
    Dashboard,
    security::{Access, Link},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    ANNA, BEN, Bench, access, act, dashboard, data, get, page, post, request, serve, submit,
};

/// Tags, quotes and a way out of an attribute.
const HOSTILE: &str = r#"</pre><script>alert(1)</script>"'><img src=x onerror=alert(2)>"#;
const JOB: &str = "send-welcome-email";

/// A run whose every text is hostile, dead; an email; a worker; a paused queue; an action.
async fn hostile(store: &dyn Store) -> (RunId, EmailId) {
    let input = serde_json::to_string(&json!({HOSTILE: HOSTILE})).unwrap();
    let run = NewRun::named(JOB, Payload::from_json_text(input.clone()))
        .queue("email")
        .unique(HOSTILE)
        .reference(HOSTILE);
    let id = run.id;
    store.enqueue(vec![run]).await.unwrap();
    let declaration = JobDeclaration {
        name: JOB.to_owned(),
        queue: "email".to_owned(),
        priority: Priority::DEFAULT,
        trigger: Some(HOSTILE.to_owned()),
        policy: Some(HOSTILE.to_owned()),
        rules: JobRules::default(),
    };
    store.register_jobs(vec![declaration]).await.unwrap();
    let worker = WorkerId::new();
    let report = WorkerReport {
        id: worker,
        label: HOSTILE.to_owned(),
        version: HOSTILE.to_owned(),
        jobs: [(HOSTILE.to_owned(), HOSTILE.to_owned())].into(),
        concurrency: 1,
        running: 1,
        claimed_ahead: [].into(),
        troubles: Vec::new(),
    };
    store.report_worker(report).await.unwrap();
    let request = ClaimRequest {
        queue: "email".to_owned(),
        jobs: [JOB.to_owned()].into(),
        limit: 1,
        lease: Duration::from_secs(60),
        token: LeaseToken::new(),
        worker,
    };
    let lease = store.claim(request).await.unwrap().runs.remove(0).lease;
    let step = StepSave {
        lease: lease.clone(),
        path: StepPath::from_stored(HOSTILE),
        result: Payload::from_json_text(input),
        took: Duration::from_millis(7),
        replaces: false,
    };
    store.save_steps(vec![step]).await.unwrap();
    let note = Note {
        lease: lease.clone(),
        progress: Some(Progress { done: 1, total: 2, text: HOSTILE.to_owned() }),
        lines: vec![LogLine { number: 1, level: LogLevel::Warn, text: HOSTILE.to_owned() }],
    };
    store.annotate(vec![note]).await.unwrap();
    let settlement = Settlement {
        lease,
        ending: Ending::Dead { reason: Reason::Permanent },
        failures: 1,
        attempt: 1,
        outcome: AttemptOutcome::Failed,
        error: Some(format!("{HOSTILE}\nno guess.me@example.com\n{HOSTILE}")),
        error_fingerprint: Some(HOSTILE.to_owned()),
    };
    store.settle(vec![settlement]).await.unwrap();
    store.pause_queue("email", HOSTILE, HOSTILE).await.unwrap();
    let action = NewAction {
        id: ActionId::new(),
        by: HOSTILE.to_owned(),
        kind: ActionKind::Replay,
        subject: HOSTILE.to_owned(),
        detail: HOSTILE.to_owned(),
        state: ActionState::Failed,
        outcome: HOSTILE.to_owned(),
    };
    store.record_action(action).await.unwrap();
    store.suppress(&format!("a@{HOSTILE}"), HOSTILE).await.unwrap();
    (id, hostile_email(store, id).await)
}

/// Of the job that [`hostile`] registers.
async fn hostile_schedule(jobs: &Jobs) {
    let rule = Rule::Every { period: Duration::from_secs(60), from: Timestamp::UNIX_EPOCH };
    let input = Payload::from_json_text(serde_json::to_string(&json!({HOSTILE: HOSTILE})).unwrap());
    jobs.schedule_named(NewSchedule::new(JOB, HOSTILE, rule, input)).await.unwrap();
    jobs.pause_schedule(JOB, HOSTILE, HOSTILE, HOSTILE).await.unwrap();
    jobs.trigger_schedule(JOB, HOSTILE).await.unwrap();
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn hostile_email(store: &dyn Store, run: RunId) -> EmailId {
    let (id, sender) = (EmailId::new(), Uuid::new_v4());
    let text = || HOSTILE.to_owned();
    let message = format!(
        "Subject: {HOSTILE}\r\nX-Own: {HOSTILE}\r\nContent-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\n{HOSTILE}\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>hello</p>{HOSTILE}\r\n--b--\r\n"
    );
    let email = NewEmail {
        id,
        idempotency_key: text(),
        rendered: Rendered {
            provider: text(),
            header_message_id: text(),
            from: text(),
            subject: text(),
            content: text(),
            message: message.into_bytes(),
        },
        to: text(),
        template: text(),
        reference: Some(text()),
        run_id: Some(run),
        step: Some(text()),
        attempt: 1,
        on_unknown: OnUnknown::Hold,
    };
    store.intend_email(email).await.unwrap();
    let start = EmailStart { sender, run_id: None, attempt: 1, rendered: None, longest_send: Duration::ZERO };
    store.start_email(id, start).await.unwrap();
    store.email_body_begins(id, sender, 1).await.unwrap();
    let ending = EmailEnding::NotSent {
        status: EmailStatus::Pending,
        detail: EmailDetail::Held,
        may_have_left: true,
        deferred_since: None,
        error: text(),
    };
    store.end_email(id, sender, ending).await.unwrap();
    id
}

#[tokio::test]
async fn no_stored_text_becomes_markup() {
    for bench in Bench::all().await {
        let (run, email) = hostile(bench.store()).await;
        hostile_schedule(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        let action = data(address, ANNA, "audit").await["actions"][0]["id"].as_str().unwrap().to_owned();
        for path in [
            "overview".to_owned(),
            "runs".to_owned(),
            "runs?state=dead&job=%3Cscript%3Ealert(1)%3C%2Fscript%3E&key=%22%3E%3Cimg%20src%3Dx%3E"
                .to_owned(),
            "runs?state=dead".to_owned(),
            "runs?state=%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
            "runs/confirm?act=replay&state=dead&reference=%3Cscript%3Ealert(1)%3C%2Fscript%3E".to_owned(),
            format!("runs/{run}"),
            "dead-letters".to_owned(),
            "jobs".to_owned(),
            format!("jobs/{JOB}"),
            "schedules".to_owned(),
            format!("schedules/{JOB}/{}", percent_encoded(HOSTILE)),
            "queues".to_owned(),
            "events".to_owned(),
            "emails".to_owned(),
            format!("emails/{email}"),
            "suppressions".to_owned(),
            "audit".to_owned(),
            format!("audit/{action}"),
            "no-such-page%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        ] {
            let shown = page(address, ANNA, &path).await.text.to_lowercase();
            assert!(!shown.contains("<script>alert") && !shown.contains("<img src=x"), "{path}: {shown}");
            assert!(!shown.contains("onerror=alert(2)>\""), "{path}");
        }
        let shown = page(address, ANNA, &format!("runs/{run}")).await.text;
        assert!(shown.matches("&#60;script&#62;alert(1)").count() > 8, "{shown}");
    }
}

#[tokio::test]
async fn an_emails_html_can_do_nothing() {
    for bench in Bench::all().await {
        let (_, email) = hostile(bench.store()).await;
        let address = dashboard(&bench.jobs).await;
        let html = page(address, ANNA, &format!("emails/{email}/html")).await;
        assert_eq!(html.status, 200);
        assert!(html.text.contains("<p>hello</p>"));
        assert!(html.head.contains("default-src 'none'") && html.head.contains("sandbox;"), "{}", html.head);
        assert!(!html.head.contains("script-src"));
        let source = page(address, ANNA, &format!("emails/{email}/source")).await;
        assert!(source.head.contains("content-type: text/plain"));
        for part in ["html", "source"] {
            assert_eq!(page(address, BEN, &format!("emails/{email}/{part}")).await.status, 403);
        }
        assert_eq!(data(address, BEN, &format!("emails/{email}")).await["message"], Value::Null);
    }
}

#[tokio::test]
async fn every_answer_forbids_what_it_does_not_need() {
    let bench = Bench::all().await.remove(0);
    let address = dashboard(&bench.jobs).await;
    for path in
        ["overview", "runs", "no-such-page", "runs/7", "", "openapi.json", "runs?state=a&state=b", "runs/%ff"]
    {
        let answer = page(address, BEN, path).await;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "cache-control: no-store",
            "referrer-policy: same-origin",
        ] {
            assert!(answer.head.contains(header), "{path} lacks {header}: {}", answer.head);
        }
    }
    let html = page(address, BEN, "overview").await.text;
    for forbidden in ["style=\"", "onclick=", "http://", "https://", "<style", "<script>"] {
        let html = html.replace("http://www.w3.org", "");
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    for file in ["app.css", "app.js", "htmx.js", "hx-sse.js", "icon.svg"] {
        let asset = get(address, &format!("/jobs/assets/{file}"), "").await;
        assert_eq!(asset.status, 200, "{file}");
        assert!(asset.head.contains("nosniff"));
    }
    assert_eq!(get(address, "/jobs/assets/..%2fmod.rs", "").await.status, 404);
}

#[tokio::test]
async fn nobody_gets_in_who_is_not_named() {
    let bench = Bench::all().await.remove(0);
    let address = dashboard(&bench.jobs).await;
    for path in ["overview", "runs", "audit", "emails", "no-such-page"] {
        assert_eq!(get(address, &format!("/jobs/{path}"), "").await.status, 401, "{path}");
        assert_eq!(page(address, "a wrong token", path).await.status, 401, "{path}");
    }
    assert_eq!(post(address, "/jobs/queues/email/pause", "", "{}").await.status, 401);
    let closed = serve(|_| {
        Router::new().nest_service("/jobs", Dashboard::new(&bench.jobs, Access::closed()).router())
    })
    .await;
    assert_eq!(page(closed, ANNA, "overview").await.status, 503);
    let here = serve(|address| {
        let access = Access::open_to_this_machine(address);
        Router::new().nest_service("/jobs", Dashboard::new(&bench.jobs, access).router())
    });
    let here = here.await;
    assert_eq!(get(here, "/jobs/overview", "").await.status, 200);
    assert_eq!(get(here, "/jobs/overview", "Host: evil.example\r\n").await.status, 401);
    assert_eq!(get(here, "/jobs/overview", "Host: localhost:evil\r\n").await.status, 401);
    assert_eq!(get(here, "/jobs/overview", "X-Forwarded-For: 1.2.3.4\r\n").await.status, 401);
}

/// The dashboard of a shop that nobody is named for, and its link.
async fn by_link(bench: &Bench) -> (SocketAddr, Link) {
    let (access, link) = Access::closed().or_link();
    let dashboard = Dashboard::new(&bench.jobs, access).router();
    (serve(|_| Router::new().nest_service("/jobs", dashboard)).await, link.unwrap())
}

#[tokio::test]
async fn a_link_lets_in_and_its_token_goes_from_the_address_into_a_cookie_of_the_port() {
    let bench = Bench::all().await.remove(0);
    let (address, link) = by_link(&bench).await;
    for (asked, location) in
        [("/jobs", "./jobs"), ("/jobs/", "./"), ("/jobs/runs?state=dead", "./runs?state=dead")]
    {
        let entered = get(address, &link.to(asked), "").await;
        assert_eq!((entered.status, entered.location()), (303, location));
        let cookie = format!(
            "set-cookie: riqle_jobs_{}={}; Path=/; HttpOnly; SameSite=Lax\r\n",
            address.port(),
            link.token()
        );
        let head = format!("{}\r\n", entered.raw_head);
        assert!(head.contains(&cookie) && head.contains("no-store"), "{head}");
    }
    let cookie = format!("Cookie: {}\r\n", get(address, &link.to("/jobs"), "").await.cookie());
    assert_eq!(get(address, "/jobs/overview", &cookie).await.status, 200);
    let secure = get(address, &link.to("/jobs"), "X-Forwarded-Proto: https\r\n").await;
    assert!(secure.raw_head.contains("SameSite=Lax; Secure"), "{}", secure.raw_head);

    let forms = get(address, "/jobs/overview", &cookie).await.cookie();
    let token = forms.split_once('=').unwrap().1.to_owned();
    let headers = format!(
        "{}; {forms}\r\nContent-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\n",
        cookie.trim_end()
    );
    let pause = async |headers: &str| {
        let body = format!("formToken={token}");
        request(address, "POST /jobs/queues/email/pause", headers, body.as_bytes()).await.status
    };
    // A page of another port of this machine is of the same site, and its form brings the cookies along.
    assert_eq!(pause(&headers.replace("same-origin", "same-site")).await, 403);
    assert_eq!(pause(&headers).await, 303);
    let bearer = format!("Authorization: Bearer {}\r\nAccept: application/json\r\n", link.token());
    let audit = get(address, "/jobs/audit", &bearer).await.json();
    assert_eq!(audit["actions"][0]["by"], json!("link"));
}

#[tokio::test]
async fn behind_a_proxy_that_leaves_no_trace_nobody_gets_in_without_the_link() {
    let bench = Bench::all().await.remove(0);
    let (address, link) = by_link(&bench).await;
    // What nginx sends with nothing but `proxy_pass`: the address that it passes to as the host.
    let proxied = format!("Host: {address}\r\n");
    let (_, other) = Access::closed().or_link();
    for asked in ["/jobs", "/jobs/overview", "/jobs?token=", "/jobs?token=x", &other.unwrap().to("/jobs")] {
        let answer = get(address, asked, &proxied).await;
        assert_eq!(answer.status, 401, "{asked}");
        assert!(answer.text.contains("open the link with the token"), "{}", answer.text);
    }
    assert_eq!(post(address, "/jobs/queues/email/pause", &proxied, "{}").await.status, 401);
    assert_eq!(post(address, &link.to("/jobs/queues/email/pause"), &proxied, "{}").await.status, 401);
    let cookie = get(address, &link.to("/jobs"), &proxied).await.cookie();
    let entered = format!("{proxied}Cookie: {cookie}\r\n");
    assert_eq!(get(address, "/jobs/overview", &entered).await.status, 200);
    let (name, token) = cookie.split_once('=').unwrap();
    for wrong in [format!("{name}x={token}"), format!("{name}={token}x"), format!("{name}=")] {
        assert_eq!(get(address, "/jobs/overview", &format!("Cookie: {wrong}\r\n")).await.status, 401);
    }
    // What another port has set under the same name does no harm.
    let both = format!("Cookie: {name}=another; {cookie}\r\n");
    assert_eq!(get(address, "/jobs/overview", &both).await.status, 200);
}

#[tokio::test]
async fn a_viewer_can_not_act() {
    for bench in Bench::all().await {
        let (run, email) = hostile(bench.store()).await;
        let before = bench.store().run(run).await.unwrap();
        let address = dashboard(&bench.jobs).await;
        for (path, body) in [
            (format!("runs/{run}/replay"), "{}".to_owned()),
            (format!("runs/{run}/cancel"), "{}".to_owned()),
            (format!("runs/{run}/run-now"), "{}".to_owned()),
            (format!("runs/{run}/discard"), "{}".to_owned()),
            ("runs/act".to_owned(), json!({"act": "discard", "ids": [run]}).to_string()),
            (format!("jobs/{JOB}/runs"), r#"{"input":1}"#.to_owned()),
            ("schedules/a/b/trigger".to_owned(), "{}".to_owned()),
            ("schedules/a/b/pause".to_owned(), "{}".to_owned()),
            ("schedules/a/b/resume".to_owned(), "{}".to_owned()),
            ("schedules/a/b/backfill".to_owned(), r#"{"from":"","until":""}"#.to_owned()),
            ("schedules/a/b/edit".to_owned(), "{}".to_owned()),
            ("schedules/a/b/remove".to_owned(), "{}".to_owned()),
            ("queues/email/pause".to_owned(), "{}".to_owned()),
            ("queues/email/resume".to_owned(), "{}".to_owned()),
            (format!("workers/{}/order", WorkerId::new()), r#"{"order":"drain"}"#.to_owned()),
            (format!("emails/{email}/resolve"), r#"{"outcome":"sent"}"#.to_owned()),
            ("suppressions/add".to_owned(), r#"{"address":"a@b.c"}"#.to_owned()),
            ("suppressions/remove".to_owned(), r#"{"address":"a@b.c"}"#.to_owned()),
        ] {
            assert_eq!(act(address, BEN, &path, &body).await.status, 403, "{path}");
            assert_eq!(submit(address, BEN, &path, "outcome=sent").await.status, 403, "{path}");
        }
        assert_eq!(page(address, BEN, "suppressions").await.status, 403);
        assert_eq!(bench.store().run(run).await.unwrap(), before);
        assert_eq!(bench.store().actions(ActionFilter::default()).await.unwrap().len(), 1);
        let shown = page(address, BEN, &format!("runs/{run}")).await.text;
        assert!(!shown.contains("<form"), "{shown}");
    }
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    for bench in Bench::all().await {
        let address = dashboard(&bench.jobs).await;
        let first = page(address, ANNA, "overview").await;
        assert!(first.raw_head.contains("; HttpOnly; SameSite=Lax"), "{}", first.raw_head);
        let cookie = first.cookie();
        let token = cookie.split_once('=').unwrap().1;
        let send = async |headers: &str, body: &str| {
            let headers = format!(
                "Authorization: Bearer {ANNA}\r\nContent-Type: application/x-www-form-urlencoded\r\n{headers}"
            );
            request(address, "POST /jobs/queues/email/pause", &headers, body.as_bytes()).await.status
        };
        let ours = format!("Cookie: {cookie}\r\n");
        let body = format!("formToken={token}");
        assert_eq!(send("", &body).await, 403);
        assert_eq!(send(&ours, "").await, 403);
        assert_eq!(send(&ours, "formToken=").await, 403);
        assert_eq!(send(&ours, &format!("formToken={token}x")).await, 403);
        assert_eq!(send(&format!("{ours}Sec-Fetch-Site: cross-site\r\n"), &body).await, 403);
        assert_eq!(send(&format!("{ours}Sec-Fetch-Site: same-site\r\n"), &body).await, 403);
        assert_eq!(send(&format!("{ours}Origin: https://evil.example\r\n"), &body).await, 403);
        assert_eq!(bench.store().actions(ActionFilter::default()).await.unwrap(), []);
        assert_eq!(bench.store().queues().await.unwrap(), []);
        assert_eq!(send(&format!("{ours}Origin: http://{address}\r\n"), &body).await, 303);

        // What a form of another site can send must not be taken for JSON.
        let headers = format!("Authorization: Bearer {ANNA}\r\nContent-Type: text/plain\r\n");
        let sent = request(address, "POST /jobs/queues/email/resume", &headers, b"{}").await;
        assert_eq!(sent.status, 403);
        let headers = format!("Authorization: Bearer {ANNA}\r\nSec-Fetch-Site: cross-site\r\n");
        assert_eq!(post(address, "/jobs/queues/email/resume", &headers, "{}").await.status, 403);
    }
}

#[tokio::test]
async fn viewers_see_neither_secrets_nor_addresses() {
    for bench in Bench::all().await {
        let input = r#"{"card":{"number":"4242"},"customerEmail":"ada@example.com","amount":12345678901234567890,"note":"call o'hara/ada@example.com"}"#;
        let run = NewRun::named(JOB, Payload::from_json_text(input)).queue("email");
        let id = run.id;
        bench.store().enqueue(vec![run]).await.unwrap();
        let address = dashboard(&bench.jobs).await;
        let headers = |token| format!("Authorization: Bearer {token}\r\nAccept: application/json\r\n");
        let seen = get(address, &format!("/jobs/runs/{id}"), &headers(BEN)).await.text;
        let hidden = r#"{"card":"[hidden]","customerEmail":"[hidden]","amount":12345678901234567890,"note":"call o…@example.com"}"#;
        assert!(seen.contains(hidden) && !seen.contains("4242"), "{seen}");
        assert!(get(address, &format!("/jobs/runs/{id}"), &headers(ANNA)).await.text.contains(input));
        for path in [format!("runs/{id}"), format!("jobs/{JOB}")] {
            let shown = page(address, BEN, &path).await.text;
            assert!(shown.contains("[hidden]") || !shown.contains("amount"), "{shown}");
            assert!(!shown.contains("4242") && !shown.contains("ada@example.com"), "{shown}");
            assert!(page(address, ANNA, &path).await.text.contains("4242"));
        }
        bench.store().suppress("grace@example.com", "asked").await.unwrap();
        let action = NewAction {
            id: ActionId::new(),
            by: "anna".to_owned(),
            kind: ActionKind::Suppress,
            subject: "grace@example.com".to_owned(),
            detail: String::new(),
            state: ActionState::Done,
            outcome: String::new(),
        };
        bench.store().record_action(action).await.unwrap();
        assert_eq!(data(address, BEN, "audit").await["actions"][0]["subject"], json!("g…@example.com"));
        assert_eq!(data(address, ANNA, "audit").await["actions"][0]["subject"], json!("grace@example.com"));
        let own = Dashboard::new(&bench.jobs, access()).hide_keys(["amount"]).router();
        let own = serve(|_| Router::new().nest_service("/jobs", own)).await;
        let shown = page(own, BEN, &format!("runs/{id}")).await.text;
        assert!(shown.contains("4242") && !shown.contains("12345678901234567890"), "{shown}");
    }
}

/// An address as somebody may write it, without a sign that JSON escapes, and a part of it that no viewer is to see.
const WRITTEN: [(&str, &str); 12] = [
    ("grace.hopper@example.com", "hopper"),
    ("grace(hopper)@example.com", "hopper"),
    ("grace@(hopper)example.com", "grace"),
    ("grace＠example.com", "grace"),
    ("grace&#64;example.com", "grace"),
    ("grace&commat;example.com", "grace"),
    ("grace&amp;#x40;example.com", "grace"),
    ("grace%40example.com", "grace"),
    ("grace%2540example.com", "grace"),
    ("gr\u{200b}ace@example.com", "ace@"),
    ("grâce@bücher.example", "âce"),
    ("'hopper'@example.com", "opper"),
];

#[tokio::test]
async fn viewers_see_no_address_however_it_is_written() {
    for bench in Bench::all().await {
        let address = dashboard(&bench.jobs).await;
        let quoted = [(r#"\"grace hopper\"@example.com"#, "hopper"), (r"grace\u0040example.com", "grace")];
        let twice = [
            (r#"{\"to\":\"\\\"grace hopper\\\"@example.com\"}"#, "hopper"),
            (r"grace\\u0040example.com", "grace"),
        ];
        for (text, part) in WRITTEN.into_iter().chain(quoted).chain(twice) {
            let input = format!(r#"{{"note":"say {text} so","{text}":1,"list":["{text}"]}}"#);
            let run = NewRun::named(JOB, Payload::from_json_text(input)).queue("email").reference(text);
            let id = run.id;
            bench.store().enqueue(vec![run]).await.unwrap();
            let request = ClaimRequest {
                queue: "email".to_owned(),
                jobs: [JOB.to_owned()].into(),
                limit: 1,
                lease: Duration::from_secs(60),
                token: LeaseToken::new(),
                worker: WorkerId::new(),
            };
            let lease = bench.store().claim(request).await.unwrap().runs.remove(0).lease;
            let settlement = Settlement {
                lease,
                ending: Ending::Dead { reason: Reason::Permanent },
                failures: 1,
                attempt: 1,
                outcome: AttemptOutcome::Failed,
                error: Some(format!("refused: <{text}>\ncaused by {text}")),
                error_fingerprint: Some("f00d".to_owned()),
            };
            bench.store().settle(vec![settlement]).await.unwrap();
            for path in
                [format!("runs/{id}"), "runs".to_owned(), "dead-letters".to_owned(), format!("jobs/{JOB}")]
            {
                let headers = format!("Authorization: Bearer {BEN}\r\nAccept: application/json\r\n");
                let json = get(address, &format!("/jobs/{path}"), &headers).await.text;
                assert!(!json.contains(part), "{text} in {path}: {json}");
                let html = page(address, BEN, &path).await.text;
                assert!(!html.contains(part), "{text} in {path}: {html}");
            }
            assert!(page(address, ANNA, &format!("runs/{id}")).await.text.contains(part), "{text}");
        }
    }
}

#[tokio::test]
async fn viewers_see_no_value_under_a_key_that_a_user_would_hide() {
    for bench in Bench::all().await {
        let address = dashboard(&bench.jobs).await;
        let hidden = [
            "auth",
            "bearer",
            "jwt",
            "otp",
            "pin",
            "accessKey",
            "mail",
            "tel",
            "street",
            "dateOfBirth",
            "NEW_PIN",
            "useraccesskey",
        ];
        let shown = ["shipping", "author", "opinion", "hotel", "streetwear", "mailing"];
        let fields = |keys: &[&str], value: &str| {
            keys.iter().map(|key| format!(r#""{key}":"{value}""#)).collect::<Vec<_>>().join(",")
        };
        let nested = format!("{{{}}}", fields(&hidden, "s3cret")).replace('"', "\\\"");
        let input =
            format!(r#"{{{},{},"sent":"{nested}"}}"#, fields(&hidden, "s3cret"), fields(&shown, "seen"));
        let run = NewRun::named(JOB, Payload::from_json_text(input)).queue("email");
        let id = run.id;
        bench.store().enqueue(vec![run]).await.unwrap();
        let seen = page(address, BEN, &format!("runs/{id}")).await.text;
        assert!(!seen.contains("s3cret"), "{seen}");
        assert_eq!(seen.matches("&#34;seen&#34;").count(), shown.len(), "{seen}");
        assert_eq!(
            page(address, ANNA, &format!("runs/{id}")).await.text.matches("s3cret").count() % hidden.len(),
            0
        );
    }
}

#[tokio::test]
async fn viewers_can_not_find_out_an_address_by_guessing_it() {
    for bench in Bench::all().await {
        let (run, _) = hostile(bench.store()).await;
        let address = dashboard(&bench.jobs).await;
        for path in [
            "emails?to=ada%40example.com",
            "emails?to=ada@example.com",
            "runs?key=a%40b",
            "runs?text=a@b",
            "emails?to=ada%EF%BC%A0example.com",
            "runs?reference=a%2540b",
        ] {
            assert_eq!(page(address, BEN, path).await.status, 403, "{path}");
            assert_eq!(page(address, ANNA, path).await.status, 200, "{path}");
        }
        let name = "runs?text=guess.me";
        let found = async |who| data(address, who, name).await["runs"][0]["id"].clone();
        assert_eq!((found(ANNA).await, found(BEN).await), (json!(run), Value::Null));
    }
}

#[tokio::test]
async fn bodies_that_are_too_large_or_no_form_are_refused() {
    let bench = Bench::all().await.remove(0);
    let address = dashboard(&bench.jobs).await;
    let large = format!(r#"{{"input":"{}"}}"#, "x".repeat(20 << 20));
    assert_eq!(act(address, ANNA, &format!("jobs/{JOB}/runs"), &large).await.status, 413);
    let above_the_limit = format!(r#"{{"input":"{}"}}"#, "x".repeat(2 << 20));
    let refused = act(address, ANNA, &format!("jobs/{JOB}/runs"), &above_the_limit).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(act(address, ANNA, &format!("jobs/{JOB}/runs"), "{").await.status, 400);
    assert_eq!(act(address, ANNA, "overview", "{}").await.status, 405);
}

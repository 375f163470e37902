//! `POST /e/{key}`, over real HTTP, on memory and SQLite.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;

use axum::Router;
use riqle_jobs_core::{JobInput, RunState, store::NewEvent};
use riqle_jobs_web::EventApi;
use serde_json::{Value, json};

use self::support::{Bench, get, post, request, serve};

const SEED: &str = "x-inngest-event-id-seed: 1743130137367,eii2YKXRVTJPuA==\r\n";

async fn api(bench: &Bench) -> SocketAddr {
    serve(|_| EventApi::new(&bench.jobs).keys(["key-new", "key-old"]).router()).await
}

fn event(data: &str) -> String {
    format!(r#"{{"name":"email/welcome","data":{data}}}"#)
}

fn refused(status: u16, error: &str) -> Value {
    json!({"ids": [], "status": status, "error": error})
}

#[tokio::test]
async fn a_seed_makes_the_ids_and_a_repeat_starts_nothing() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        let body = format!("[{},{}]", event(r#"{"n":1}"#), event(r#"{"n":2}"#));
        for _ in 0..3 {
            let answer = post(address, "/e/key-new", SEED, &body).await;
            let ids = ["01JQDAE4RQF8MBCR55T5AK4KXS", "01JQDAE4RQF8MBCR55T5AK4KXT"];
            assert_eq!((answer.status, answer.json()), (200, json!({"ids": ids, "status": 200})));
        }
        assert_eq!(bench.inputs().await, [r#"{"n":1}"#, r#"{"n":2}"#]);
    }
}

#[tokio::test]
async fn one_object_is_taken_as_well_and_any_of_the_keys() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        let answer = post(address, "/e/key-old", "", format!("  {}\n", event("{}"))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["ids"][0].as_str().unwrap().len(), 26);
        assert_eq!(post(address, "/e/key-new", "", "[]").await.json(), json!({"ids": [], "status": 200}));
        assert_eq!(bench.runs().await.len(), 1);
    }
}

#[tokio::test]
async fn data_is_kept_to_the_letter() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        let data = r#"{ "amount" : 9007199254740993, "total":123456789012345678901234567890, "rate":0.10, "b":1, "a":"</script>\u0000" }"#;
        let body =
            format!(r#"[{},{{"name":"email/welcome"}},{{"name":"email/welcome","data":null}}]"#, event(data));
        assert_eq!(post(address, "/e/key-new", "", body).await.status, 200);
        assert_eq!(bench.inputs().await, [data, "{}", "{}"]);
    }
}

#[tokio::test]
async fn a_bad_event_in_a_batch_refuses_the_batch_whole_and_names_the_limit() {
    let text = |length: usize| "x".repeat(length);
    let named = |name: &str| json!({"name": name, "data": {}}).to_string();
    let dated = |ts: &str| format!(r#"{{"name":"email/welcome","data":{{}},"ts":{ts}}}"#);
    let years = "the event's ts is not between the years 1980 and 2100, in milliseconds since 1970";
    let whole = "the event's ts is not a whole number of milliseconds since 1970";
    let long_id = json!({"name": "email/welcome", "id": text(507)}).to_string();
    let cases = [
        (named(""), "the event's name is empty or missing"),
        (r#"{"data":{}}"#.to_owned(), "the event's name is empty or missing"),
        (r#"{"name":7}"#.to_owned(), "the event's name is not a string"),
        (named(&text(513)), "event name has 513 bytes; the limit is 512"),
        (named("inngest/function.failed"), r#"names that start with "inngest/" are reserved"#),
        (named("a\u{7}b"), "event name contains a control character"),
        (dated("315532799999"), years),
        (dated("4102444800000"), years),
        (dated("-1"), years),
        (dated("1.5"), whole),
        (dated(r#""2026""#), whole),
        (long_id, "event id has 507 bytes; the limit is 506"),
        (r#"{"name":"email/welcome","id":7}"#.to_owned(), "the event's id is not a string"),
        (r#"{"name":"email/welcome","name":"x"}"#.to_owned(), "the event has the same property twice"),
        ("7".to_owned(), "an event must be an object"),
        (event(&format!("\"{}\"", text(512 << 10))), "the event has 524322 bytes; the limit is 524288"),
        (event(&format!("\"{}\"", text(3 << 20))), "the event has 3145762 bytes; the limit is 524288"),
    ];
    for bench in Bench::all().await {
        let address = api(&bench).await;
        for (bad, line) in &cases {
            let answer = post(address, "/e/key-new", "", format!("[{},{bad}]", event("{}"))).await;
            let error = format!("event 1, counted from 0: {line}");
            assert_eq!((answer.status, answer.json()), (400, refused(400, &error)));
            let alone = post(address, "/e/key-new", "", bad).await;
            if bad.starts_with('{') {
                assert_eq!((alone.status, alone.json()), (400, refused(400, line)));
            }
        }
        assert!(bench.runs().await.is_empty());
        let stored = bench.store().idle_events(vec!["email/welcome".to_owned()], 10).await.unwrap();
        assert!(stored.is_empty(), "{stored:?}");
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_the_place() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        for (body, line) in [
            ("", "the body is neither an event nor an array of events"),
            ("\"text\"", "the body is neither an event nor an array of events"),
            ("[{\"name\":\n", "the body is not JSON: line 2, column 0"),
            ("[{}] x", "the body is not JSON: line 1, column 6"),
        ] {
            let answer = post(address, "/e/key-new", "", body).await;
            assert_eq!((answer.status, answer.json()), (400, refused(400, line)), "{body}");
        }
        let no_text = [b"[{\"name\":\"".as_slice(), b"\xff\xfe", b"\"}]"].concat();
        assert_eq!(post(address, "/e/key-new", "", no_text).await.status, 400);
    }
}

#[tokio::test]
async fn five_thousand_events_are_taken_and_one_more_is_too_many() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        let events = |count: usize| format!("[{}]", vec![event("{}"); count].join(","));
        let answer = post(address, "/e/key-new", "", events(5_001)).await;
        let error = "the request has 5001 events; the limit is 5000";
        assert_eq!((answer.status, answer.json()), (400, refused(400, error)));
        assert!(bench.runs().await.is_empty());
        let answer = post(address, "/e/key-new", "", events(5_000)).await;
        assert_eq!((answer.status, answer.json()["ids"].as_array().unwrap().len()), (200, 5_000));
        assert_eq!(bench.runs().await.len(), 5_000);
    }
}

#[tokio::test]
async fn an_event_may_have_three_mebibytes_where_that_is_set_and_not_a_byte_more() {
    let bench = &Bench::all().await[0];
    let address = serve(|_| EventApi::new(&bench.jobs).keys(["key"]).event_bytes(usize::MAX).router()).await;
    let of_size = |size: usize| {
        let text = event("\"\"");
        text.replace("\"\"", &format!("\"{}\"", "x".repeat(size - text.len())))
    };
    let answer = post(address, "/e/key", "", of_size((3 << 20) + 1)).await;
    assert_eq!(answer.json(), refused(400, "the event has 3145729 bytes; the limit is 3145728"));
    // The store's own limit of an input is the next.
    let answer = post(address, "/e/key", "", of_size(3 << 20)).await;
    assert_eq!(answer.json(), refused(400, "event data has 3145696 bytes; the limit is 1048576"));
    assert_eq!(post(address, "/e/key", "", of_size(1 << 20)).await.status, 200);
    let answer = post(address, "/e/key", "", vec![b' '; (16 << 20) + 1]).await;
    assert_eq!(answer.json(), refused(413, "the body is larger than 16777216 bytes"));
}

#[tokio::test]
async fn an_id_starts_once_whatever_its_data_also_within_a_batch() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        let with_id = |data: &str| format!(r#"{{"name":"email/welcome","id":"user-7","data":{data}}}"#);
        let body = format!("[{},{}]", with_id("1"), with_id("2"));
        for body in [body, with_id("3")] {
            let answer = post(address, "/e/key-new", "", body).await;
            assert_eq!((answer.status, &answer.json()["ids"][0]), (200, &json!("user-7")));
        }
        assert_eq!(bench.inputs().await, ["1"]);
    }
}

#[tokio::test]
async fn a_time_in_the_future_schedules_and_one_in_the_past_does_not_jump_the_queue() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        let now = bench.store().now().await.unwrap().as_millisecond();
        let at = |ts: i64| format!(r#"{{"name":"email/welcome","data":{ts},"ts":{ts}}}"#);
        let body = format!("[{},{},{}]", at(now + 3_600_000), at(315_532_800_000), at(0));
        assert_eq!(post(address, "/e/key-new", "", body).await.status, 200);
        let runs = bench.runs().await;
        assert!(runs.iter().all(|run| run.state == RunState::Pending));
        let due: Vec<i64> = runs.iter().map(|run| run.due_at.as_millisecond()).collect();
        assert_eq!(due[0], now + 3_600_000);
        assert!(due[1] >= now && due[2] >= now && due[2] < now + 60_000, "{due:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_the_body_is_read() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        for key in ["wrong", "key-ne", "key-newx", "%FF", "%3Cscript%3E", "key-new,key-old"] {
            let answer = post(address, &format!("/e/{key}"), "", event("{}")).await;
            assert_eq!(
                (answer.status, answer.json()),
                (401, json!({"error": "unknown event key", "status": 401}))
            );
        }
        // Its body never comes.
        let head = "Transfer-Encoding: chunked\r\n";
        let line = format!("POST /e/wrong HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}\r\n");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, line.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 401");
        assert!(bench.runs().await.is_empty());
    }
}

#[tokio::test]
async fn without_a_key_it_is_closed_but_in_development_on_a_loopback_address() {
    let bench = &Bench::all().await[0];
    let elsewhere = ([0, 0, 0, 0], 80).into();
    for closed in [
        EventApi::new(&bench.jobs),
        EventApi::new(&bench.jobs).keys([""]),
        EventApi::new(&bench.jobs).development(elsewhere),
    ] {
        let closed = serve(|_| closed.router()).await;
        let answer = post(closed, "/e/any", "", event("{}")).await;
        let error = "no event key is configured; set RIQLE_EVENT_KEY";
        assert_eq!((answer.status, answer.json()), (503, json!({"error": error, "status": 503})));
    }
    let development = serve(|address| EventApi::new(&bench.jobs).development(address).router()).await;
    assert_eq!(post(development, "/e/NO_EVENT_KEY_SET", "", event("{}")).await.status, 200);
    let own_name = format!("Host: localhost:{}\r\n", development.port());
    assert_eq!(post(development, "/e/x", &own_name, event("{}")).await.status, 200);
    for elsewhere in
        ["Host: evil.example\r\n", "Host: localhost:evil\r\n", "X-Forwarded-For: 203.0.113.7\r\n"]
    {
        let answer = post(development, "/e/x", elsewhere, event("{}")).await;
        let error = "without an event key, only this machine may send events";
        assert_eq!((answer.status, answer.json()), (401, json!({"error": error, "status": 401})));
    }
    assert_eq!(bench.runs().await.len(), 2);
    // With a key it is as closed as anywhere.
    let keyed = serve(|address| EventApi::new(&bench.jobs).keys(["k"]).development(address).router()).await;
    assert_eq!(post(keyed, "/e/x", "", event("{}")).await.status, 401);
}

#[tokio::test]
async fn in_development_no_page_of_another_site_sends_events() {
    let bench = &Bench::all().await[0];
    let development = serve(|address| EventApi::new(&bench.jobs).development(address).router()).await;
    let send = async |headers: &str| {
        // As `fetch` with `no-cors` does it.
        let headers = format!("Content-Type: text/plain\r\n{headers}");
        request(development, "POST /e/x", &headers, event("{}").as_bytes()).await
    };
    for page in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: cross-site\r\nOrigin: http://localhost:3000\r\n",
        "Origin: null\r\n",
        "Origin: https://evil.example\r\n",
        "Origin: http://localhost.evil.example\r\n",
        "Origin: http://192.0.2.7:3000\r\n",
    ] {
        let answer = send(page).await;
        let error = "without an event key, pages of other sites may not send events";
        assert_eq!((answer.status, answer.json()), (403, json!({"error": error, "status": 403})), "{page}");
        let is_named = answer.head.contains("access-control-allow-origin");
        assert_eq!(is_named, page.contains("Origin: http://localhost:3000"), "{}", answer.head);
    }
    assert!(bench.runs().await.is_empty());
    for page in
        ["Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n", "Origin: http://[::1]:5173\r\n"]
    {
        let answer = send(page).await;
        assert_eq!(answer.status, 200, "{page}");
        let origin = page.split(['\r', ' ']).nth(1).unwrap();
        assert!(answer.head.contains(&format!("access-control-allow-origin: {origin}")), "{}", answer.head);
    }
    assert_eq!(bench.runs().await.len(), 2);
}

#[tokio::test]
async fn while_the_store_is_away_the_sender_is_told_to_repeat() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        bench.goes_away();
        let answer = post(address, "/e/key-new", SEED, event("{}")).await;
        assert_eq!(
            (answer.status, answer.json()),
            (503, refused(503, "the store is unavailable; try again"))
        );
        bench.comes_back();
        assert_eq!(post(address, "/e/key-new", SEED, event("{}")).await.status, 200);
        assert_eq!(bench.runs().await.len(), 1);
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_send_and_other_methods_may_not() {
    let bench = &Bench::all().await[0];
    let address = api(bench).await;
    let asks = "Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n\
                Access-Control-Request-Headers: content-type,x-inngest-sdk\r\n";
    let preflight = request(address, "OPTIONS /e/key-new", asks, b"").await;
    assert_eq!(preflight.status, 200);
    for header in [
        "access-control-allow-origin: *",
        "access-control-allow-methods: get,post,put,delete,options",
        "access-control-allow-headers: *",
    ] {
        assert!(preflight.head.contains(header), "{}", preflight.head);
    }
    let answer = post(address, "/e/key-new", "Origin: https://shop.example\r\n", event("{}")).await;
    assert!(answer.head.contains("access-control-allow-origin: *"));
    let answer = get(address, "/e/key-new", "").await;
    assert_eq!(answer.json(), json!({"error": "method not allowed", "status": 405}));
}

#[tokio::test]
async fn scripts_in_names_come_back_as_json_that_no_browser_takes_for_a_page() {
    for bench in Bench::all().await {
        let address = api(&bench).await;
        let name = "<script>alert(1)</script>";
        let answer = post(address, "/e/key-new", "", json!({"name": name, "id": name}).to_string()).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"ids": [name], "status": 200})));
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
    }
}

#[tokio::test]
async fn an_event_that_the_jobs_do_not_know_yet_waits_for_its_job() {
    for bench in Bench::all().await {
        let address =
            serve(|_| Router::new().nest("/inngest", EventApi::new(&bench.jobs).keys(["k"]).router())).await;
        let body = r#"{"name":"shop/unknown","data":{"n":9007199254740993}}"#;
        assert_eq!(post(address, "/inngest/e/k", SEED, body).await.status, 200);
        let idle = bench.store().idle_events(vec!["shop/unknown".to_owned()], 10).await.unwrap();
        let NewEvent { id, data, .. } = &idle[0].event;
        assert_eq!(id, "01JQDAE4RQF8MBCR55T5AK4KXS");
        assert_eq!(data.bytes, br#"{"n":9007199254740993}"#);
    }
}

/// A second and a third job of the same event and queue.
#[derive(serde::Serialize, serde::Deserialize)]
struct Also<const N: u8>;

impl<const N: u8> JobInput for Also<N> {
    const JOB: &'static str = if N == 2 { "also-2" } else { "also-3" };
    const TRIGGER: Option<&'static str> = Some("email/welcome");
    const QUEUE: &'static str = "email";
}

#[tokio::test]
async fn events_may_start_more_runs_than_one_group_holds() {
    for bench in Bench::all().await {
        bench.jobs.declare::<Also<2>>().await.unwrap();
        bench.jobs.declare::<Also<3>>().await.unwrap();
        let address = api(&bench).await;
        let body = format!("[{}]", vec![event("{}"); 4_000].join(","));
        assert_eq!(post(address, "/e/key-new", "", body).await.status, 200);
        let counts = bench.store().counts().await.unwrap();
        assert_eq!(counts.iter().map(|count| count.runs).sum::<u64>(), 12_000);
    }
}

use std::{
    io::{PipeReader, Write, pipe},
    process::Stdio,
    time::Duration,
};

use serde_json::json;
use sqlx::{Connection, SqliteConnection};
use tempfile::{NamedTempFile, TempDir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::process::{Shop, checkout, exchange, get};

fn environment(folder: &TempDir) -> Vec<(&'static str, String)> {
    vec![
        ("RIQLE_JOBS_URL", format!("sqlite:{}", folder.path().join("shop.db").display())),
        ("RIQLE_MAIL_URL", format!("file:{}", folder.path().join("mail").display())),
    ]
}

async fn shop() -> (Shop, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Shop::start_with(environment(&folder)).await, folder)
}

#[tokio::test]
async fn the_dashboard_is_for_who_is_named_or_where_nobody_is_for_who_has_the_printed_link() {
    let (shop, folder) = shop().await;
    assert_eq!(get(shop.address, "/jobs/openapi.json").await.unwrap().0, 200);
    let page = async |path: &str, headers: &str| {
        exchange(shop.address, &format!("GET {path}"), headers, "").await.unwrap()
    };
    assert_eq!(page("/jobs/audit", "").await.0, 401);
    let link = shop.link();
    let path = link.strip_prefix(&format!("http://{}", shop.address)).unwrap();
    let (status, head, _) = page(path, "").await;
    let cookie = head.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert!(cookie.starts_with(&format!("riqle_jobs_{}=", shop.address.port())), "{cookie}");
    assert!(status == 303 && head.contains("location: ./jobs\r\n"), "{head}");
    assert_eq!(page("/jobs/audit", &format!("Cookie: {cookie}\r\n")).await.0, 200);
    drop(shop);

    // Each start has another token.
    let shop = Shop::start_with(environment(&folder)).await;
    assert_ne!(shop.link().split("token=").nth(1), link.split("token=").nth(1));
    drop(shop);

    let named = ("RIQLE_JOBS_OPERATOR", "anna:a-long-password".to_owned());
    let shop = Shop::start_with([environment(&folder), vec![named]].concat()).await;
    assert_eq!(shop.link(), format!("http://{}/jobs", shop.address));
    assert_eq!(exchange(shop.address, "GET /jobs/audit", "", "").await.unwrap().0, 401);
    let anna = "Authorization: Bearer a-long-password\r\n";
    assert_eq!(exchange(shop.address, "GET /jobs/audit", anna, "").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_shop_that_plays_no_demo_takes_no_events_without_a_key() {
    let (shop, _folder) = shop().await;
    let event = r#"{"name":"email/welcome","data":{"userId":"7","email":"ada@example.com"}}"#;
    let (status, _, body) = exchange(shop.address, "POST /e/any", "", event).await.unwrap();
    let error = "no event key is configured; set RIQLE_EVENT_KEY";
    assert_eq!((status, body), (503, json!({"error": error, "status": 503}).to_string()));
}

/// Requests that stop in the middle.
async fn dawdlers(shop: &Shop) -> Vec<TcpStream> {
    let mut dawdlers = Vec::new();
    for half in ["GE", "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", ""] {
        let mut stream = TcpStream::connect(shop.address).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        dawdlers.push(stream);
    }
    // Connections are taken in their order, so the shop has these by then.
    assert_eq!(get(shop.address, "/health").await.unwrap().0, 200);
    dawdlers
}

/// Takes the grace time, 10 s.
#[tokio::test]
async fn clients_that_dawdle_do_not_keep_the_shop_from_ending() {
    let (mut shop, _folder) = shop().await;
    let _dawdlers = dawdlers(&shop).await;
    shop.terminate().await;
    assert!(shop.ends().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_the_shop_at_once_though_clients_dawdle() {
    let (mut shop, _folder) = shop().await;
    let mut dawdlers = dawdlers(&shop).await;
    shop.terminate().await;
    // The silent one is closed when the first signal has come; a second one that is sent before is no second one.
    assert_eq!(dawdlers[2].read(&mut [0]).await.unwrap(), 0);
    shop.terminate().await;
    let ended = tokio::time::timeout(Duration::from_secs(9), shop.ends()).await;
    assert!(ended.expect("it waits for the grace time").success());
}

/// Waits until the health is answered so; it is looked at again and again, since nothing tells.
async fn health_becomes(shop: &Shop, status: u16) -> serde_json::Value {
    let becomes = async {
        loop {
            let (seen, health) = get(shop.address, "/health").await.unwrap();
            if seen == status {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), becomes).await.expect("the health stays as it was")
}

/// Takes some 12 s: a worker reports each 10 s, and a write waits 5 s for the file.
#[tokio::test]
async fn the_health_says_so_while_another_process_holds_the_file() {
    let (shop, folder) = shop().await;
    let file = folder.path().join("shop.db");
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let health = health_becomes(&shop, 503).await;
    assert_eq!(health["error"], "the store can't be written to");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(health_becomes(&shop, 200).await["message"], "OK");
}

/// Another crate of the example switches HTTP/2 on in hyper.
#[tokio::test]
async fn http_2_is_not_spoken() {
    let (shop, _folder) = shop().await;
    let mut stream = TcpStream::connect(shop.address).await.unwrap();
    // The preface of RFC 9113, and an empty SETTINGS frame.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
}

/// A pipe that is full, and that nobody reads.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().unwrap();
    // As much as a pipe of Linux holds; one byte more would wait.
    writer.write_all(&[b'.'; 65_536]).unwrap();
    (reader, writer.into())
}

#[tokio::test]
async fn a_request_is_answered_though_its_line_for_the_log_can_not_be_written() {
    let (unread, full) = full_pipe();
    let (_, closed) = pipe().unwrap();
    let full_disk = std::fs::File::options().write(true).open("/dev/full").unwrap();
    for errors in [closed.into(), full_disk.into(), full] {
        let folder = tempfile::tempdir().unwrap();
        let (_, nobody) = pipe().unwrap();
        let printed = NamedTempFile::new().unwrap();
        let environment =
            [environment(&folder), vec![("STRIPE_WEBHOOK_SECRET", crate::process::SECRET.to_owned())]];
        let shop = Shop::start_printing(environment.concat(), printed, nobody.into(), errors).await;
        let file = folder.path().join("shop.db");
        let mut database = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
        sqlx::raw_sql("ALTER TABLE orders RENAME TO gone").execute(&mut database).await.unwrap();
        for _ in 0..3 {
            let answer = get(shop.address, "/orders/order-1001").await;
            assert_eq!(answer, Some((503, json!({"error": "the store is unavailable"}))));
            let refused = shop.deliver(&checkout("evt_1", "order-7", "ada@example.com")).await.unwrap();
            assert_eq!(refused.0, 503);
        }
        assert_eq!(get(shop.address, "/health").await.unwrap().0, 200);
    }
    drop(unread);
}

use std::time::Duration;

use riqle_jobs::web::webhooks::stripe::{SIGNATURE_HEADER, sign};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    http_client::post,
    process::{SECRET, Shop, checkout, get},
};

async fn shop() -> (Shop, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mail = format!("file:{}", folder.path().join("mail").display());
    let jobs_url = format!("sqlite:{}", folder.path().join("shop.db").display());
    (Shop::start(&jobs_url, &mail).await, folder)
}

fn now() -> i64 {
    riqle_jobs::store::Clock::Server.local_now().as_second()
}

#[tokio::test]
async fn what_is_not_signed_right_is_refused_with_its_reason() {
    let (shop, _folder) = shop().await;
    let body = checkout("evt_1", "order-1001", "ada@example.com").to_string();
    let send = async |signature: String, body: &str| {
        post(shop.address, "/webhooks/stripe", (SIGNATURE_HEADER, &signature), body.as_bytes()).await.unwrap()
    };
    let (status, answer) = send(sign("whsec_other", now(), body.as_bytes()), &body).await;
    assert_eq!(status, 400);
    assert_eq!(answer, json!({"error": "the signature does not match: wrong secret, or a changed body"}));
    assert_eq!(send(sign(SECRET, now() - 400, body.as_bytes()), &body).await.0, 400);
    assert_eq!(send("nonsense".to_owned(), &body).await.0, 400);
    let unknown = json!({"id": "evt_2", "type": "invoice.paid", "data": {"object": {}}}).to_string();
    assert_eq!(send(sign(SECRET, now(), unknown.as_bytes()), &unknown).await.0, 200);
    assert!(get(shop.address, "/orders/order-1001/emails").await.unwrap().1.as_array().unwrap().is_empty());
}

#[tokio::test]
async fn genuine_events_that_the_shop_can_not_use_are_answered_200_ignored_and_counted() {
    let (shop, _folder) = shop().await;
    let event = |id: &str, kind: &str, object: serde_json::Value| json!({"id": id, "type": kind, "data": {"object": object}});
    let mut set_up = checkout("evt_set_up", "order-1", "ada@example.com");
    set_up["data"]["object"]["mode"] = "setup".into();
    set_up["data"]["object"]["amount_total"] = serde_json::Value::Null;
    let of_another = json!({"id": "ch_1", "metadata": {}, "amount_refunded": 100, "currency": "usd"});
    for (event, reason) in [
        (
            event("evt_1", "customer.created", json!({"id": "cus_1", "email": null})),
            "an email address is missing",
        ),
        (event("evt_2", "charge.refunded", of_another), "metadata.orderId is missing"),
        (set_up, "nothing was sold"),
    ] {
        let (status, answer) = shop.deliver(&event).await.unwrap();
        assert_eq!((status, answer), (200, json!({"received": true, "ignored": true, "reason": reason})));
    }
    let (_, counted) = get(shop.address, "/webhooks/stripe").await.unwrap();
    let expected = json!([
        {"type": "charge.refunded", "reason": "metadata.orderId is missing", "events": 1},
        {"type": "checkout.session.completed", "reason": "nothing was sold", "events": 1},
        {"type": "customer.created", "reason": "an email address is missing", "events": 1},
    ]);
    assert_eq!(counted["ignored"], expected);
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_too_large() {
    let (shop, _folder) = shop().await;
    let mut stream = tokio::net::TcpStream::connect(shop.address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let size = (1 << 20) + 1;
    let head = format!("POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
    let mut answer = [0; 12];
    let (_, read) = tokio::join!(
        async {
            writer.write_all(head.as_bytes()).await?;
            // The shop may answer and close before it has read all of it.
            writer.write_all(&vec![b'x'; size]).await
        },
        reader.read_exact(&mut answer)
    );
    read.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

/// F16
#[tokio::test]
async fn an_event_that_comes_twenty_times_at_once_starts_one_run() {
    let (shop, _folder) = shop().await;
    let event = checkout("evt_same", "order-1001", "ada@example.com");
    let answers = futures_util::future::join_all((0..20).map(|_| shop.deliver(&event))).await;
    let mut runs: Vec<String> = Vec::new();
    for answer in answers {
        let (status, answer) = answer.unwrap();
        assert_eq!(status, 200, "{answer}");
        runs.push(answer["run"].as_str().unwrap().to_owned());
    }
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 1);
}

#[tokio::test]
async fn an_order_that_the_table_lacks_is_made_from_its_checkout_and_confirmed_once() {
    let (shop, folder) = shop().await;
    for event in ["evt_1", "evt_2"] {
        assert_eq!(shop.deliver(&checkout(event, "order-7", "ada@example.com")).await.unwrap().0, 200);
    }
    let fulfilled = async {
        loop {
            let (_, order) = get(shop.address, "/orders/order-7").await.unwrap();
            if order["fulfilledAt"].is_string() {
                return order;
            }
            // The order is marked by a worker of another process.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let order = tokio::time::timeout(Duration::from_secs(30), fulfilled).await.unwrap();
    assert_eq!(order["amount"], 5300);
    assert_eq!((&order["status"], &order["currency"]), (&json!("paid"), &json!("USD")));
    let (_, emails) = get(shop.address, "/orders/order-7/emails").await.unwrap();
    let sent: Vec<_> = emails.as_array().unwrap().iter().filter(|row| row["status"] == "sent").collect();
    assert_eq!(sent.len(), 1, "{emails}");
    assert_eq!((&sent[0]["to"], &sent[0]["sends"]), (&json!("ada@example.com"), &json!(1)));
    assert_eq!(std::fs::read_dir(folder.path().join("mail")).unwrap().count(), 1);
    assert_eq!(get(shop.address, "/orders/none").await.unwrap().0, 404);
}

#[tokio::test]
async fn a_shop_without_a_secret_answers_503_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::start_with(vec![
        ("RIQLE_JOBS_URL", format!("sqlite:{}", folder.path().join("shop.db").display())),
        ("RIQLE_MAIL_URL", format!("file:{}", folder.path().join("mail").display())),
    ])
    .await;
    let (status, answer) = shop.deliver(&checkout("evt_1", "order-1", "ada@example.com")).await.unwrap();
    assert_eq!((status, answer), (503, json!({"error": "STRIPE_WEBHOOK_SECRET is not set"})));
}

#[tokio::test]
async fn an_event_with_the_key_starts_its_email_and_resend_without_a_secret_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::start_with(vec![
        ("RIQLE_JOBS_URL", format!("sqlite:{}", folder.path().join("shop.db").display())),
        ("RIQLE_MAIL_URL", format!("file:{}", folder.path().join("mail").display())),
        ("INNGEST_EVENT_KEY", "new-key, old-key".to_owned()),
    ])
    .await;
    let body =
        json!([{"name": "email/welcome", "data": {"userId": "7", "email": "ada@example.com"}, "id": "e-1"}]);
    let send = async |path: &str| {
        post(shop.address, path, ("x-inngest-sdk", "js:v4.24.0"), body.to_string().as_bytes()).await.unwrap()
    };
    assert_eq!(send("/e/wrong").await.0, 401);
    assert_eq!(send("/e/old-key").await, (200, json!({"ids": ["e-1"], "status": 200})));
    assert_eq!(send("/e/new-key").await, (200, json!({"ids": ["e-1"], "status": 200})));
    let sent = async {
        loop {
            let mail = std::fs::read_dir(folder.path().join("mail")).map_or(0, Iterator::count);
            if mail > 0 {
                return mail;
            }
            // The email is written by a worker of another process.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(30), sent).await.unwrap(), 1);
    let (status, answer) = send("/webhooks/resend").await;
    let error = "no Resend webhook secret is configured; set RESEND_WEBHOOK_SECRET";
    assert_eq!((status, answer), (503, json!({"error": error, "status": 503})));
}

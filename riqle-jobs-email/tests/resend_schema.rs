//! What is posted to Resend fits the schema that Resend publishes, with no property that it does not know.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use riqle_jobs_core::{Jobs, Mailbox, Memory, Sender, Worker};
use riqle_jobs_email::{
    ResendMailer,
    jobs::{
        SendPurchaseConfirmation, SendRefundNotification, SendWelcomeEmail, enqueue_purchase_confirmation,
        enqueue_refund_notification, enqueue_welcome_email,
    },
};
use serde_json::json;

use self::support::{
    http_server::{HttpServer, Request},
    openapi::Schema,
    outbox::{Outbox, email},
    shop::{Shop, brand},
};

const ADA: &str = "ada@example.com";

fn mailer(server: &HttpServer) -> ResendMailer {
    ResendMailer::new("re_123").unwrap().base_url(&server.url()).unwrap()
}

/// Resend's rules that its schema only tells in words.
fn check(request: &Request) {
    let body = request.json();
    assert_eq!(Schema::of_resend("SendEmailRequest").check(&body), Ok(()), "{body}");
    assert_eq!(body["to"].as_array().unwrap().len(), 1);
    for tag in body["tags"].as_array().unwrap() {
        for part in [&tag["name"], &tag["value"]] {
            let part = part.as_str().unwrap();
            let legal = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            assert!(legal && (1..=256).contains(&part.len()), "{part}");
        }
    }
    for (name, value) in body["headers"].as_object().unwrap() {
        assert!(name.is_ascii() && !value.as_str().unwrap().contains(['\r', '\n']), "{name}");
    }
    assert!((1..=256).contains(&request.key().len()));
}

#[tokio::test]
async fn the_three_emails_fit_the_schema() {
    let server = HttpServer::start([]).await;
    let (store, shop) = (Memory::new(), Shop::open());
    let sender = Sender::new(&store, Arc::new(mailer(&server)));
    let worker = Worker::new(&store)
        .register(SendPurchaseConfirmation::new(shop.clone(), sender.clone(), brand()))
        .register(SendRefundNotification::new(shop.clone(), sender.clone(), brand()))
        .register(SendWelcomeEmail::new(sender, brand()));
    let jobs = Jobs::new(&store);
    enqueue_purchase_confirmation(&jobs, "order-1001", ADA).await.unwrap();
    enqueue_refund_notification(&jobs, "order-1001", ADA, Some("Größe".to_owned())).await.unwrap();
    enqueue_welcome_email(&jobs, "user-7", ADA, Some("Zoë".to_owned())).await.unwrap();
    worker.run_until_idle().await.unwrap();

    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    requests.iter().for_each(check);
    let tags: Vec<String> = requests.iter().map(|request| request.json()["tags"].to_string()).collect();
    assert_eq!(tags.iter().filter(|tags| tags.contains("order-1001")).count(), 2, "{tags:?}");
}

#[tokio::test]
async fn an_email_with_all_that_it_can_have_fits_the_schema() {
    let server = HttpServer::start([]).await;
    let mut email = email("\"Łódź, \u{202e}Ada\r\nBcc: eve@example.com\" <ada@bücher.example>");
    email.from = Mailbox::parse("Größe & Söhne <orders@riqle.com>").unwrap();
    email.reply_to = Some(Mailbox::parse("Help <help@riqle.com>").unwrap());
    email.subject = "Größe 🎉\r\nBcc: eve@example.com".to_owned();
    email.template = "note.v2".to_owned();
    email.reference = Some("order-1001".to_owned());
    email.headers.insert("List-Unsubscribe".to_owned(), "<https://riqle.com/u/1>".to_owned());
    email.idempotency_key = Some("ä".repeat(128));
    Outbox::with(&Memory::new(), mailer(&server)).send(&email).await.unwrap();
    let requests = server.requests();
    check(&requests[0]);
    assert!(requests[0].json()["to"][0].as_str().unwrap().ends_with(" <ada@xn--bcher-kva.example>"));
}

#[test]
fn the_check_refuses_what_does_not_fit() {
    let schema = Schema::of_resend("SendEmailRequest");
    let right =
        json!({"from": "a@b.de", "to": ["c@d.de"], "subject": "s", "tags": [{"name": "n", "value": "v"}]});
    assert_eq!(schema.check(&right), Ok(()));
    for (property, value, reason) in [
        ("replyTo", json!("a@b.de"), "body.replyTo: unknown"),
        ("to", json!([]), "body.to: fits 0 of the alternatives, not one"),
        ("to", json!(vec!["a@b.de"; 51]), "body.to: fits 0 of the alternatives, not one"),
        ("html", json!(null), "body.html: no string"),
        ("tags", json!([{"name": "n", "values": "v"}]), "body.tags[0].values: unknown"),
        ("headers", json!([["a", "b"]]), "body.headers: no object"),
    ] {
        let mut wrong = right.clone();
        wrong[property] = value;
        assert_eq!(schema.check(&wrong), Err(reason.to_owned()));
    }
    let without = json!({"from": "a@b.de", "to": "c@d.de"});
    assert_eq!(schema.check(&without), Err("body.subject: missing".to_owned()));
}

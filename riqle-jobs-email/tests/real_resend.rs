//! Against `emulate`, a double of Resend that nobody here has written and that keeps idempotency keys as Resend does.
//! Needs the feature `real-servers`, Node.js, and the folder of the npm packages in `RIQLE_TEST_NODE_MODULES`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{env, process::Stdio, sync::Arc};

use riqle_jobs_core::{
    EmailLog, Memory, SendError, Sender,
    email::{EmailFilter, EmailStatus, SendPhase},
};
use riqle_jobs_email::ResendMailer;
use riqle_jobs_sqlite::Sqlite;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::mpsc,
};

use self::support::{
    http_server::{HttpAnswer, HttpServer},
    outbox::{Outbox, email},
    resend_double::ResendDouble,
};

const KILLS: usize = 20;

fn mailer(url: &str) -> ResendMailer {
    ResendMailer::new("re_123").unwrap().base_url(url).unwrap()
}

#[tokio::test]
async fn an_email_arrives_once_however_often_it_is_sent() {
    let resend = ResendDouble::start().await;
    let mut ids = Vec::new();
    // Each store is another shop that has forgotten what it sent, and knows the key still.
    for _ in 0..3 {
        let outbox = Outbox::with(&Memory::new(), mailer(&resend.url));
        ids.push(outbox.send(&email("Ada <ada@example.com>")).await.unwrap().message_id);
    }
    let emails = resend.emails().await;
    assert_eq!(emails.len(), 1);
    assert!(ids.iter().all(|id| *id == emails[0]["id"]), "{ids:?}");
    assert_eq!(emails[0]["to"][0], "Ada <ada@example.com>");
    assert_eq!(emails[0]["text"], "Hello\n.\n..two dots\nGrüße\n");
    assert_eq!(emails[0]["headers"]["Auto-Submitted"], "auto-generated");
}

#[tokio::test]
async fn a_key_used_for_another_email_sends_nothing() {
    let resend = ResendDouble::start().await;
    Outbox::with(&Memory::new(), mailer(&resend.url)).send(&email("ada@example.com")).await.unwrap();
    let other = email("bob@example.com").idempotency_key("note to ada@example.com");
    let error = Outbox::with(&Memory::new(), mailer(&resend.url)).send(&other).await.unwrap_err();
    let SendError::Unknown(line) = &error else { panic!("{error}") };
    assert!(line.contains("Resend: 409: invalid_idempotent_request"), "{line}");
    assert_eq!(resend.emails().await.len(), 1);
}

/// Stands between a shop and Resend: hands requests on, and says when Resend has answered. Only then the answer goes
/// back, or never.
struct Between {
    server: HttpServer,
    answered: mpsc::UnboundedReceiver<()>,
}

impl Between {
    async fn start(resend: Arc<ResendDouble>, answers_go_back: bool) -> Self {
        let (answered, receiver) = mpsc::unbounded_channel();
        let server = HttpServer::through(move |request| {
            let (resend, answered) = (Arc::clone(&resend), answered.clone());
            async move {
                let forward = resend
                    .http
                    .post(format!("{}/emails", resend.url))
                    .header("authorization", &request.headers["authorization"])
                    .header("content-type", "application/json")
                    .header("idempotency-key", request.key())
                    .body(request.body);
                let answer = forward.send().await.unwrap();
                let status = answer.status().as_u16();
                let body = answer.text().await.unwrap();
                answered.send(()).unwrap();
                if answers_go_back { HttpAnswer::new(status, &[], &body) } else { HttpAnswer::Hangs }
            }
        });
        Self { server: server.await, answered: receiver }
    }
}

fn store_url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("jobs.db").display())
}

/// Starts this test binary once more, as a shop that sends one email.
fn shop(folder: &TempDir, url: &str, recipient: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "part_of_another_process"])
        .env("RIQLE_TEST_STORE", store_url(folder))
        .env("RIQLE_TEST_RESEND", url)
        .env("RIQLE_TEST_RECIPIENT", recipient)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Does nothing by itself; sends its email where a test starts it.
#[tokio::test]
async fn part_of_another_process() {
    let set = |name: &str| env::var(format!("RIQLE_TEST_{name}")).ok();
    let (Some(store), Some(url), Some(recipient)) = (set("STORE"), set("RESEND"), set("RECIPIENT")) else {
        return;
    };
    let store = Sqlite::connect(&store).await.unwrap();
    Sender::new(&store, Arc::new(mailer(&url))).send(&email(&recipient)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_killed_between_accept_and_record_sends_one_email_a_key() {
    let resend = Arc::new(ResendDouble::start().await);
    let folder = tempfile::tempdir().unwrap();
    let (mut repeated, mut recorded) = (0, 0);
    for round in 0..KILLS {
        // Every other time the answer is on its way to the shop when it dies.
        let mut between = Between::start(Arc::clone(&resend), round % 2 == 1).await;
        let recipient = format!("customer-{round}@example.com");
        let mut killed = shop(&folder, &between.server.url(), &recipient);
        between.answered.recv().await.expect("an answer of Resend");
        killed.kill().await.unwrap();

        let store = Sqlite::connect(&store_url(&folder)).await.unwrap();
        let row = store.emails(EmailFilter::default()).await.unwrap().remove(0);
        assert_eq!((row.to.as_str(), row.sends), (recipient.as_str(), 1));
        let dead_while_sending = row.status == EmailStatus::Pending;
        assert_eq!(row.phase, if dead_while_sending { SendPhase::Body } else { SendPhase::Ended });

        assert!(shop(&folder, &resend.url, &recipient).wait().await.unwrap().success());
        let row = store.emails(EmailFilter::default()).await.unwrap().remove(0);
        assert_eq!((row.status, row.sends), (EmailStatus::Sent, if dead_while_sending { 2 } else { 1 }));
        *(if dead_while_sending { &mut repeated } else { &mut recorded }) += 1;

        let emails = resend.emails().await;
        let to_this: Vec<_> = emails.iter().filter(|email| email["to"][0] == recipient.as_str()).collect();
        assert_eq!(to_this.len(), 1, "round {round}");
        assert_eq!(row.message_id.as_deref(), to_this[0]["id"].as_str());
    }
    assert!(repeated >= KILLS / 2, "{repeated} were repeated, {recorded} had been recorded");
    assert_eq!(resend.emails().await.len(), KILLS);
}

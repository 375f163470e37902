//! Against aiosmtpd, a server that nobody here has written. Needs the feature `real-servers`, and a Python with aiosmtpd:
//! `RIQLE_TEST_PYTHON`, else `python3`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use riqle_jobs_core::{Jobs, Memory, SendError, Sender, Worker, email::SendOutcome};
use riqle_jobs_email::{
    SmtpMailer,
    jobs::{
        SendPurchaseConfirmation, SendRefundNotification, SendWelcomeEmail, enqueue_purchase_confirmation,
        enqueue_refund_notification, enqueue_welcome_email,
    },
};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use self::support::{
    certificates::Certificates,
    outbox::{Outbox, email},
    shop::{Shop, brand},
};

/// aiosmtpd in a process of its own, which ends with the test.
struct RealServer {
    port: u16,
    emails: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// What Python's own parser finds in an email.
#[derive(Debug, Deserialize)]
struct Parsed {
    from: String,
    to: String,
    raw: String,
    subject: String,
    text: String,
    html: String,
    defects: Vec<String>,
    encrypted: bool,
}

impl RealServer {
    async fn start(arguments: &[&str]) -> Self {
        let python = std::env::var("RIQLE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail_server.py");
        let mut process = Command::new(&python)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{python} can't be started, set RIQLE_TEST_PYTHON: {error}"));
        let mut emails = BufReader::new(process.stdout.take().unwrap()).lines();
        let Some(port) = emails.next_line().await.unwrap() else {
            let mut reason = String::new();
            process.stderr.take().unwrap().read_to_string(&mut reason).await.unwrap();
            panic!("{python} runs no mail server: {}", reason.trim());
        };
        Self { port: port.parse().unwrap(), emails, _process: process }
    }

    async fn encrypted(encryption: &str, certificates: &Certificates) -> Self {
        let (certificate, key) = (certificates.file("server.pem"), certificates.file("server.key"));
        let files = ["--certificate", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
        let login = ["--user", "us@er", "--password", "s3cret/ä"];
        Self::start(&[&[encryption][..], &files, &login].concat()).await
    }

    fn url(&self, scheme: &str, certificates: &Certificates) -> String {
        let ca = certificates.file("ca.pem");
        format!("{scheme}://us%40er:s3cret%2F%C3%A4@127.0.0.1:{}?ca={}", self.port, ca.display())
    }

    async fn next(&mut self) -> Parsed {
        let line = tokio::time::timeout(Duration::from_secs(10), self.emails.next_line()).await;
        serde_json::from_str(&line.expect("an email within 10 s").unwrap().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn an_email_arrives_to_the_byte() {
    let mut server = RealServer::start(&["none"]).await;
    let outbox = Outbox::new(&format!("smtp://127.0.0.1:{}?tls=none", server.port));
    outbox.send(&email("ada@example.com")).await.unwrap();
    let (row, parsed) = (outbox.row().await, server.next().await);
    assert_eq!(parsed.raw.as_bytes(), row.message);
    assert_eq!((parsed.from.as_str(), parsed.to.as_str()), ("orders@riqle.com", "ada@example.com"));
    assert_eq!(parsed.text, "Hello\n.\n..two dots\nGrüße\n");
    assert_eq!(parsed.defects, [""; 0]);
    assert!(!parsed.encrypted);
}

#[tokio::test]
async fn both_ways_of_tls_arrive_encrypted_with_a_login() {
    let certificates = Arc::new(Certificates::of("127.0.0.1"));
    for (encryption, scheme) in [("starttls", "smtp"), ("implicit", "smtps")] {
        let mut server = RealServer::encrypted(encryption, &certificates).await;
        let outbox = Outbox::new(&server.url(scheme, &certificates));
        for address in ["ada@example.com", "bob@example.com"] {
            outbox.send(&email(address)).await.unwrap();
            let parsed = server.next().await;
            assert_eq!((parsed.to.as_str(), parsed.encrypted), (address, true));
        }
        let (outcome, sends) = outbox.try_to("unknown@example.com").await;
        assert!(
            matches!(&outcome, SendOutcome::Rejected { recipient_unknown: true, error } if error.contains("550")),
            "{outcome:?}"
        );
        assert_eq!(sends, 0);
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_certificate_of_nobody_need_somebody_to_act() {
    let certificates = Arc::new(Certificates::of("127.0.0.1"));
    let server = RealServer::encrypted("starttls", &certificates).await;
    let right = server.url("smtp", &certificates);
    for (url, line) in [
        (right.replace("s3cret", "wr0ng"), "SMTP AUTH: 535 5.7.8"),
        (right.split('?').next().unwrap().to_owned(), "invalid peer certificate: UnknownIssuer"),
    ] {
        let error = Outbox::new(&url).send(&email("ada@example.com")).await.unwrap_err();
        assert!(matches!(&error, SendError::Misconfigured { error, .. } if error.contains(line)), "{error}");
        assert!(!error.to_string().contains("wr0ng"));
    }
}

#[tokio::test]
async fn the_three_emails_arrive_whole() {
    let mut server = RealServer::start(&["none"]).await;
    let (store, shop) = (Memory::new(), Shop::open());
    let mailer = SmtpMailer::from_url(&format!("smtp://127.0.0.1:{}?tls=none", server.port)).unwrap();
    let sender = Sender::new(&store, Arc::new(mailer));
    let worker = Worker::new(&store)
        .register(SendPurchaseConfirmation::new(shop.clone(), sender.clone(), brand()))
        .register(SendRefundNotification::new(shop.clone(), sender.clone(), brand()))
        .register(SendWelcomeEmail::new(sender, brand()));
    let jobs = Jobs::new(&store);
    let address = "ada@example.com";
    enqueue_purchase_confirmation(&jobs, "order-1001", address).await.unwrap();
    enqueue_refund_notification(&jobs, "order-1001", address, Some("Größe".to_owned())).await.unwrap();
    enqueue_welcome_email(&jobs, "user-7", address, Some("Zoë".to_owned())).await.unwrap();
    worker.run_until_idle().await.unwrap();

    let mut emails = [server.next().await, server.next().await, server.next().await];
    emails.sort_by(|a, b| a.subject.cmp(&b.subject));
    let [welcome, confirmation, refund] = emails;
    assert_eq!(welcome.subject, "Welcome to Riqle");
    assert!(welcome.text.starts_with("Hello Zoë,\n") && welcome.html.contains(">Zoë</span>,"));
    assert_eq!(confirmation.subject, "Your Riqle order order-1001");
    assert!(confirmation.text.contains("\n  2 x $19.00 = $38.00\n") && confirmation.html.contains("$53.00"));
    assert_eq!(refund.subject, "Your refund of $53.00 for Riqle order order-1001");
    assert!(refund.text.contains("\nReason: Größe\n") && refund.html.contains(">Größe</span>"));
    for email in [welcome, confirmation, refund] {
        assert!(email.raw.contains("\r\nAuto-Submitted: auto-generated\r\n"));
        assert_eq!(email.defects, [""; 0]);
    }
}

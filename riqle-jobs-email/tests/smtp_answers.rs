//! Every answer that an SMTP server can give, and every way in which it can fail to: what the mailer makes of it, and
//! whether it noted before that the body may leave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{sync::Arc, time::Duration};

use riqle_jobs_core::email::{Deferral, SendOutcome};
use tokio::sync::Notify;

use self::support::{
    certificates::Certificates,
    fault_server::{Fault, FaultServer, Script, ServerEncryption},
    outbox::{Outbox, email},
};

const ADA: &str = "ada@example.com";

/// What the mailer answers, and whether the body may have left.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Accepted,
    /// Certainly not sent, and noted so.
    Retry,
    Away,
    /// Put off at no charge; the body was not sent.
    Load,
    Greylisted,
    Quota,
    Misconfigured,
    Rejected,
    RecipientUnknown,
    /// Refused after the body was sent: noted as sent once.
    RejectedAfterBody,
    RetryAfterBody,
    LoadAfterBody,
    GreylistedAfterBody,
    QuotaAfterBody,
    MisconfiguredAfterBody,
    Unknown,
}

fn seen((outcome, sends): (SendOutcome, u32)) -> Seen {
    match (&outcome, sends) {
        (SendOutcome::Accepted { .. }, 1) => Seen::Accepted,
        (SendOutcome::Away { .. }, 0) => Seen::Away,
        (SendOutcome::Retry { after: None, .. }, 0) => Seen::Retry,
        (SendOutcome::Deferred { by: Deferral::Load, .. }, 0) => Seen::Load,
        (SendOutcome::Deferred { by: Deferral::Greylisting, .. }, 0) => Seen::Greylisted,
        (SendOutcome::Deferred { by: Deferral::Quota, .. }, 0) => Seen::Quota,
        (SendOutcome::Deferred { by: Deferral::Load, .. }, 1) => Seen::LoadAfterBody,
        (SendOutcome::Deferred { by: Deferral::Greylisting, .. }, 1) => Seen::GreylistedAfterBody,
        (SendOutcome::Deferred { by: Deferral::Quota, .. }, 1) => Seen::QuotaAfterBody,
        (SendOutcome::Misconfigured { .. }, 0) => Seen::Misconfigured,
        (SendOutcome::Misconfigured { .. }, 1) => Seen::MisconfiguredAfterBody,
        (SendOutcome::Rejected { recipient_unknown: false, .. }, 0) => Seen::Rejected,
        (SendOutcome::Rejected { recipient_unknown: true, .. }, 0) => Seen::RecipientUnknown,
        (SendOutcome::Rejected { recipient_unknown: false, .. }, 1) => Seen::RejectedAfterBody,
        (SendOutcome::Retry { after: None, .. }, 1) => Seen::RetryAfterBody,
        (SendOutcome::Unknown { .. }, 1) => Seen::Unknown,
        _ => panic!("{outcome:?} with {sends} sends"),
    }
}

fn plain(server: &FaultServer) -> String {
    format!("smtp://127.0.0.1:{}?tls=none", server.port)
}

/// What comes of one email where this goes wrong, without encryption.
async fn fault(at: &'static str, fault: Fault) -> Seen {
    let hangs = matches!(fault, Fault::Hangs);
    let server = FaultServer::start(Script::new().fault(at, fault)).await;
    seen(outbox(&plain(&server), hangs).try_to(ADA).await)
}

async fn recipient(address: &str) -> Seen {
    let server = FaultServer::start(Script::new()).await;
    seen(outbox(&plain(&server), address.starts_with("hang")).try_to(address).await)
}

fn outbox(url: &str, hangs: bool) -> Outbox {
    if hangs { Outbox::impatient(url) } else { Outbox::new(url) }
}

fn encrypted_url(scheme: &str, server: &FaultServer, certificates: &Certificates) -> String {
    format!("{scheme}://127.0.0.1:{}?ca={}", server.port, certificates.file("ca.pem").display())
}

#[tokio::test]
async fn an_email_arrives_to_the_byte() {
    let server = FaultServer::start(Script::new()).await;
    let outbox = Outbox::new(&plain(&server));
    let receipt = outbox.send(&email(ADA)).await.unwrap();
    let row = outbox.row().await;

    let [received] = &server.received()[..] else { panic!("not one email") };
    assert_eq!(received.data.as_bytes(), row.message);
    assert_eq!((received.from.as_str(), received.to.as_str()), ("orders@riqle.com", ADA));
    assert_eq!(received.message_id(), row.header_message_id);
    assert_eq!((receipt.provider.as_str(), receipt.message_id), ("smtp", row.header_message_id));
    assert_eq!((row.sends, row.reply.as_deref()), (1, Some("250 2.0.0 taken as 42")));
}

#[tokio::test]
async fn no_connection_and_no_greeting_are_retried() {
    let gone = FaultServer::start(Script::new()).await;
    let url = plain(&gone);
    drop(gone);
    tokio::task::yield_now().await;
    assert_eq!(seen(Outbox::new(&url).try_to(ADA).await), Seen::Away);
    assert_eq!(fault("GREETING", Fault::Hangs).await, Seen::Away);
    assert_eq!(fault("GREETING", Fault::Cuts).await, Seen::Away);
    assert_eq!(fault("GREETING", Fault::Says("HTTP/1.1 400 Bad Request")).await, Seen::Away);
    assert_eq!(fault("EHLO", Fault::Hangs).await, Seen::Away);
    assert_eq!(fault("EHLO", Fault::Cuts).await, Seen::Away);
}

#[tokio::test]
async fn a_server_that_wants_no_mail_needs_somebody_to_act() {
    assert_eq!(fault("GREETING", Fault::Says("554 5.3.2 no mail here")).await, Seen::Misconfigured);
    assert_eq!(fault("EHLO", Fault::Says("550 5.7.1 who are you")).await, Seen::Misconfigured);
}

#[tokio::test]
async fn before_the_body_4xx_silence_and_a_cut_connection_are_retried() {
    for at in ["MAIL", "RCPT", "DATA"] {
        assert_eq!(fault(at, Fault::Says("452 4.3.1 not now")).await, Seen::Retry, "{at}");
        assert_eq!(fault(at, Fault::Hangs).await, Seen::Away, "{at}");
        assert_eq!(fault(at, Fault::Cuts).await, Seen::Away, "{at}");
    }
}

#[tokio::test]
async fn an_answer_out_of_turn_is_retried() {
    assert_eq!(fault("DATA", Fault::Says("250 2.0.0 ok")).await, Seen::Away);
    assert_eq!(fault("RCPT", Fault::Says("354 go on")).await, Seen::Away);
    assert_eq!(fault("MAIL", Fault::Says("999")).await, Seen::Away);
}

#[tokio::test]
async fn a_server_under_load_puts_off_at_no_charge() {
    for (at, says) in [
        ("GREETING", "421 4.3.2 too busy"),
        ("EHLO", "421 too many connections"),
        ("MAIL", "421 4.3.2 closing"),
        ("MAIL", "451 4.7.500 Server busy"),
        ("RCPT", "450 4.7.1 Error: too much mail from 192.0.2.1"),
        ("DATA", "421 4.3.2 closing"),
    ] {
        assert_eq!(fault(at, Fault::Says(says)).await, Seen::Load, "{at} {says}");
    }
    let throttled = Fault::Says("454 Throttling failure: Maximum sending rate exceeded.");
    assert_eq!(fault("BODY", throttled).await, Seen::LoadAfterBody);
}

#[tokio::test]
async fn a_connection_that_is_closed_while_another_is_being_opened_is_one_too_many() {
    let greets = Arc::new(Notify::new());
    let script = Script::new().fault("GREETING", Fault::Waits(Arc::clone(&greets)));
    let server =
        FaultServer::start(Script { most_connections: Some(1), ..script.fault("TOO MANY", Fault::Cuts) })
            .await;
    let outbox = Outbox::new(&plain(&server));
    let send = |recipient: &'static str| {
        let outbox = outbox.clone();
        tokio::spawn(async move { outbox.send(&email(recipient)).await })
    };
    let first = send(ADA);
    while server.connections() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = send("bob@example.com");
    while server.connections() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Time to see that it was closed.
    tokio::time::sleep(Duration::from_millis(50)).await;
    greets.notify_one();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn greylisting_puts_off_at_no_charge() {
    assert_eq!(recipient("greylist@example.com").await, Seen::Greylisted);
    assert_eq!(fault("RCPT", Fault::Says("450 4.2.0 come again")).await, Seen::Greylisted);
    assert_eq!(fault("RCPT", Fault::Says("451 come again")).await, Seen::Greylisted);
    assert_eq!(fault("DATA", Fault::Says("451 4.7.1 greylisted")).await, Seen::Greylisted);
    assert_eq!(fault("BODY", Fault::Says("451 4.7.1 greylisted")).await, Seen::GreylistedAfterBody);
    // Everything else follows the policy of the job.
    assert_eq!(fault("MAIL", Fault::Says("451 4.7.1 later")).await, Seen::Retry);
    assert_eq!(fault("RCPT", Fault::Says("451 4.3.0 later")).await, Seen::Retry);
    assert_eq!(fault("RCPT", Fault::Says("450 4.1.1 unverified address")).await, Seen::Retry);
    assert_eq!(fault("RCPT", Fault::Says("452 4.2.2 mailbox full")).await, Seen::Retry);
}

#[tokio::test]
async fn a_quota_of_the_account_puts_off_and_a_mailbox_that_is_full_does_not() {
    assert_eq!(fault("MAIL", Fault::Says("550 5.4.5 Daily sending quota exceeded")).await, Seen::Quota);
    assert_eq!(fault("RCPT", Fault::Says("550 5.4.5 Daily user sending limit exceeded")).await, Seen::Quota);
    let daily = Fault::Says("454 Throttling failure: Daily message quota exceeded.");
    assert_eq!(fault("BODY", daily).await, Seen::QuotaAfterBody);
    assert_eq!(fault("RCPT", Fault::Says("552 5.2.2 mailbox over quota")).await, Seen::Rejected);
}

#[tokio::test]
async fn refused_recipients_and_contents_are_rejected() {
    assert_eq!(recipient("unknown@example.com").await, Seen::RecipientUnknown);
    assert_eq!(recipient("refused@example.com").await, Seen::Rejected);
    assert_eq!(fault("RCPT", Fault::Says("551 not local")).await, Seen::RecipientUnknown);
    assert_eq!(fault("RCPT", Fault::Says("553 5.1.3 bad name")).await, Seen::RecipientUnknown);
    assert_eq!(fault("RCPT", Fault::Says("550 5.7.1 blocked")).await, Seen::Rejected);
    assert_eq!(fault("RCPT", Fault::Says("552 5.2.2 full")).await, Seen::Rejected);
    assert_eq!(fault("MAIL", Fault::Says("552 5.3.4 too big")).await, Seen::Rejected);
    assert_eq!(fault("DATA", Fault::Says("554 5.7.1 no")).await, Seen::Rejected);
    assert_eq!(fault("BODY", Fault::Says("554 5.7.1 spam")).await, Seen::RejectedAfterBody);
    assert_eq!(fault("BODY", Fault::Says("550 content refused")).await, Seen::RejectedAfterBody);
}

#[tokio::test]
async fn a_refused_sender_needs_somebody_to_act() {
    assert_eq!(fault("MAIL", Fault::Says("530 5.7.0 log in first")).await, Seen::Misconfigured);
    assert_eq!(fault("MAIL", Fault::Says("550 not your domain")).await, Seen::Misconfigured);
    assert_eq!(fault("RCPT", Fault::Says("530 5.7.0 log in first")).await, Seen::Misconfigured);
    assert_eq!(fault("MAIL", Fault::Says("550 5.7.1 blocked")).await, Seen::Misconfigured);
    assert_eq!(fault("RCPT", Fault::Says("454 4.7.1 Relay access denied")).await, Seen::Misconfigured);
    assert_eq!(fault("RCPT", Fault::Says("550 5.7.1 relaying denied")).await, Seen::Misconfigured);
    let not_owned = Fault::Says("553 5.7.1 <o@riqle.com>: Sender address rejected: not owned by user shop");
    assert_eq!(fault("RCPT", not_owned).await, Seen::Misconfigured);
    assert_eq!(fault("RCPT", Fault::Says("550 5.1.8 bad sender's domain")).await, Seen::Misconfigured);
    let unverified = Fault::Says("554 Message rejected: Email address is not verified.");
    assert_eq!(fault("BODY", unverified).await, Seen::MisconfiguredAfterBody);
    let unauthenticated = Fault::Says("550 5.7.26 This mail is unauthenticated");
    assert_eq!(fault("BODY", unauthenticated).await, Seen::MisconfiguredAfterBody);
}

#[tokio::test]
async fn from_the_first_byte_of_the_body_to_the_final_reply_the_outcome_is_unknown() {
    for address in ["cut-1@example.com", "cut-100@example.com", "drop-reply@example.com", "hang@example.com"]
    {
        assert_eq!(recipient(address).await, Seen::Unknown, "{address}");
    }
    assert_eq!(fault("BODY", Fault::Says("what a nice email")).await, Seen::Unknown);
    assert_eq!(fault("BODY", Fault::Says("354 more")).await, Seen::Unknown);
}

#[tokio::test]
async fn a_final_4xx_is_certainly_not_sent() {
    assert_eq!(fault("BODY", Fault::Says("452 4.3.1 disk full")).await, Seen::RetryAfterBody);
    assert_eq!(fault("BODY", Fault::Says("421 4.3.0 closing")).await, Seen::RetryAfterBody);
}

/// 13,500 lines kept a thread for seven seconds.
#[tokio::test]
async fn a_reply_without_end_is_an_error_and_one_that_is_not_ascii_is_read_by_its_code() {
    let endless: &'static str =
        Box::leak(format!("{}250 ok", "250-feature\r\n".repeat(13_500)).into_boxed_str());
    assert_eq!(fault("EHLO", Fault::Says(endless)).await, Seen::Away);
    assert_eq!(fault("BODY", Fault::Says(endless)).await, Seen::Unknown);

    let server =
        FaultServer::start(Script::new().fault("BODY", Fault::SaysBytes(b"250 gr\xfc\xdfe\r\n"))).await;
    let outbox = Outbox::new(&plain(&server));
    assert_eq!(seen(outbox.try_to(ADA).await), Seen::Accepted);
    assert_eq!(outbox.row().await.reply.as_deref(), Some("250 gr\u{fffd}\u{fffd}e"));
}

#[tokio::test]
async fn a_server_that_answers_twice_is_not_believed_and_its_connection_not_kept() {
    for at in ["EHLO", "MAIL", "RCPT", "DATA"] {
        let twice = if at == "DATA" { "354 go\r\n354 go" } else { "250 ok\r\n250 ok" };
        assert_eq!(fault(at, Fault::Says(twice)).await, Seen::Away, "{at}");
    }
    let server = FaultServer::start(Script::new().fault("BODY", Fault::Says("250 ok\r\n250 ok"))).await;
    let outbox = Outbox::new(&plain(&server));
    assert_eq!(seen(outbox.try_to("a@example.com").await), Seen::Accepted);
    assert_eq!(seen(outbox.try_to("unknown@example.com").await), Seen::RecipientUnknown);
    assert_eq!(server.connections(), 2);
}

/// Each row of the mailer's documentation, in a conversation.
#[tokio::test]
async fn what_servers_answer_is_taken_for_what_the_documentation_says() {
    let rows: Vec<Vec<&str>> = include_str!("../src/smtp/answers.md")
        .lines()
        .filter(|line| line.contains(" | `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let [_, at, answer, expected, charged] = row[..] else { panic!("{row:?}") };
        let (answer, is_body) = (answer.trim_matches('`').to_owned(), at == "body");
        let at: &'static str = Box::leak(at.to_ascii_uppercase().into_boxed_str());
        let script =
            Script::new().login("user", "s3cret").fault(at, Fault::Says(Box::leak(answer.into_boxed_str())));
        let server = FaultServer::start(script).await;
        let url = format!("smtp://user:s3cret@127.0.0.1:{}?tls=none", server.port);
        let (seen, error) = match seen(Outbox::new(&url).try_to(ADA).await) {
            Seen::Load | Seen::LoadAfterBody => ("`Deferred`, load", "nothing"),
            Seen::Greylisted | Seen::GreylistedAfterBody => ("`Deferred`, greylisting", "nothing"),
            Seen::Quota | Seen::QuotaAfterBody => ("`Deferred`, quota", "nothing"),
            Seen::Misconfigured | Seen::MisconfiguredAfterBody => ("`Misconfigured`", "nothing"),
            Seen::Retry | Seen::RetryAfterBody => ("`Retry`", "the run"),
            Seen::RecipientUnknown => ("`Rejected`, recipient unknown", "the email"),
            Seen::Rejected | Seen::RejectedAfterBody => ("`Rejected`", "the email"),
            other => panic!("{other:?} for {row:?}"),
        };
        assert_eq!((seen, error), (expected, charged), "{row:?}");
        assert_eq!(server.received().len(), usize::from(is_body), "{row:?}");
    }
}

#[tokio::test]
async fn passwords_are_told_by_plain_and_by_login() {
    for mechanisms in ["PLAIN", "LOGIN", "CRAM-MD5 LOGIN PLAIN"] {
        let mut script = Script::new().login("us@er", "s3cret/ä");
        script.mechanisms = Some(mechanisms);
        let server = FaultServer::start(script).await;
        let url = format!("smtp://us%40er:s3cret%2F%C3%A4@127.0.0.1:{}?tls=none", server.port);
        assert_eq!(seen(Outbox::new(&url).try_to(ADA).await), Seen::Accepted, "{mechanisms}");
    }
}

#[tokio::test]
async fn without_a_way_to_log_in_somebody_needs_to_act_and_no_secret_is_told() {
    let quoting = Fault::Says("535 5.7.8 s3cret is wrong, AHVzZXIAczNjcmV0 too");
    for (script, expected) in [
        (Script::new().login("user", "other"), Seen::Misconfigured),
        (Script::new().login("user", "s3cret").fault("AUTH", quoting), Seen::Misconfigured),
        (
            Script::new().login("user", "s3cret").fault("AUTH", Fault::Says("534 5.7.9 too weak")),
            Seen::Misconfigured,
        ),
        (Script::new().login("user", "s3cret").fault("AUTH", Fault::Says("454 4.7.0 not now")), Seen::Retry),
        (Script::new().login("user", "s3cret").fault("AUTH", Fault::Says("334 !!!")), Seen::Away),
        (Script::new().login("user", "s3cret").fault("AUTH", Fault::Hangs), Seen::Away),
        (Script::new().login("user", "s3cret").fault("AUTH", Fault::Cuts), Seen::Away),
        (Script::new(), Seen::Misconfigured),
        (
            Script { mechanisms: Some("CRAM-MD5"), ..Script::new().login("user", "s3cret") },
            Seen::Misconfigured,
        ),
    ] {
        let hangs = script.faults.values().any(|fault| matches!(fault, Fault::Hangs));
        let server = FaultServer::start(script).await;
        let url = format!("smtp://user:s3cret@127.0.0.1:{}?tls=none", server.port);
        let outbox = outbox(&url, hangs);
        let answer = outbox.try_to(ADA).await;
        let row = outbox.row().await;
        let told = format!("{answer:?} {row:?}");
        assert!(!told.contains("s3cret") && !told.contains("AHVzZXIA"), "{told}");
        assert!(row.error.as_ref().is_some_and(|error| error.starts_with("SMTP AUTH: ")), "{:?}", row.error);
        assert_eq!(seen(answer), expected);
    }
}

#[tokio::test]
async fn both_ways_of_tls_arrive_encrypted() {
    let certificates = Arc::new(Certificates::of("127.0.0.1"));
    for (scheme, encryption) in [("smtp", ServerEncryption::StartTls), ("smtps", ServerEncryption::Implicit)]
    {
        let script = Script::new().encrypted(encryption, &certificates).login("user", "s3cret");
        let server = FaultServer::start(script).await;
        let url = encrypted_url(scheme, &server, &certificates).replace("//", "//user:s3cret@");
        let outbox = Outbox::new(&url);
        for number in 0..2 {
            let address = format!("user-{number}@example.com");
            assert_eq!(seen(outbox.try_to(&address).await), Seen::Accepted, "{scheme}");
        }
        assert!(server.received().iter().all(|email| email.encrypted));
        assert_eq!((server.received().len(), server.connections()), (2, 1));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_needs_somebody_to_act() {
    let certificates = Arc::new(Certificates::of("127.0.0.1"));
    let elsewhere = Arc::new(Certificates::of("mail.example.com"));
    for (scheme, encryption) in [("smtp", ServerEncryption::StartTls), ("smtps", ServerEncryption::Implicit)]
    {
        let server = FaultServer::start(Script::new().encrypted(encryption, &certificates)).await;
        let outbox = Outbox::new(&format!("{scheme}://127.0.0.1:{}", server.port));
        assert_eq!(seen(outbox.try_to(ADA).await), Seen::Misconfigured);
        let error = outbox.row().await.error.unwrap();
        assert!(error.contains("invalid peer certificate: UnknownIssuer"), "{error}");

        let server = FaultServer::start(Script::new().encrypted(encryption, &elsewhere)).await;
        let outbox = Outbox::new(&encrypted_url(scheme, &server, &elsewhere));
        assert_eq!(seen(outbox.try_to(ADA).await), Seen::Misconfigured);
        let error = outbox.row().await.error.unwrap();
        assert!(error.contains("certificate not valid for name"), "{error}");
    }
}

#[tokio::test]
async fn tls_that_is_not_there_needs_somebody_to_act() {
    let certificates = Arc::new(Certificates::of("127.0.0.1"));
    let server = FaultServer::start(Script::new()).await;
    for scheme in ["smtp", "smtps"] {
        let outbox = Outbox::new(&encrypted_url(scheme, &server, &certificates));
        assert_eq!(seen(outbox.try_to(ADA).await), Seen::Misconfigured, "{scheme}");
    }
    let refuses = Script::new()
        .encrypted(ServerEncryption::StartTls, &certificates)
        .fault("STARTTLS", Fault::Says("502 5.5.1 not any more"));
    let server = FaultServer::start(refuses).await;
    let outbox = Outbox::new(&encrypted_url("smtp", &server, &certificates));
    assert_eq!(seen(outbox.try_to(ADA).await), Seen::Misconfigured);
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_retried() {
    let certificates = Arc::new(Certificates::of("127.0.0.1"));
    for (scheme, encryption) in [("smtp", ServerEncryption::StartTls), ("smtps", ServerEncryption::Implicit)]
    {
        for fault in [Fault::Cuts, Fault::Hangs] {
            let hangs = matches!(fault, Fault::Hangs);
            let script = Script::new().encrypted(encryption, &certificates).fault("TLS", fault);
            let server = FaultServer::start(script).await;
            let outbox = outbox(&encrypted_url(scheme, &server, &certificates), hangs);
            assert_eq!(seen(outbox.try_to(ADA).await), Seen::Away, "{scheme}");
        }
    }
    let script = Script::new()
        .encrypted(ServerEncryption::StartTls, &certificates)
        .fault("STARTTLS", Fault::Says("454 4.7.0 not now"));
    let server = FaultServer::start(script).await;
    let outbox = Outbox::new(&encrypted_url("smtp", &server, &certificates));
    assert_eq!(seen(outbox.try_to(ADA).await), Seen::Retry);
}

/// What somebody on the way puts behind the answer to STARTTLS must not count as said in private.
#[tokio::test]
async fn answers_injected_before_tls_are_not_believed() {
    let certificates = Arc::new(Certificates::of("127.0.0.1"));
    let script = Script::new().encrypted(ServerEncryption::StartTls, &certificates).fault(
        "TLS",
        Fault::Says("250-evil.test\r\n250 AUTH PLAIN\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken"),
    );
    let server = FaultServer::start(script).await;
    let outbox = Outbox::new(&encrypted_url("smtp", &server, &certificates));
    assert_eq!(seen(outbox.try_to(ADA).await), Seen::Misconfigured);
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn one_connection_carries_many_emails_also_after_a_refused_one() {
    let server = FaultServer::start(Script::new()).await;
    let outbox = Outbox::new(&plain(&server));
    assert_eq!(seen(outbox.try_to("a@example.com").await), Seen::Accepted);
    assert_eq!(seen(outbox.try_to("unknown@example.com").await), Seen::RecipientUnknown);
    assert_eq!(seen(outbox.try_to("b@example.com").await), Seen::Accepted);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_idle_connection_that_has_gone_is_replaced_unseen() {
    for fault in [Fault::Cuts, Fault::Says("421 4.4.2 idle for too long"), Fault::Hangs] {
        let server = FaultServer::start(Script::new()).await;
        let outbox = Outbox::new(&plain(&server));
        assert_eq!(seen(outbox.try_to("a@example.com").await), Seen::Accepted);
        server.change(|script| _ = script.faults.insert("RSET", fault));
        assert_eq!(seen(outbox.try_to("b@example.com").await), Seen::Accepted);
        assert_eq!((server.connections(), server.received().len()), (2, 2));
    }
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_an_unknown_outcome() {
    let server = FaultServer::start(Script::new()).await;
    let outbox = Outbox::impatient(&plain(&server));
    assert_eq!(seen(outbox.try_to("hang@example.com").await), Seen::Unknown);
    assert_eq!(seen(outbox.try_to("b@example.com").await), Seen::Accepted);
    assert_eq!(server.connections(), 2);
}

//! Every answer that Resend can give, and every way in which it can fail to: what the mailer makes of it, and whether it
//! noted before that the body may leave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use riqle_jobs_core::{
    Email, EmailLog, Mailbox, Mailer, Memory, SendError,
    email::{Deferral, EmailDetail, EmailStatus, OnUnknown, SendOutcome},
};
use riqle_jobs_email::{ResendMailer, ResendTimeouts};

use self::support::{
    certificates::Certificates,
    http_server::{HttpAnswer, HttpServer},
    outbox::{Outbox, email},
};

const ADA: &str = "ada@example.com";
const KEY: &str = "re_s3cret";

/// What becomes of an email, and how often its body may have left.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Accepted,
    /// With the seconds after which the provider wants to see it again.
    Retry(Option<u64>),
    Away,
    /// Put off at no charge, likewise.
    Load(Option<u64>),
    Quota(Option<u64>),
    Misconfigured,
    Rejected,
    Unknown,
}

fn seen(outcome: &SendOutcome) -> Seen {
    match outcome {
        SendOutcome::Accepted { .. } => Seen::Accepted,
        SendOutcome::Away { .. } => Seen::Away,
        SendOutcome::Retry { after, .. } => Seen::Retry(after.map(|after| after.as_secs())),
        SendOutcome::Deferred { by: Deferral::Load, after, .. } => {
            Seen::Load(after.map(|after| after.as_secs()))
        }
        SendOutcome::Deferred { by: Deferral::Quota, after, .. } => {
            Seen::Quota(after.map(|after| after.as_secs()))
        }
        SendOutcome::Deferred { .. } => panic!("Resend does not greylist"),
        SendOutcome::Misconfigured { .. } => Seen::Misconfigured,
        SendOutcome::Rejected { recipient_unknown: false, .. } => Seen::Rejected,
        SendOutcome::Rejected { .. } => panic!("Resend does not say so"),
        SendOutcome::Unknown { .. } => Seen::Unknown,
    }
}

fn mailer(url: &str) -> ResendMailer {
    ResendMailer::new(KEY).unwrap().base_url(url).unwrap()
}

fn waiting(url: &str, total: Duration, turn: Duration) -> ResendMailer {
    mailer(url).timeouts(ResendTimeouts { total, turn, ..ResendTimeouts::default() }).unwrap()
}

fn outbox(url: &str) -> Outbox {
    Outbox::with(&Memory::new(), mailer(url))
}

fn says(status: u16, name: &str) -> HttpAnswer {
    HttpAnswer::error(status, name)
}

/// What comes of one email to a server that answers so.
async fn answered(answer: HttpAnswer) -> (Seen, u32, String) {
    let server = HttpServer::start([answer]).await;
    let outbox =
        Outbox::with(&Memory::new(), waiting(&server.url(), Duration::from_secs(1), Duration::from_secs(60)));
    let (outcome, sends) = outbox.try_to(ADA).await;
    let line = format!("{outcome:?} {:?}", outbox.row().await);
    assert!(!line.contains(KEY), "{line}");
    (seen(&outcome), sends, line)
}

#[tokio::test]
async fn an_email_arrives_to_the_byte_under_its_key() {
    let server = HttpServer::start([]).await;
    let outbox = outbox(&server.url());
    let receipt = outbox.send(&email(ADA)).await.unwrap();
    let (row, requests) = (outbox.row().await, server.requests());
    let [request] = &requests[..] else { panic!("not one request") };
    assert_eq!((request.line.as_str(), &request.body), ("POST /emails", &row.message));
    assert_eq!(request.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.headers["user-agent"].starts_with("riqle-jobs/"));
    assert!(!request.headers.contains_key("transfer-encoding"));
    assert_eq!((receipt.provider.as_str(), row.provider.as_str()), ("resend", "resend"));
    assert_eq!(receipt.message_id, format!("id of {}", request.key()));
    assert_eq!((row.status, row.sends), (EmailStatus::Sent, 1));
}

#[tokio::test]
async fn a_key_that_no_header_can_hold_is_hashed_the_same_each_time() {
    let server = HttpServer::start([]).await;
    for key in ["Grüße an Ada", "Grüße an Ada", "note\u{a0}2", "plain-1"] {
        let outbox = outbox(&server.url());
        outbox.send(&email(ADA).idempotency_key(key)).await.unwrap();
    }
    let keys: Vec<String> = server.requests().iter().map(|request| request.key().to_owned()).collect();
    assert!(keys.iter().all(|key| key.is_ascii() && key.len() <= 256), "{keys:?}");
    assert!(keys[0] == keys[1] && keys[1] != keys[2] && keys[3] == "plain-1", "{keys:?}");
}

#[tokio::test]
async fn a_refusal_of_the_email_is_final() {
    for (status, name) in [
        (400, "validation_error"),
        (400, "invalid_idempotency_key"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "payload_too_large"),
        (422, "missing_required_field"),
        (422, "a_name_of_tomorrow"),
    ] {
        let (seen, sends, line) = answered(says(status, name)).await;
        assert_eq!((seen, sends), (Seen::Rejected, 1), "{status} {name}");
        assert!(line.contains(&format!("Resend: {status}: {name}: About {name}")), "{line}");
    }
}

#[tokio::test]
async fn a_key_a_domain_a_plan_or_a_quota_needs_somebody_to_act() {
    for (status, name) in [
        (401, "missing_api_key"),
        (401, "restricted_api_key"),
        (401, "validation_error"),
        (402, "payment_required"),
        (403, "invalid_api_key"),
        (403, "validation_error"),
        (403, "suspended_api_key"),
        (422, "invalid_from_address"),
        (451, "security_error"),
    ] {
        let (seen, _, line) = answered(says(status, name)).await;
        assert_eq!(seen, Seen::Misconfigured, "{status} {name}");
        assert!(line.contains(name), "{line}");
    }
    let no_key = r#"{"statusCode":400,"name":"validation_error","message":"API key is invalid"}"#;
    assert_eq!(answered(HttpAnswer::new(400, &[], no_key)).await.0, Seen::Misconfigured);
    // What answers so is not Resend.
    assert_eq!(answered(HttpAnswer::new(404, &[], "<html>not found</html>")).await.0, Seen::Misconfigured);
    let elsewhere = [("location", "https://www.example.com/emails")];
    assert_eq!(answered(HttpAnswer::new(308, &elsewhere, "")).await.0, Seen::Misconfigured);
}

#[tokio::test]
async fn a_quota_that_is_used_up_puts_off_at_no_charge() {
    assert_eq!(answered(says(429, "daily_quota_exceeded")).await.0, Seen::Quota(None));
    let monthly = HttpAnswer::error_with(429, "monthly_quota_exceeded", &[("retry-after", "7200")]);
    assert_eq!(answered(monthly).await.0, Seen::Quota(Some(7_200)));
}

#[tokio::test]
async fn a_refusal_for_the_rate_comes_back_when_the_provider_wants_it() {
    let rate = |headers: &[(&str, &str)]| HttpAnswer::error_with(429, "rate_limit_exceeded", headers);
    let date = [("date", "Wed, 21 Oct 2026 07:28:00 GMT"), ("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT")];
    for (answer, after) in [
        (rate(&[]), None),
        (rate(&[("retry-after", "3"), ("ratelimit-reset", "1")]), Some(3)),
        (rate(&[("ratelimit-reset", "2")]), Some(2)),
        (rate(&date), Some(9)),
        (HttpAnswer::new(429, &[("retry-after", "5")], "<html>slow down</html>"), Some(5)),
    ] {
        let (seen, _, line) = answered(answer).await;
        assert_eq!(seen, Seen::Load(after), "{line}");
    }
    for (answer, after) in [
        (says(409, "concurrent_idempotent_requests"), None),
        (HttpAnswer::error_with(409, "concurrent_idempotent_requests", &[("retry-after", "4")]), Some(4)),
        (says(409, "resource_locked"), None),
    ] {
        let (seen, _, line) = answered(answer).await;
        assert_eq!(seen, Seen::Retry(after), "{line}");
    }
}

#[tokio::test]
async fn whatever_may_have_been_sent_is_unknown() {
    for answer in [
        says(409, "invalid_idempotent_request"),
        HttpAnswer::new(409, &[], ""),
        says(408, "request_timeout"),
        says(500, "application_error"),
        HttpAnswer::new(502, &[("content-type", "text/html")], "<html>502 Bad Gateway</html>"),
        says(503, "service_unavailable"),
        HttpAnswer::new(504, &[], ""),
        HttpAnswer::new(200, &[], ""),
        HttpAnswer::new(200, &[], "{}"),
        HttpAnswer::new(200, &[], r#"{"id":""}"#),
        HttpAnswer::new(200, &[], "<html>a captive portal</html>"),
        HttpAnswer::new(200, &[], &"x".repeat(200_000)),
        HttpAnswer::Says("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":".to_owned()),
        HttpAnswer::Says("SSH-2.0-OpenSSH_9.6\r\n".to_owned()),
        HttpAnswer::Cuts,
        HttpAnswer::CutsTheBody,
        HttpAnswer::Hangs,
    ] {
        let (seen, sends, line) = answered(answer).await;
        assert_eq!((seen, sends), (Seen::Unknown, 1), "{line}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let closed = {
        let server = HttpServer::start([]).await;
        server.url()
    };
    for url in [closed.as_str(), "http://no-such-host.invalid"] {
        let (outcome, sends) = outbox(url).try_to(ADA).await;
        assert_eq!((seen(&outcome), sends), (Seen::Away, 0), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_key_that_an_answer_quotes_is_not_repeated() {
    let quoting = format!(r#"{{"name":"validation_error","message":"no such key: {KEY}"}}"#);
    let (seen, _, line) = answered(HttpAnswer::new(403, &[], &quoting)).await;
    assert_eq!(seen, Seen::Misconfigured);
    assert!(line.contains("no such key: ***"), "{line}");
    assert!(!format!("{:?}", mailer("https://example.com")).contains(KEY));
}

#[tokio::test]
async fn after_a_lost_answer_the_same_bytes_go_out_under_the_same_key() {
    let server = HttpServer::start([HttpAnswer::Cuts, says(503, "service_unavailable")]).await;
    let outbox = outbox(&server.url());
    for _ in 0..2 {
        let error = outbox.send(&email(ADA)).await.unwrap_err();
        assert!(matches!(error, SendError::Unknown(_)), "{error}");
    }
    let mut deployed = email(ADA);
    deployed.subject = "Another subject".to_owned();
    outbox.send(&deployed).await.unwrap();
    let requests = server.requests();
    let [first, second, third] = &requests[..] else { panic!("not three requests") };
    assert!(first.body == second.body && second.body == third.body);
    assert!(first.key() == second.key() && second.key() == third.key());
    assert_eq!((outbox.row().await.status, outbox.row().await.sends), (EmailStatus::Sent, 3));
}

#[tokio::test]
async fn after_a_crash_even_an_email_to_be_held_goes_out_again_since_resend_drops_the_repeat() {
    let server = HttpServer::start([HttpAnswer::Hangs]).await;
    let store = Memory::new();
    let process = tokio::spawn({
        let outbox = Outbox::with(&store, mailer(&server.url()));
        async move { outbox.send(&email(ADA).on_unknown(OnUnknown::Hold)).await }
    });
    server.has_read(1).await;
    process.abort();
    assert!(process.await.unwrap_err().is_cancelled());

    let outbox = Outbox::with(&store, mailer(&server.url()));
    outbox.send(&email(ADA).on_unknown(OnUnknown::Hold)).await.unwrap();
    let requests = server.requests();
    assert!(requests.len() == 2 && requests[0].key() == requests[1].key());
    assert_eq!(requests[0].body, requests[1].body);
}

#[tokio::test]
async fn a_key_used_for_another_email_is_never_replaced() {
    let answers = [says(409, "invalid_idempotent_request"), says(409, "invalid_idempotent_request")];
    let server = HttpServer::start(answers).await;
    let outbox = outbox(&server.url());
    for _ in 0..2 {
        outbox.send(&email(ADA)).await.unwrap_err();
    }
    let row = outbox.row().await;
    assert_eq!((row.status, row.detail), (EmailStatus::Pending, EmailDetail::Unknown));
    let requests = server.requests();
    assert!(requests.len() == 2 && requests[0].key() == requests[1].key());
}

#[tokio::test]
async fn a_log_that_does_not_let_the_email_out_keeps_its_body_back() {
    // Another sender has taken the email over while this one was about to send.
    let server = HttpServer::start([]).await;
    let store = Memory::new();
    let overtaken = Outbox::with(&store, Overtaken(store.clone(), mailer(&server.url())));
    let error = overtaken.send(&email(ADA)).await.unwrap_err();
    assert!(matches!(&error, SendError::Log(_) | SendError::Retry { .. }), "{error}");
    assert_eq!((server.requests().len(), overtaken.row().await.sends), (0, 0));
}

/// Sends over a mailer, after another sender has taken the row.
struct Overtaken(Memory, ResendMailer);

#[riqle_jobs_core::async_trait]
impl Mailer for Overtaken {
    fn provider(&self) -> &'static str {
        self.1.provider()
    }

    fn compose(
        &self,
        email: &riqle_jobs_core::Email,
        identity: &riqle_jobs_core::email::MessageIdentity,
    ) -> Result<Vec<u8>, riqle_jobs_core::Error> {
        self.1.compose(email, identity)
    }

    fn repeat_is_safe_for(&self) -> Duration {
        self.1.repeat_is_safe_for()
    }

    async fn send(
        &self,
        message: &riqle_jobs_core::email::OutgoingMessage,
        transmission: &riqle_jobs_core::email::Transmission,
    ) -> SendOutcome {
        let row = self.0.emails(Default::default()).await.unwrap().remove(0);
        let start = riqle_jobs_core::email::EmailStart {
            sender: uuid::Uuid::new_v4(),
            run_id: None,
            attempt: 1,
            rendered: None,
            longest_send: Duration::ZERO,
        };
        self.0.start_email(row.id, start).await.unwrap();
        let outcome = self.1.send(message, transmission).await;
        assert!(matches!(outcome, SendOutcome::Retry { .. }), "{outcome:?}");
        outcome
    }
}

#[tokio::test]
async fn emails_beyond_the_rate_limit_wait_for_their_turn() {
    let limit = [("ratelimit-limit", "2"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "1")];
    let server = HttpServer::start([HttpAnswer::new(200, &limit, r#"{"id":"1"}"#)]).await;
    let outbox = outbox(&server.url());
    outbox.send(&email(ADA)).await.unwrap();
    let start = Instant::now();
    outbox.send(&email("bob@example.com")).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn an_email_whose_turn_is_too_far_off_comes_back_later_unsent() {
    let limit = [("ratelimit-limit", "2"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "30")];
    let server = HttpServer::start([HttpAnswer::new(200, &limit, r#"{"id":"1"}"#)]).await;
    let second = Duration::from_secs(1);
    let outbox = Outbox::with(&Memory::new(), waiting(&server.url(), 20 * second, second));
    outbox.send(&email(ADA)).await.unwrap();
    let error = outbox.send(&email("bob@example.com")).await.unwrap_err();
    let SendError::Deferred { after: Some(after), .. } = error else { panic!("{error}") };
    assert!((25..=30).contains(&after.as_secs()), "{after:?}");
    assert_eq!((server.requests().len(), outbox.row().await.sends), (1, 0));
}

#[tokio::test]
async fn tls_trusts_a_root_that_is_given_and_no_other() {
    let ours = Arc::new(Certificates::of("127.0.0.1"));
    let server = HttpServer::encrypted(&ours).await;
    let pem = std::fs::read_to_string(ours.file("ca.pem")).unwrap();
    let trusting = || mailer(&server.url()).root_certificate(&pem).unwrap();
    Outbox::with(&Memory::new(), trusting()).send(&email(ADA)).await.unwrap();
    assert_eq!(server.requests().len(), 1);

    let other_host = HttpServer::encrypted(&Arc::new(Certificates::of("mail.example.com"))).await;
    let plain = HttpServer::start([]).await;
    let plain = plain.url().replace("http:", "https:");
    for untrusted in [mailer(&server.url()), trusting().base_url(&other_host.url()).unwrap(), mailer(&plain)]
    {
        let (outcome, sends) = Outbox::with(&Memory::new(), untrusted).try_to(ADA).await;
        assert_eq!((seen(&outcome), sends), (Seen::Misconfigured, 0), "{outcome:?}");
        assert!(format!("{outcome:?}").contains("no secure connection"), "{outcome:?}");
    }
    assert_eq!(server.requests().len(), 1);
}

/// Resend answers a key that comes with other bytes with 409 for a day.
#[tokio::test]
async fn what_is_rendered_again_after_a_refusal_goes_under_a_key_of_its_own() {
    let server = HttpServer::start([says(422, "validation_error")]).await;
    let outbox = outbox(&server.url());
    let note = email(ADA).idempotency_key("note-1");
    outbox.send(&note).await.unwrap_err();
    let corrected = Email { from: Mailbox::parse("Riqle <shop@riqle.com>").unwrap(), ..note };
    outbox.send(&corrected).await.unwrap();

    let row = outbox.row().await;
    let requests = server.requests();
    assert_eq!(requests[0].key(), row.idempotency_key);
    assert_eq!(requests[1].key(), format!("{}-1", row.idempotency_key));
    assert_eq!(requests[1].json()["from"], "Riqle <shop@riqle.com>");
    let told = outbox.store.email_events(row.id).await.unwrap().remove(0).text.unwrap();
    for shown in ["Riqle <orders@riqle.com>", "Riqle <shop@riqle.com>", requests[1].key()] {
        assert!(told.contains(shown), "{told}");
    }
}

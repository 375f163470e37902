//! What the doctor says of SMTP servers and Resend accounts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use riqle_jobs_core::{Error, Mailbox, async_trait};
use riqle_jobs_email::{
    ResendMailer, SmtpMailer,
    doctor::{Doctor, Level, Report, Resolver},
};

use self::support::{
    certificates::Certificates,
    fault_server::{Fault, FaultServer, Script, ServerEncryption},
    http_server::{HttpAnswer, HttpServer},
};

/// DNS in which every name has every record.
struct Everything;

#[async_trait]
impl Resolver for Everything {
    async fn txt(&self, name: &str) -> Result<Vec<String>, Error> {
        let text = if name.starts_with("_dmarc.") {
            "v=DMARC1; p=reject"
        } else if name.contains("._domainkey.") {
            "v=DKIM1; p=MIIB"
        } else {
            "v=spf1 mx -all"
        };
        Ok(vec![text.to_owned()])
    }
}

fn doctor() -> Doctor {
    Doctor::new(&Mailbox::parse("Riqle <orders@riqle.com>").unwrap())
}

async fn smtp(url: &str) -> Report {
    doctor().smtp(&SmtpMailer::from_url(url).unwrap()).examine(&Everything).await
}

async fn resend(answers: &[HttpAnswer]) -> (Report, Vec<String>) {
    let server = HttpServer::start(answers.to_vec()).await;
    let mailer = ResendMailer::new("re_s3cret").unwrap().base_url(&server.url()).unwrap();
    let report = doctor().resend(&mailer).examine(&Everything).await;
    assert!(!report.to_string().contains("s3cret"), "{report}");
    (report, server.requests().into_iter().map(|request| request.line).collect())
}

#[tokio::test]
async fn a_server_that_takes_emails_is_fine_and_the_signing_key_is_looked_at() {
    let certificates = Arc::new(Certificates::of("127.0.0.1"));
    let script = Script::new().encrypted(ServerEncryption::StartTls, &certificates).login("user", "s3cret");
    let server = FaultServer::start(script).await;
    let ca = certificates.file("ca.pem");
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dkim/rsa.pem");
    let dkim = format!("dkim=mail._domainkey.riqle.com&dkim_key={key}");
    let report =
        smtp(&format!("smtp://user:s3cret@127.0.0.1:{}?ca={}&{dkim}", server.port, ca.display())).await;
    assert!(report.findings.iter().all(|finding| finding.level == Level::Fine), "{report}");
    let text = report.to_string();
    for words in
        ["the certificate is trusted; accepts user and password", "DKIM key mail._domainkey.riqle.com"]
    {
        assert!(text.contains(words), "{text}");
    }
    assert!(server.received().is_empty() && !text.contains("s3cret"));
}

#[tokio::test]
async fn a_server_that_takes_none_is_told_with_the_reason() {
    let untrusted = Arc::new(Certificates::of("127.0.0.1"));
    let script = Script::new().encrypted(ServerEncryption::StartTls, &untrusted);
    let server = FaultServer::start(script).await;
    let report = smtp(&format!("smtp://127.0.0.1:{}", server.port)).await;
    assert!(!report.is_healthy() && report.to_string().contains("UnknownIssuer"), "{report}");

    let full = FaultServer::start(Script::new().fault("GREETING", Fault::Says("554 no"))).await;
    let report = smtp(&format!("smtp://127.0.0.1:{}?tls=none", full.port)).await;
    assert!(!report.is_healthy() && report.to_string().contains("SMTP greeting: 554"), "{report}");
}

#[tokio::test]
async fn a_server_without_encryption_is_warned_of() {
    let server = FaultServer::start(Script::new()).await;
    let report = smtp(&format!("smtp://127.0.0.1:{}?tls=none", server.port)).await;
    assert!(report.is_healthy() && report.to_string().contains("unencrypted"), "{report}");
}

#[tokio::test]
async fn a_verified_domain_of_resend_is_fine() {
    let list = r#"{"data":[{"id":"1","name":"other.com","status":"pending"},{"id":"2","name":"riqle.com","status":"verified"}]}"#;
    let (report, asked) = resend(&[HttpAnswer::new(200, &[], list)]).await;
    assert!(report.findings.iter().all(|finding| finding.level == Level::Fine), "{report}");
    assert_eq!(asked, ["GET /domains?limit=100"]);
}

#[tokio::test]
async fn a_domain_that_is_not_verified_is_told_the_records_that_it_misses() {
    let list = r#"{"data":[{"id":"2","name":"riqle.com","status":"pending"}]}"#;
    let whole = r#"{"id":"2","name":"riqle.com","status":"pending","records":[
        {"record":"SPF","name":"send","type":"MX","ttl":"Auto","status":"pending","value":"feedback.example.com","priority":10},
        {"record":"SPF","name":"send","type":"TXT","ttl":"Auto","status":"verified","value":"v=spf1 include:example.com ~all"},
        {"record":"DKIM","name":"resend._domainkey","type":"TXT","ttl":"Auto","status":"not_started","value":"p=MIIB"},
        {"record":"Receiving","name":"@","type":"MX","ttl":"Auto","status":"pending","value":"in.example.com"}]}"#;
    let (report, asked) = resend(&[HttpAnswer::new(200, &[], list), HttpAnswer::new(200, &[], whole)]).await;
    assert_eq!(asked, ["GET /domains?limit=100", "GET /domains/2"]);
    let text = report.to_string();
    assert!(
        text.contains(
            "WRONG    Resend domain riqle.com: not verified: pending\n         \
         add MX send.riqle.com\n             10 feedback.example.com\n         \
         add TXT resend._domainkey.riqle.com\n             p=MIIB\n"
        ),
        "{text}"
    );
    assert!(text.ends_with("1 problem\n"), "{text}");
}

#[tokio::test]
async fn a_key_that_resend_refuses_is_wrong_and_one_that_may_only_send_is_not() {
    let (report, _) = resend(&[HttpAnswer::error(403, "invalid_api_key")]).await;
    assert!(!report.is_healthy() && report.to_string().contains("403: invalid_api_key"), "{report}");
    let (report, _) = resend(&[HttpAnswer::error(401, "restricted_api_key")]).await;
    assert!(report.is_healthy() && report.findings[0].level == Level::Warning, "{report}");
    let (report, _) = resend(&[HttpAnswer::new(200, &[], r#"{"data":[]}"#)]).await;
    assert!(!report.is_healthy() && report.to_string().contains("add it at resend.com/domains"), "{report}");
    let (report, _) = resend(&[HttpAnswer::Cuts]).await;
    assert!(!report.is_healthy() && report.to_string().contains("no answer"), "{report}");
}

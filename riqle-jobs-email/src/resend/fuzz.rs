//! What must hold for any answer of Resend, and for any email to it (`cargo xtask fuzz`).

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use riqle_jobs_conformance::fuzz;
use riqle_jobs_core::{
    Email, ErrorKind, Mailbox,
    email::{SendOutcome, visible_text},
};
use serde_json::Value;

use super::{answer::Answer, body::compose};
use crate::compose::{plain, tests::identity};

const KEY: &str = "re_s3cret";

#[test]
fn any_answer_is_a_success_with_an_id_or_an_error_without_the_key() {
    fuzz!(|bytes| {
        let mut parts = bytes.splitn(5, |byte| *byte == b'|');
        let mut part = || parts.next().unwrap_or_default();
        let status = std::str::from_utf8(part()).ok().and_then(|status| status.parse().ok());
        let Some(status) = status.and_then(|status: u16| StatusCode::from_u16(status).ok()) else { return };
        let mut headers = HeaderMap::new();
        for name in ["retry-after", "ratelimit-reset", "date"] {
            if let Ok(value) = HeaderValue::from_bytes(part()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let body = Some(part());
        let outcome = Answer { status, headers: &headers, body }.outcome(KEY);
        let (error, after) = match &outcome {
            SendOutcome::Accepted { message_id, .. } => {
                assert!(
                    status.is_success() && !message_id.is_empty() && !message_id.contains(char::is_control)
                );
                return;
            }
            SendOutcome::Deferred { error, after, .. } | SendOutcome::Retry { error, after } => {
                (error, *after)
            }
            SendOutcome::Rejected { error, .. }
            | SendOutcome::Misconfigured { error }
            | SendOutcome::Unknown { error }
            | SendOutcome::Away { error } => (error, None),
        };
        assert!(!status.is_success() || matches!(outcome, SendOutcome::Unknown { .. }), "{outcome:?}");
        assert!(!error.contains(KEY) && !error.contains(char::is_control), "{error}");
        assert!(error.chars().count() <= 500, "{error}");
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(after.is_none_or(|after| (Duration::from_secs(1)..=day).contains(&after)), "{after:?}");
    });
}

#[test]
fn a_body_is_json_that_says_what_the_email_says() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.splitn(6, '|');
        let mut line = || lines.next().unwrap_or_default().to_owned();
        let mailbox = |name: String, address: &str| Mailbox { name: Some(name), address: address.to_owned() };
        let (from, to) = (mailbox(line(), "orders@riqle.com"), mailbox(line(), &line()));
        let (name, value, body) = (line(), line(), line());
        let mut email = Email::new(&name, from, to, &value, body.clone(), body);
        email.headers.insert(name, value);
        let json = match compose(&email, &identity()) {
            Ok(json) => json,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Rejected),
        };
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((json["text"].as_str(), json["html"].as_str()), (Some(&*email.text), Some(&*email.html)));
        for (said, address) in [(&json["from"], &email.from), (&json["to"][0], &email.to)] {
            let read = Mailbox::parse(said.as_str().unwrap()).unwrap();
            // A reader cuts it at its length again.
            let expected = address.name.as_deref().map(|name| visible_text(&plain(name)));
            assert_eq!(read.name, expected.filter(|name| !name.is_empty()), "{said}");
        }
        let sizes = (json["to"].as_array().map(Vec::len), json["headers"].as_object().map(|all| all.len()));
        assert_eq!(sizes, (Some(1), Some(3)));
    });
}

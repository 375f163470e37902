//! What Resend's answers mean: accepted, refused, or to be tried again, and when.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{StatusCode, header::HeaderMap};
use resend_rs::types::{CreateEmailResponse, ErrorKind};
use riqle_jobs_core::email::{Deferral, SendOutcome, visible_text};
use serde::Deserialize;

/// A provider that asks for more than this is waited for in parts.
const LONGEST_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What Resend has answered.
pub(super) struct Answer<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    /// `None` if it broke off.
    pub(super) body: Option<&'a [u8]>,
}

/// Resend's errors: <https://resend.com/docs/api-reference/errors>. The number in the body is not looked at; the
/// status of the answer counts.
#[derive(Default, Deserialize)]
struct ErrorBody {
    name: String,
    #[serde(default)]
    message: String,
}

impl Answer<'_> {
    /// What it means: by the status, then by the error's name.
    pub(super) fn outcome(&self, secret: &str) -> SendOutcome {
        if self.status.is_success() {
            return self.accepted();
        }
        let body = self.error_body();
        let error = self.line(&body, secret);
        let rejected = |error| SendOutcome::Rejected { error, recipient_unknown: false };
        let later = |error| SendOutcome::Retry { error, after: self.after() };
        let kind = ErrorKind::from(&body.name);
        match (self.status.as_u16(), kind) {
            (409, ErrorKind::ConcurrentIdempotentRequests | ErrorKind::ResourceLocked) => later(error),
            // This key was used with another content: what has become of that is not known. A new key by itself could
            // send it twice.
            (409, _) => SendOutcome::Unknown { error },
            (429, ErrorKind::DailyQuotaExceeded | ErrorKind::MonthlyQuotaExceeded) => {
                SendOutcome::Deferred { by: Deferral::Quota, error, after: self.after() }
            }
            (429, _) => SendOutcome::Deferred { by: Deferral::Load, error, after: self.after() },
            (425, _) => later(error),
            // Resend answers `validation_error` for a key that is none (resend/resend-node, pull request 617).
            (400, _) if is_about_the_key(&body, kind) => SendOutcome::Misconfigured { error },
            // 402, 403: plan, key, domain; 407: a proxy; 451: `security_error`, for Resend's support.
            (401 | 402 | 403 | 407 | 451, _) => SendOutcome::Misconfigured { error },
            // 408: what came of the request before is not known.
            (408, _) => SendOutcome::Unknown { error },
            // Not Resend, but whatever answers at a wrong address; or an invalid sender.
            (404 | 405, _) if body.name.is_empty() => {
                SendOutcome::Misconfigured { error: format!("{error}; is the base URL right?") }
            }
            (422, _) if body.name == "invalid_from_address" => SendOutcome::Misconfigured { error },
            (400..=499, _) => rejected(error),
            // Redirects are not followed: the key would go along.
            (300..=399, _) => {
                SendOutcome::Misconfigured { error: format!("{error}; is the base URL right?") }
            }
            _ => SendOutcome::Unknown { error },
        }
    }

    /// What a refusal says, in a line.
    #[cfg(feature = "doctor")]
    pub(super) fn error(&self, secret: &str) -> String {
        self.line(&self.error_body(), secret)
    }

    fn error_body(&self) -> ErrorBody {
        self.body.and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
    }

    fn accepted(&self) -> SendOutcome {
        let decoded: Option<CreateEmailResponse> =
            self.body.and_then(|body| serde_json::from_slice(body).ok());
        match decoded.map(|decoded| visible_text(&decoded.id)) {
            Some(message_id) if !message_id.is_empty() => {
                SendOutcome::Accepted { message_id, reply: self.status.to_string() }
            }
            _ => SendOutcome::Unknown { error: format!("Resend: {} without an id", self.status) },
        }
    }

    fn line(&self, body: &ErrorBody, secret: &str) -> String {
        let name = without(&body.name, secret);
        let text = match (name.is_empty(), body.message.is_empty()) {
            (true, _) => "the answer is not one of Resend's".to_owned(),
            (false, true) => name,
            (false, false) => format!("{name}: {}", without(&body.message, secret)),
        };
        format!("Resend: {}: {text}", self.status.as_u16())
    }

    /// When to come back: `retry-after` in seconds or as a date (RFC 9110, section 10.2.3), else `ratelimit-reset`.
    pub(super) fn after(&self) -> Option<Duration> {
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let retry_after = text("retry-after").and_then(|value| seconds(value).or_else(|| self.until(value)));
        let after = retry_after.or_else(|| text("ratelimit-reset").and_then(seconds))?;
        Some(after.clamp(Duration::from_secs(1), LONGEST_AFTER))
    }

    /// The time until a date, by the clock of the one who wrote it where the answer tells that.
    fn until(&self, date: &str) -> Option<Duration> {
        let own = self.headers.get("date").and_then(|value| timestamp(value.to_str().ok()?));
        let now = match own {
            Some(now) => now,
            None => Timestamp::try_from(SystemTime::now()).ok()?,
        };
        Some(Duration::try_from(timestamp(date)?.duration_since(now)).unwrap_or_default())
    }
}

fn is_about_the_key(body: &ErrorBody, kind: ErrorKind) -> bool {
    let by_name =
        matches!(kind, ErrorKind::MissingApiKey | ErrorKind::RestrictedApiKey | ErrorKind::SuspendedApiKey);
    by_name || body.name == "invalid_api_key" || body.message.to_ascii_lowercase().contains("api key")
}

/// Whole or broken, and never negative.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

fn timestamp(date: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

/// A server's text, fit for a log.
pub(super) fn without(text: &str, secret: &str) -> String {
    // Once more, where something invisible was in it.
    visible_text(&text.replace(secret, "***")).replace(secret, "***")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(headers: &[(&'static str, &str)]) -> Option<u64> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let answer = Answer { status: StatusCode::TOO_MANY_REQUESTS, headers: &headers, body: None };
        answer.after().map(|after| after.as_secs())
    }

    #[test]
    fn an_answer_that_quotes_the_key_does_not_bring_it_into_the_log() {
        for body in [
            r#"{"name":"re_s3cret is no key"}"#,
            r#"{"name":"validation_error","message":"re_s3cret"}"#,
            r#"{"name":"validation_error","message":"re_s3\u200ecret"}"#,
        ] {
            let headers = HeaderMap::new();
            let answer =
                Answer { status: StatusCode::BAD_REQUEST, headers: &headers, body: Some(body.as_bytes()) };
            let outcome = answer.outcome("re_s3cret");
            assert!(format!("{outcome:?}").contains("***"), "{outcome:?}");
            assert!(!format!("{outcome:?}").contains("s3cret"), "{outcome:?}");
        }
    }

    #[test]
    fn the_time_to_come_back_is_read_in_each_of_its_forms() {
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[("retry-after", "7")]), Some(7));
        assert_eq!(after(&[("retry-after", "0")]), Some(1));
        assert_eq!(after(&[("retry-after", "1.5")]), Some(1));
        assert_eq!(after(&[("retry-after", "99999999999")]), Some(86_400));
        assert_eq!(after(&[("retry-after", "soon"), ("ratelimit-reset", "3")]), Some(3));
        assert_eq!(after(&[("retry-after", "-1")]), None);
        assert_eq!(after(&[("retry-after", "NaN")]), None);
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        assert_eq!(after(&[("retry-after", "Wed, 21 Oct 2026 07:29:05 GMT"), date]), Some(65));
        assert_eq!(after(&[("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT"), date]), Some(1));
        assert_eq!(after(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(1));
    }
}

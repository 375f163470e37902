//! Why an SMTP conversation ended without the email being taken, and what that makes of the send.

use std::{error::Error as StdError, fmt, time::Duration};

use lettre::transport::smtp;
use riqle_jobs_core::email::{Deferral, SendOutcome, visible_text};

use super::refusal::{About, about, enhanced};
use crate::tls::tls_error;

/// How far a conversation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Connect,
    /// The server's greeting and its answer to EHLO.
    Greeting,
    StartTls,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    /// From the first byte of the body to the final reply.
    Body,
}

#[cfg(test)]
impl Phase {
    pub(super) const ALL: [Self; 8] = [
        Self::Connect,
        Self::Greeting,
        Self::StartTls,
        Self::Auth,
        Self::MailFrom,
        Self::RcptTo,
        Self::Data,
        Self::Body,
    ];
}

/// Why a conversation ended without the email being taken.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    pub(super) what: What,
}

/// What was seen.
#[derive(Debug)]
pub(super) enum What {
    /// The server has refused, with this code and text.
    Refused(u16, String),
    /// The connection has failed, or the server does not speak SMTP.
    Broken(String),
    /// Nothing came within this time.
    Silent(Duration),
    /// TLS can't be agreed on: a certificate, a version, no TLS at all on that port.
    NotPrivate(String),
    /// The server lacks what the settings ask for.
    Lacks(&'static str),
    /// The email log does not let the email out.
    Held(String),
}

impl Failure {
    pub(super) fn of(phase: Phase, error: &smtp::Error) -> Self {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let what = match error.status() {
            Some(code) => What::Refused(code.into(), cause),
            None => match tls_error(error) {
                Some(error) => What::NotPrivate(error.to_string()),
                None if phase == Phase::Auth && error.is_client() => {
                    What::Lacks("an AUTH challenge that can be answered")
                }
                None => What::Broken(if cause.is_empty() { error.to_string() } else { cause }),
            },
        };
        Self { phase, what }
    }

    /// Whether the conversation can continue with another email.
    pub(super) fn leaves_connection(&self) -> bool {
        // 421: the server closes (RFC 5321, section 3.8). After DATA nothing but the body may follow.
        matches!(self.what, What::Refused(code, _) if code != 421)
    }

    /// Whether the server takes no more on this connection, or no more connections; `emails` were judged on it before.
    pub(super) fn is_load_of_the_connection(&self, emails: u32) -> bool {
        let What::Refused(code, text) = &self.what else { return false };
        self.phase <= Phase::MailFrom && about(self.phase, *code, text, emails > 0) == About::Load
    }

    /// Whether no connection came about, for whatever reason.
    pub(super) fn is_no_connection(&self) -> bool {
        self.phase <= Phase::Greeting && matches!(self.what, What::Broken(_) | What::Silent(_))
    }

    /// What it means, by phase and code (RFC 5321, sections 4.2.2 to 4.2.4; RFC 3463; RFC 4954, section 6).
    pub(super) fn outcome(&self, secret: Option<&str>) -> SendOutcome {
        let error = self.line(secret);
        match &self.what {
            What::NotPrivate(_) | What::Lacks(_) => SendOutcome::Misconfigured { error },
            What::Broken(_) | What::Silent(_) if self.phase == Phase::Body => SendOutcome::Unknown { error },
            What::Broken(_) | What::Silent(_) => SendOutcome::Away { error },
            What::Held(_) => SendOutcome::Retry { error, after: None },
            What::Refused(code @ 400..=599, text) => self.refused(*code, text, error),
            // A code that has no business there; lettre reports only negative ones.
            What::Refused(..) if self.phase == Phase::Body => SendOutcome::Unknown { error },
            What::Refused(..) => SendOutcome::Retry { error, after: None },
        }
    }

    fn refused(&self, code: u16, text: &str, error: String) -> SendOutcome {
        let deferred = |by, error| SendOutcome::Deferred { by, error, after: None };
        match about(self.phase, code, text, false) {
            About::Load => deferred(Deferral::Load, error),
            About::Greylisting => deferred(Deferral::Greylisting, error),
            About::Quota => deferred(Deferral::Quota, error),
            About::Account => SendOutcome::Misconfigured { error },
            About::Address => SendOutcome::Rejected { error, recipient_unknown: true },
            About::Email => SendOutcome::Rejected { error, recipient_unknown: false },
            About::Moment => SendOutcome::Retry { error, after: None },
        }
    }

    fn line(&self, secret: Option<&str>) -> String {
        let phase = self.phase;
        match &self.what {
            // A server may quote what it was told.
            What::Refused(code, text) if phase == Phase::Auth => {
                let detail = text.split_whitespace().next().filter(|_| enhanced(text).is_some());
                let space = if detail.is_some() { " " } else { "" };
                format!(
                    "{phase}: {code}{space}{}, user and password are not accepted",
                    detail.unwrap_or_default()
                )
            }
            What::Refused(code, text) => format!("{phase}: {code} {}", without(text, secret)),
            What::Broken(text) => format!("{phase}: {}", without(text, secret)),
            What::Silent(limit) => format!("{phase}: no answer within {limit:?}"),
            What::NotPrivate(text) => format!("{phase}: no secure connection: {}", without(text, secret)),
            What::Lacks(ability) => format!("{phase}: the server does not offer {ability}"),
            What::Held(text) => format!("{phase}: nothing was sent: {text}"),
        }
    }
}

/// A server's text, fit for a log.
pub(super) fn without(text: &str, secret: Option<&str>) -> String {
    match secret.filter(|secret| !secret.is_empty()) {
        // Once more, where something invisible was in it.
        Some(secret) => visible_text(&text.replace(secret, "***")).replace(secret, "***"),
        None => visible_text(text),
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "SMTP connect",
            Phase::Greeting => "SMTP greeting",
            Phase::StartTls => "SMTP STARTTLS",
            Phase::Auth => "SMTP AUTH",
            Phase::MailFrom => "SMTP MAIL FROM",
            Phase::RcptTo => "SMTP RCPT TO",
            Phase::Data => "SMTP DATA",
            Phase::Body => "SMTP body",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(phase: Phase, code: u16, text: &str) -> SendOutcome {
        Failure { phase, what: What::Refused(code, text.to_owned()) }.outcome(Some("s3cret"))
    }

    fn word(outcome: &SendOutcome) -> &'static str {
        match outcome {
            SendOutcome::Accepted { .. } => "accepted",
            SendOutcome::Rejected { recipient_unknown: true, .. } => "rejected, unknown",
            SendOutcome::Rejected { .. } => "rejected",
            SendOutcome::Away { .. } => "away",
            SendOutcome::Retry { .. } => "retry",
            SendOutcome::Deferred { by: Deferral::Load, .. } => "load",
            SendOutcome::Deferred { by: Deferral::Greylisting, .. } => "greylisted",
            SendOutcome::Deferred { by: Deferral::Quota, .. } => "quota",
            SendOutcome::Misconfigured { .. } => "misconfigured",
            SendOutcome::Unknown { .. } => "unknown",
        }
    }

    #[test]
    fn each_code_has_its_meaning_in_each_phase() {
        for (phase, code, text, expected) in [
            (Phase::Greeting, 421, "busy", "load"),
            (Phase::Greeting, 554, "no service here", "misconfigured"),
            (Phase::StartTls, 454, "not now", "retry"),
            (Phase::StartTls, 502, "never", "misconfigured"),
            (Phase::Auth, 454, "4.7.0 not now", "retry"),
            (Phase::Auth, 535, "5.7.8 wrong", "misconfigured"),
            (Phase::Auth, 534, "5.7.9 too weak", "misconfigured"),
            (Phase::MailFrom, 451, "later", "retry"),
            (Phase::MailFrom, 530, "5.7.0 must issue STARTTLS", "misconfigured"),
            (Phase::MailFrom, 550, "sender unknown", "misconfigured"),
            (Phase::MailFrom, 501, "5.1.7 bad sender", "misconfigured"),
            (Phase::MailFrom, 550, "5.7.1 blocked", "misconfigured"),
            (Phase::MailFrom, 552, "5.3.4 too big", "rejected"),
            (Phase::RcptTo, 450, "4.2.0 greylisted", "greylisted"),
            (Phase::RcptTo, 451, "4.7.1 come again", "greylisted"),
            (Phase::RcptTo, 452, "4.5.3 too many", "load"),
            (Phase::RcptTo, 550, "5.1.1 no such user", "rejected, unknown"),
            (Phase::RcptTo, 550, "no such user", "rejected, unknown"),
            (Phase::RcptTo, 551, "not local", "rejected, unknown"),
            (Phase::RcptTo, 553, "bad name", "rejected, unknown"),
            (Phase::RcptTo, 501, "5.1.3 bad syntax", "rejected, unknown"),
            (Phase::RcptTo, 550, "5.7.1 blocked", "rejected"),
            (Phase::RcptTo, 550, "5.1.8 sender's domain", "misconfigured"),
            (Phase::RcptTo, 552, "5.2.2 full", "rejected"),
            (Phase::RcptTo, 554, "refused", "rejected"),
            (Phase::Data, 451, "later", "greylisted"),
            (Phase::Data, 554, "no", "rejected"),
            (Phase::Body, 452, "4.3.1 disk full", "retry"),
            (Phase::Body, 451, "4.7.1 come again", "greylisted"),
            (Phase::Body, 550, "5.7.1 spam", "rejected"),
        ] {
            assert_eq!(word(&outcome(phase, code, text)), expected, "{phase} {code} {text}");
        }
    }

    #[test]
    fn only_what_breaks_after_the_first_byte_of_the_body_is_unknown() {
        for phase in Phase::ALL {
            let expected = if phase == Phase::Body { "unknown" } else { "away" };
            for what in [What::Broken("reset".to_owned()), What::Silent(Duration::from_secs(1))] {
                assert_eq!(word(&Failure { phase, what }.outcome(None)), expected, "{phase}");
            }
        }
    }

    #[test]
    fn a_server_that_quotes_the_password_does_not_bring_it_into_the_log() {
        for (phase, text) in [
            (Phase::Auth, "5.7.8 wrong: user s3cret"),
            (Phase::Auth, "AHVzZXIAczNjcmV0 is wrong"),
            (Phase::MailFrom, "5.7.1 user:s3cret may not\r\nsend"),
            (Phase::MailFrom, "5.7.1 user:s3\u{200e}cret may not send"),
        ] {
            let (SendOutcome::Misconfigured { error } | SendOutcome::Rejected { error, .. }) =
                outcome(phase, 535, text)
            else {
                panic!("another outcome");
            };
            assert!(!error.contains("s3cret") && !error.contains("AHVz") && !error.contains('\n'), "{error}");
        }
        assert!(matches!(outcome(Phase::Auth, 535, "5.7.8 no"), SendOutcome::Misconfigured { error }
            if error == "SMTP AUTH: 535 5.7.8, user and password are not accepted"));
    }
}

//! What Resend reports about an email, and the event that the email log takes of it.

use jiff::Timestamp;
use riqle_jobs_core::{
    Mailbox,
    email::{EmailDetail, EmailKey, NewEmailEvent},
};
use serde::Deserialize;
use serde_json::Value;

use crate::webhooks::{Ignored, WebhookError};

/// As the Resend mailer names itself in the email log.
const PROVIDER: &str = "resend";
/// The header that carries our Message-ID up to its `@`, so that an email is found whose id at Resend never
/// reached us.
const REFERENCE_HEADER: &str = "X-Entity-Ref-ID";

/// What Resend reports about an email; its signature is verified.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// `svix-id`: the same in each delivery.
    pub id: String,
    /// Such as `email.bounced`.
    pub kind: String,
    /// When it happened, by Resend's clock.
    pub at: Timestamp,
    data: Value,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    created_at: Option<String>,
    #[serde(default)]
    data: Value,
}

impl Report {
    pub(super) fn read(body: &[u8], id: &str, signed_at: i64) -> Result<Self, WebhookError> {
        let Body { kind, created_at, data } = serde_json::from_slice(body).map_err(|error| {
            WebhookError::NoEvent(format!("line {}, column {}", error.line(), error.column()))
        })?;
        let at = created_at.and_then(|text| text.parse().ok());
        let at = at.or_else(|| Timestamp::from_second(signed_at).ok()).unwrap_or_default();
        Ok(Self { id: id.to_owned(), kind, at, data })
    }

    /// The event for the email log, with the email by Resend's id.
    ///
    /// # Errors
    /// Why it is ignored: it does not report a delivery (opened, clicked, received, contacts, domains, anything
    /// unknown), or does not say of which email.
    pub fn email_event(&self) -> Result<NewEmailEvent, Ignored> {
        let says = |path: &str| self.text(path).unwrap_or_default();
        let (detail, is_permanent, text) = match self.kind.as_str() {
            "email.sent" => (EmailDetail::Accepted, false, String::new()),
            // No detail of a row is lower than that it was accepted, so a delay is only in the events.
            "email.delivery_delayed" => (EmailDetail::Accepted, false, "delivery delayed".to_owned()),
            "email.delivered" => (EmailDetail::Delivered, false, String::new()),
            "email.complained" => (EmailDetail::Complained, false, String::new()),
            "email.bounced" => {
                let (kind, subkind) = (says("/bounce/type"), says("/bounce/subType"));
                let is_permanent = kind.eq_ignore_ascii_case("permanent");
                (EmailDetail::Bounced, is_permanent, format!("{kind} {subkind}: {}", says("/bounce/message")))
            }
            "email.suppressed" => {
                let why = format!("suppressed by Resend: {}", says("/suppressed/message"));
                (EmailDetail::Bounced, true, why)
            }
            "email.failed" => {
                (EmailDetail::Bounced, false, format!("failed at Resend: {}", says("/failed/reason")))
            }
            _ => return Err(Ignored::Unwanted),
        };
        let message_id = self.text("/email_id").ok_or(Ignored::Lacks("data.email_id"))?;
        Ok(NewEmailEvent {
            email: EmailKey::MessageId { provider: PROVIDER.to_owned(), message_id: message_id.to_owned() },
            detail,
            is_permanent,
            at: self.at,
            text: Some(text).filter(|text| !text.is_empty()),
            provider_event_id: self.id.clone(),
        })
    }

    /// How else the log may know the email: by its Message-ID, whose two halves are a header and the sender's domain.
    pub(in crate::webhooks) fn other_key(&self) -> Option<EmailKey> {
        let headers = self.data.get("headers")?.as_array()?;
        let header = headers.iter().find(|header| {
            let name = header.get("name").and_then(Value::as_str);
            name.is_some_and(|name| name.eq_ignore_ascii_case(REFERENCE_HEADER))
        })?;
        let from = Mailbox::parse(self.text("/from")?).ok()?;
        let reference = header.get("value")?.as_str()?;
        Some(EmailKey::HeaderMessageId(format!("<{reference}@{}>", from.domain())))
    }

    /// Resend's id of the email.
    pub(super) fn email_id(&self) -> &str {
        self.text("/email_id").unwrap_or_default()
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.data.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

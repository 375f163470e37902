//! An email and its identity, what if its outcome is unknown, and text that is safe to show.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Mailbox;
use crate::{Error, ErrorKind, limits};

/// Strips control characters and those that change text direction, folds white space and cuts at 200
/// characters. For names and subjects that come from users.
pub fn visible_text(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| {
            !c.is_control()
                && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
        .take(200)
        .collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What to do when it can't be known whether an email left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// Send it again with the same key and Message-ID: at worst it comes twice.
    #[default]
    SendAgain,
    /// Hold it for an operator or a delivery event: at worst it does not come.
    Hold,
}

/// An email to one recipient, rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Sender.
    pub from: Mailbox,
    /// The recipient; delivery events name no recipient, so an email has one.
    pub to: Mailbox,
    /// Where replies go.
    pub reply_to: Option<Mailbox>,
    /// Subject.
    pub subject: String,
    /// The HTML part.
    pub html: String,
    /// The text part.
    pub text: String,
    /// Extra headers, such as `List-Unsubscribe`. Those that a mailer writes itself (`From`, `Date`, `Content-Type`,
    /// `DKIM-Signature`, `X-Entity-Ref-ID` and the like) are refused when the email is sent.
    pub headers: BTreeMap<String, String>,
    /// Names the kind of email; part of the idempotency key.
    pub template: String,
    /// The application's own name for what it is about (an order id).
    pub reference: Option<String>,
    /// What to do with an unknown outcome.
    pub on_unknown: OnUnknown,
    /// Raised to send an email again on purpose; part of the idempotency key.
    pub generation: u32,
    /// Replaces the key that is derived from the run and step.
    pub idempotency_key: Option<String>,
}

impl Email {
    /// An email with the required fields.
    ///
    /// The subject is stripped of control characters.
    pub fn new(
        template: &str,
        from: Mailbox,
        to: Mailbox,
        subject: &str,
        html: String,
        text: String,
    ) -> Self {
        Self {
            from,
            to,
            reply_to: None,
            subject: visible_text(subject),
            html,
            text,
            headers: BTreeMap::new(),
            template: template.to_owned(),
            reference: None,
            on_unknown: OnUnknown::default(),
            generation: 0,
            idempotency_key: None,
        }
    }

    /// Files it under the application's own name for what it is about.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Sets what to do with an unknown outcome.
    #[must_use]
    pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
        self.on_unknown = on_unknown;
        self
    }

    /// Sets the idempotency key, 1 to 256 characters: needed outside a step.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// A digest of all that the recipient gets, signed with a key or not, which tells a changed content.
    pub(super) fn digest(&self, signing_key: Option<String>) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            // The length before each: no two lists of parts give the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        let reply_to = self.reply_to.as_ref().map(Mailbox::to_string).unwrap_or_default();
        for part in
            [&self.from.to_string(), &self.to.to_string(), &reply_to, &self.subject, &self.html, &self.text]
        {
            add(part);
        }
        for (name, value) in &self.headers {
            add(name);
            add(value);
        }
        signing_key.iter().for_each(|key| add(key));
        hex(&hash.finalize()[..16])
    }

    /// Checks what the types don't: the names of template and headers, the reference.
    ///
    /// # Errors
    /// `Rejected`, with the field.
    pub fn check(&self) -> Result<(), Error> {
        limits::check_name("template", &self.template)?;
        if let Some(reference) = &self.reference {
            limits::check_key("reference", reference)?;
        }
        if let Some(key) = &self.idempotency_key {
            limits::check_text("idempotency key", key, 256)?;
        }
        for (name, value) in &self.headers {
            let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            if !token || value.chars().any(char::is_control) {
                return Err(Error::new(
                    ErrorKind::Rejected,
                    "email",
                    format!("header {name:?} is not valid"),
                ));
            }
        }
        Ok(())
    }
}

/// What identifies one email through all of its sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageIdentity {
    /// The provider's and the log's idempotency key, 1 to 256 characters.
    pub key: String,
    /// The Message-ID header, with its angle brackets: `<32 hex digits@sender domain>`.
    pub message_id: String,
    /// The Date header.
    pub date: jiff::Timestamp,
}

impl MessageIdentity {
    /// Derives the Message-ID from the key, so that each send carries the same.
    pub fn new(key: String, from: &Mailbox, date: jiff::Timestamp) -> Self {
        let message_id = format!("<{}@{}>", &sha256_hex(key.as_bytes())[..32], from.domain());
        Self { key, message_id, date }
    }
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

//! What providers report after accepting an email.

use jiff::Timestamp;

use super::{EmailDetail, EmailLog, EmailRecord, EmailStatus, SendPhase};
use crate::{
    EmailId, Error, ErrorKind,
    limits::{TEXT_BYTES, check_key, clean_text},
};

/// A provider's report on an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEmailEvent {
    /// The email.
    pub email: EmailKey,
    /// What happened: `accepted`, `delivered`, `bounced` or `complained`.
    pub detail: EmailDetail,
    /// For a bounce: the address will never accept email.
    pub is_permanent: bool,
    /// When it happened, by the provider's clock.
    pub at: Timestamp,
    /// Details, for display.
    pub text: Option<String>,
    /// The provider's id of the event: 1 to 512 bytes, unique.
    pub provider_event_id: String,
}

/// How a provider names an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailKey {
    /// By our own id, which it was given.
    Id(EmailId),
    /// By its own id of the message.
    MessageId {
        /// The mailer's provider.
        provider: String,
        /// The provider's id.
        message_id: String,
    },
    /// By the Message-ID header.
    HeaderMessageId(String),
}

/// The email log's answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEmailEvent {
    /// Whether this call recorded it.
    pub is_new: bool,
    /// The email as it is now.
    pub email: EmailRecord,
}

impl EmailDetail {
    /// How far along an email is. Providers' events come in any order; a row's detail only goes up.
    pub const fn rank(self) -> u8 {
        match self {
            EmailDetail::Queued
            | EmailDetail::Sending
            | EmailDetail::Retry
            | EmailDetail::Unknown
            | EmailDetail::Held
            | EmailDetail::Throttled
            | EmailDetail::Greylisted
            | EmailDetail::QuotaUsedUp
            | EmailDetail::Misconfigured
            | EmailDetail::Suppressed
            | EmailDetail::Rejected => 0,
            EmailDetail::Accepted => 1,
            EmailDetail::Delivered => 2,
            EmailDetail::Bounced => 3,
            EmailDetail::Complained => 4,
        }
    }
}

impl NewEmailEvent {
    /// The event as every store keeps it: text cleaned and cut, time in whole milliseconds.
    ///
    /// # Errors
    /// `Rejected` if the id is empty or too long, or the detail is not one that a provider reports.
    pub fn checked(mut self) -> Result<Self, Error> {
        check_key("event id", &self.provider_event_id).map_err(|error| error.of("record_email_event"))?;
        if self.detail.rank() == 0 {
            let message = format!("{} is not a delivery event", self.detail);
            return Err(Error::new(ErrorKind::Rejected, "record_email_event", message));
        }
        self.at = crate::from_millis(self.at.as_millisecond());
        self.text = self.text.map(|text| clean_text(&text, TEXT_BYTES));
        Ok(self)
    }

    /// Changes the row it is about, the same for every store. Whatever the row said, the provider has the
    /// email, so it is sent; its detail only goes up.
    pub fn apply_to(&self, row: &mut EmailRecord, now: Timestamp) {
        if self.detail.rank() > row.detail.rank() {
            row.detail = self.detail;
            row.updated_at = now;
        }
        if row.status != EmailStatus::Sent {
            row.status = EmailStatus::Sent;
            row.phase = SendPhase::Ended;
            row.sent_at = Some(now);
            row.updated_at = now;
        }
        if let (None, EmailKey::MessageId { message_id, .. }) = (&row.message_id, &self.email) {
            row.message_id = Some(message_id.clone());
        }
    }
}

/// Records a provider's event and acts on it: a permanent bounce or a complaint puts the recipient on the
/// suppression list, so that nothing more is sent there. Returns whether the event was new; a repeated one
/// changes nothing.
///
/// # Errors
/// `NotFound` if the log has no such email (it may be another application's, or not recorded yet: let the
/// provider try again); `Rejected` as [`NewEmailEvent::checked`]; `Unavailable`: repeating is safe.
pub async fn take_delivery_event(log: &dyn EmailLog, event: NewEmailEvent) -> Result<bool, Error> {
    let reason = match event.detail {
        EmailDetail::Bounced if event.is_permanent => Some("bounced"),
        EmailDetail::Complained => Some("complained"),
        _ => None,
    };
    let recorded = log.record_email_event(event).await?;
    // Also for one that came before: the process may have died in between.
    if let Some(reason) = reason {
        let reason = format!("{reason}, email {}", recorded.email.id);
        log.suppress(&recorded.email.to, &reason).await?;
    }
    Ok(recorded.is_new)
}

//! What an operator found out about an email that may have been sent.

use jiff::Timestamp;

use super::{EmailDetail, EmailEvent, EmailRecord, EmailStatus, SendPhase};
use crate::{Error, ErrorKind, limits::check_key};

/// What an operator found out about an email that may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// It was sent.
    Sent,
    /// It was not sent: a replay of its run sends it.
    NotSent,
}

impl Resolution {
    /// Changes the row, the same for every store; returns the event to append, or `None` if the row says so
    /// already.
    ///
    /// A row resolved as not sent must be taken from its sender too.
    ///
    /// # Errors
    /// `Rejected` if the outcome is not in question: the row says the opposite, or a send is in flight; or if
    /// `by` is empty or too long.
    pub fn apply_to(
        self,
        row: &mut EmailRecord,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<EmailEvent>, Error> {
        check_key("`by`", by).map_err(|error| error.of("resolve_email"))?;
        let is_sent = row.status == EmailStatus::Sent;
        let is_not_sent = !is_sent && row.phase == SendPhase::Ended;
        match self {
            Resolution::Sent if is_sent => return Ok(None),
            Resolution::NotSent if is_not_sent => return Ok(None),
            _ if !row.may_have_been_sent() => {
                let message = format!(
                    "email {} is {} ({}); its outcome is already known",
                    row.id, row.status, row.detail
                );
                return Err(Error::new(ErrorKind::Rejected, "resolve_email", message));
            }
            Resolution::Sent => {
                row.status = EmailStatus::Sent;
                row.detail = EmailDetail::Accepted;
                row.sent_at = Some(now);
            }
            Resolution::NotSent => row.detail = EmailDetail::Retry,
        }
        row.phase = SendPhase::Ended;
        row.updated_at = now;
        let found = if self == Resolution::Sent { "sent" } else { "not sent" };
        Ok(Some(EmailEvent {
            at: now,
            detail: row.detail,
            text: Some(format!("resolved as {found} by {by}")),
            occurred_at: None,
            provider_event_id: None,
        }))
    }
}

impl EmailRecord {
    /// Whether it is unknown if it was sent, and nothing in flight will tell.
    pub fn may_have_been_sent(&self) -> bool {
        let is_seen = matches!(self.detail, EmailDetail::Unknown | EmailDetail::Held);
        self.status != EmailStatus::Sent
            && self.phase == SendPhase::Body
            && (is_seen || self.status == EmailStatus::Failed)
    }
}

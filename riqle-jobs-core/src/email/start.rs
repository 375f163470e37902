//! An email in a provider's form, and how a sender takes its row for a send.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{EmailDetail, EmailEvent, EmailRecord, EmailStatus, SendPhase};
use crate::RunId;

/// An email in a provider's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The mailer's provider.
    pub provider: String,
    /// The Message-ID header.
    pub header_message_id: String,
    /// From, with display name.
    pub from: String,
    /// Subject.
    pub subject: String,
    /// A digest of what was rendered, which tells a changed content.
    pub content: String,
    /// The bytes to send.
    pub message: Vec<u8>,
}

/// A sender taking a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailStart {
    /// Fences this send against others.
    pub sender: Uuid,
    /// The run that sends now; `None` keeps the stored one.
    pub run_id: Option<RunId>,
    /// The attempt that sends now.
    pub attempt: u32,
    /// What to send, if not what the row has.
    pub rendered: Option<Rendered>,
    /// How long another sender's body may be in flight, and is waited for.
    pub longest_send: Duration,
}

impl EmailStart {
    /// How much longer another sender's body may be in flight; `None` if the row can be taken. The same for
    /// every store, which then leaves the row as is, and for the sender, which then sends nothing.
    ///
    /// Only the phase `body` is waited for: before it an overtaken sender is refused. There is no wait for a
    /// sender of the same run, since the new claim's lease shows that the earlier one is gone; nor for one
    /// whose outcome was recorded, or whose run has given up.
    pub fn waits_for(&self, row: &EmailRecord, now: Timestamp) -> Option<Duration> {
        let is_on_its_way = row.status == EmailStatus::Pending
            && row.phase == SendPhase::Body
            && row.detail == EmailDetail::Sending;
        let is_of_this_run = self.run_id.is_some() && self.run_id == row.run_id;
        if !is_on_its_way || is_of_this_run {
            return None;
        }
        let lasted = Duration::try_from(now.duration_since(row.updated_at)).unwrap_or(Duration::ZERO);
        self.longest_send.checked_sub(lasted).filter(|left| !left.is_zero())
    }

    /// Changes an unsent row, the same for every store; returns the event to append, if any.
    ///
    /// Bytes are final while a body of the email may have left and it is unknown whether it was accepted; only
    /// another provider gets its own form of them. Before that, and once the provider has refused them, newly
    /// rendered bytes replace them.
    pub fn apply_to(&self, row: &mut EmailRecord, now: Timestamp) -> Option<EmailEvent> {
        let may_have_left = row.phase == SendPhase::Body;
        row.status = EmailStatus::Pending;
        row.detail = EmailDetail::Sending;
        if !may_have_left {
            row.phase = SendPhase::Started;
        }
        if self.run_id.is_some() && self.run_id != row.run_id {
            row.run_id = self.run_id;
            row.deferred_since = None;
        }
        row.attempt = self.attempt;
        row.updated_at = now;
        let rendered = self.rendered.as_ref()?;
        if may_have_left && rendered.provider == row.provider {
            return None;
        }
        let before = std::mem::replace(&mut row.from, rendered.from.clone());
        row.provider.clone_from(&rendered.provider);
        row.header_message_id.clone_from(&rendered.header_message_id);
        row.subject.clone_from(&rendered.subject);
        row.content.clone_from(&rendered.content);
        row.message.clone_from(&rendered.message);
        if may_have_left || row.sends == 0 {
            return None;
        }
        let key_before = row.provider_key();
        row.generation = row.generation.saturating_add(1);
        row.first_send_at = None;
        let text = format!(
            "rendered again: from {} under the key {}; before, from {before} under {key_before}",
            row.from,
            row.provider_key()
        );
        let detail = EmailDetail::Queued;
        Some(EmailEvent { at: now, detail, text: Some(text), occurred_at: None, provider_event_id: None })
    }
}

//! All that is stored of an email, and how each operation changes it.

use std::collections::HashSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    EmailDetail, EmailEnding, EmailEvent, EmailRecord, EmailStart, EmailStatus, NewEmail, NewEmailEvent,
    Resolution, SendPhase,
};
use crate::Error;

/// All that is stored of an email, and how each operation changes it: for stores that read a row, change it and
/// write it back. A method that returns `false` has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailRow {
    /// The public part.
    pub record: EmailRecord,
    /// The sender that has it.
    pub sender: Option<Uuid>,
    /// What happened to it, oldest first.
    pub events: Vec<EmailEvent>,
    /// The sends whose unknown outcome is among the events: sender, and the count of sends.
    pub unknown: HashSet<(Uuid, u32)>,
}

impl EmailRow {
    /// Of an intent.
    pub fn new(email: NewEmail, now: Timestamp) -> Self {
        Self { record: queued(email, now), sender: None, events: Vec::new(), unknown: HashSet::new() }
    }

    /// As [`EmailLog::email_body_begins`](super::EmailLog::email_body_begins).
    pub fn body_begins(&mut self, sender: Uuid, sends: u32, now: Timestamp) -> bool {
        if !self.is_held_by(sender) {
            return false;
        }
        self.record.detail = EmailDetail::Sending;
        self.record.phase = SendPhase::Body;
        self.record.sends = sends;
        self.record.first_send_at.get_or_insert(now);
        self.record.updated_at = now;
        true
    }

    /// As [`EmailLog::fail_emails_of_run`](super::EmailLog::fail_emails_of_run).
    pub fn fail(&mut self, error: &str, now: Timestamp) -> bool {
        if self.record.status != EmailStatus::Pending {
            return false;
        }
        self.record.status = EmailStatus::Failed;
        self.record.error = Some(error.to_owned());
        self.record.updated_at = now;
        // A sender still at it must not make it pending again: no run would pick it up.
        self.sender = None;
        true
    }

    /// As [`EmailLog::resolve_email`](super::EmailLog::resolve_email).
    ///
    /// # Errors
    /// As [`Resolution::apply_to`].
    pub fn resolve(&mut self, resolution: Resolution, by: &str, now: Timestamp) -> Result<bool, Error> {
        let Some(event) = resolution.apply_to(&mut self.record, by, now)? else { return Ok(false) };
        self.events.push(event);
        self.sender = None;
        Ok(true)
    }

    fn is_held_by(&self, sender: Uuid) -> bool {
        self.sender == Some(sender) && self.record.status != EmailStatus::Sent
    }

    /// Appends a checked event, once for its id, and changes the row as it says.
    pub fn take_event(&mut self, event: NewEmailEvent, now: Timestamp) -> bool {
        let id = Some(event.provider_event_id.clone());
        if self.events.iter().any(|known| known.provider_event_id == id) {
            return false;
        }
        event.apply_to(&mut self.record, now);
        self.events.push(EmailEvent {
            at: now,
            detail: event.detail,
            text: event.text,
            occurred_at: Some(event.at),
            provider_event_id: id,
        });
        true
    }

    /// As [`EmailLog::start_email`](super::EmailLog::start_email).
    pub fn start(&mut self, start: &EmailStart, now: Timestamp) -> bool {
        if self.record.status == EmailStatus::Sent || start.waits_for(&self.record, now).is_some() {
            return false;
        }
        self.sender = Some(start.sender);
        self.events.extend(start.apply_to(&mut self.record, now));
        true
    }

    /// As [`EmailLog::end_email`](super::EmailLog::end_email).
    pub fn end(&mut self, sender: Uuid, ending: EmailEnding, now: Timestamp) -> bool {
        match ending {
            EmailEnding::Sent { message_id, reply } if self.record.status != EmailStatus::Sent => {
                self.record.status = EmailStatus::Sent;
                self.record.detail = EmailDetail::Accepted;
                self.record.phase = SendPhase::Ended;
                self.record.message_id = Some(message_id);
                self.record.reply = Some(reply);
                self.record.sent_at = Some(now);
                self.record.updated_at = now;
            }
            EmailEnding::NotSent { status, detail, may_have_left, deferred_since, error }
                if self.is_held_by(sender) =>
            {
                let sends = self.record.sends;
                let is_told = self.unknown.iter().any(|(_, told)| *told == sends);
                if detail == EmailDetail::Unknown && !is_told {
                    self.unknown.insert((sender, sends));
                    let text = Some(error.clone());
                    let event =
                        EmailEvent { at: now, detail, text, occurred_at: None, provider_event_id: None };
                    self.events.push(event);
                }
                self.record.status = status;
                self.record.detail = detail;
                self.record.phase = if may_have_left { SendPhase::Body } else { SendPhase::Ended };
                self.record.deferred_since = deferred_since.or(self.record.deferred_since);
                self.record.error = Some(error);
                self.record.updated_at = now;
            }
            _ => return false,
        }
        true
    }
}

fn queued(email: NewEmail, now: Timestamp) -> EmailRecord {
    EmailRecord {
        id: email.id,
        status: EmailStatus::Pending,
        detail: EmailDetail::Queued,
        provider: email.rendered.provider,
        message_id: None,
        error: None,
        created_at: now,
        updated_at: now,
        sent_at: None,
        first_send_at: None,
        sends: 0,
        deferred_since: None,
        phase: SendPhase::Queued,
        idempotency_key: email.idempotency_key,
        generation: 0,
        header_message_id: email.rendered.header_message_id,
        from: email.rendered.from,
        to: email.to,
        subject: email.rendered.subject,
        content: email.rendered.content,
        template: email.template,
        reference: email.reference,
        run_id: email.run_id,
        step: email.step,
        attempt: email.attempt,
        on_unknown: email.on_unknown,
        reply: None,
        message: email.rendered.message,
    }
}

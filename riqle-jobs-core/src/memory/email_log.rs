use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::Memory;
use crate::{
    EmailId, EmailLog, Error, ErrorKind, RunId, clock,
    email::{
        EmailDetail, EmailEnding, EmailEvent, EmailFilter, EmailKey, EmailRecord, EmailStart, EmailStatus,
        NewEmail, NewEmailEvent, RecordedEmailEvent, Resolution, SendPhase, Suppression,
    },
};

/// The rows of the email log and the suppression list.
#[derive(Default)]
pub(super) struct Emails {
    rows: BTreeMap<EmailId, Row>,
    ids_by_key: HashMap<String, EmailId>,
    suppressed: BTreeMap<String, Suppression>,
}

struct Row {
    record: EmailRecord,
    sender: Option<Uuid>,
    events: Vec<EmailEvent>,
    /// The sends whose unknown outcome is among the events: sender, and the count of sends.
    unknown: HashSet<(Uuid, u32)>,
}

#[async_trait]
impl EmailLog for Memory {
    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error> {
        let (mut state, now) = self.begin();
        let emails = &mut state.emails;
        if let Some(row) = emails.ids_by_key.get(&email.idempotency_key).and_then(|id| emails.rows.get(id)) {
            return Ok(row.record.clone());
        }
        let record = queued(email, now);
        emails.ids_by_key.insert(record.idempotency_key.clone(), record.id);
        let row = Row { record: record.clone(), sender: None, events: Vec::new(), unknown: HashSet::new() };
        emails.rows.insert(record.id, row);
        Ok(record)
    }

    async fn start_email(&self, id: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error> {
        let (mut state, now) = self.begin();
        let row = state
            .emails
            .rows
            .get_mut(&id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "start_email", format!("no email {id}")))?;
        let before = row.record.clone();
        row.start(start, now);
        Ok((before, now))
    }

    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        let row = state.emails.rows.get_mut(&id).filter(|row| row.is_held_by(sender)).ok_or_else(|| {
            let message = format!("another sender has taken email {id}");
            Error::new(ErrorKind::LeaseLost, "email_body_begins", message)
        })?;
        row.record.detail = EmailDetail::Sending;
        row.record.phase = SendPhase::Body;
        row.record.sends = sends;
        row.record.first_send_at.get_or_insert(now);
        row.record.updated_at = now;
        Ok(())
    }

    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        if let Some(row) = state.emails.rows.get_mut(&id) {
            row.end(sender, ending, now);
        }
        Ok(())
    }

    async fn fail_emails_of_run(&self, run: RunId, error: &str) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        for row in state.emails.rows.values_mut() {
            if row.record.run_id == Some(run) && row.record.status == EmailStatus::Pending {
                row.record.status = EmailStatus::Failed;
                row.record.error = Some(error.to_owned());
                row.record.updated_at = now;
                // Whoever still sends it must not make it pending again: nobody would take it up.
                row.sender = None;
            }
        }
        Ok(())
    }

    async fn record_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        let event = event.checked()?;
        let (mut state, now) = self.begin();
        let row = state.emails.row_of(&event.email).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "record_email_event", format!("no email {:?}", event.email))
        })?;
        let is_new = row.take_event(event, now);
        Ok(RecordedEmailEvent { is_new, email: row.record.clone() })
    }

    async fn resolve_email(&self, id: EmailId, resolution: Resolution, by: &str) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        let row = state
            .emails
            .rows
            .get_mut(&id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "resolve_email", format!("no email {id}")))?;
        if let Some(event) = resolution.apply_to(&mut row.record, by, now)? {
            row.events.push(event);
            row.sender = None;
        }
        Ok(())
    }

    async fn email(&self, id: EmailId) -> Result<Option<EmailRecord>, Error> {
        Ok(self.state().emails.rows.get(&id).map(|row| row.record.clone()))
    }

    async fn emails(&self, filter: EmailFilter) -> Result<Vec<EmailRecord>, Error> {
        let before = filter.before.map_or(Unbounded, Excluded);
        let state = self.state();
        if let Some(key) = &filter.idempotency_key {
            let emails = &state.emails;
            let row = emails.ids_by_key.get(key).and_then(|id| emails.rows.get(id));
            let listed = row.map(|row| &row.record).filter(|record| is_listed_by(record, &filter));
            return Ok(listed.cloned().into_iter().collect());
        }
        let newest_first = state.emails.rows.range((Unbounded, before)).rev();
        Ok(newest_first
            .map(|(_, row)| &row.record)
            .filter(|record| is_listed_by(record, &filter))
            .take(filter.page_size())
            .cloned()
            .collect())
    }

    async fn email_events(&self, id: EmailId) -> Result<Vec<EmailEvent>, Error> {
        Ok(self.state().emails.rows.get(&id).map(|row| row.events.clone()).unwrap_or_default())
    }

    async fn suppress(&self, address: &str, reason: &str) -> Result<(), Error> {
        let (mut state, at) = self.begin();
        let address = address.to_lowercase();
        let suppression = Suppression { address: address.clone(), reason: reason.to_owned(), at };
        state.emails.suppressed.entry(address).or_insert(suppression);
        Ok(())
    }

    async fn unsuppress(&self, address: &str) -> Result<(), Error> {
        self.state().emails.suppressed.remove(&address.to_lowercase());
        Ok(())
    }

    async fn suppression(&self, address: &str) -> Result<Option<String>, Error> {
        let state = self.state();
        let suppression = state.emails.suppressed.get(&address.to_lowercase());
        Ok(suppression.map(|suppression| suppression.reason.clone()))
    }

    async fn suppressions(&self, limit: usize, after: Option<String>) -> Result<Vec<Suppression>, Error> {
        let after = after.map_or(Unbounded, Excluded);
        let state = self.state();
        let list = state.emails.suppressed.range((after, Unbounded));
        Ok(list.take(limit).map(|(_, suppression)| suppression.clone()).collect())
    }
}

impl Emails {
    fn row_of(&mut self, key: &EmailKey) -> Option<&mut Row> {
        match key {
            EmailKey::Id(id) => self.rows.get_mut(id),
            EmailKey::MessageId { provider, message_id } => self.rows.values_mut().find(|row| {
                row.record.provider == *provider && row.record.message_id.as_ref() == Some(message_id)
            }),
            EmailKey::HeaderMessageId(id) => {
                self.rows.values_mut().find(|row| row.record.header_message_id == *id)
            }
        }
    }

    /// Deletes old rows that are not pending; answers how many.
    pub(super) fn prune(&mut self, kept: Option<Duration>, now: Timestamp) -> u64 {
        let Some(kept) = kept else { return 0 };
        let before = clock::earlier(now, kept);
        let count = self.rows.len();
        self.rows.retain(|_, Row { record, .. }| {
            record.status == EmailStatus::Pending || record.created_at >= before
        });
        self.ids_by_key.retain(|_, id| self.rows.contains_key(id));
        (count - self.rows.len()) as u64
    }
}

impl Row {
    fn is_held_by(&self, sender: Uuid) -> bool {
        self.sender == Some(sender) && self.record.status != EmailStatus::Sent
    }

    /// Whether it is new.
    fn take_event(&mut self, event: NewEmailEvent, now: Timestamp) -> bool {
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

    fn start(&mut self, start: EmailStart, now: Timestamp) {
        let record = &mut self.record;
        if record.status == EmailStatus::Sent || start.waits_for(record, now).is_some() {
            return;
        }
        self.sender = Some(start.sender);
        record.status = EmailStatus::Pending;
        record.detail = EmailDetail::Sending;
        // That the body may have left is forgotten only once an outcome is known.
        if record.phase != SendPhase::Body {
            record.phase = SendPhase::Started;
        }
        record.run_id = start.run_id.or(record.run_id);
        record.attempt = start.attempt;
        if let Some((provider, message)) = start.recomposed {
            record.provider = provider;
            record.message = message;
        }
        record.updated_at = now;
    }

    fn end(&mut self, sender: Uuid, ending: EmailEnding, now: Timestamp) {
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
            EmailEnding::NotSent { status, detail, error } if self.is_held_by(sender) => {
                if detail == EmailDetail::Unknown && self.unknown.insert((sender, self.record.sends)) {
                    let text = Some(error.clone());
                    let event =
                        EmailEvent { at: now, detail, text, occurred_at: None, provider_event_id: None };
                    self.events.push(event);
                }
                self.record.status = status;
                self.record.detail = detail;
                self.record.phase = match detail {
                    EmailDetail::Unknown | EmailDetail::Held => SendPhase::Body,
                    _ => SendPhase::Ended,
                };
                self.record.error = Some(error);
                self.record.updated_at = now;
            }
            _ => {}
        }
    }
}

fn queued(email: NewEmail, now: Timestamp) -> EmailRecord {
    EmailRecord {
        id: email.id,
        status: EmailStatus::Pending,
        detail: EmailDetail::Queued,
        provider: email.provider,
        message_id: None,
        error: None,
        created_at: now,
        updated_at: now,
        sent_at: None,
        first_send_at: None,
        sends: 0,
        phase: SendPhase::Queued,
        idempotency_key: email.idempotency_key,
        header_message_id: email.header_message_id,
        from: email.from,
        to: email.to,
        subject: email.subject,
        template: email.template,
        reference: email.reference,
        run_id: email.run_id,
        step: email.step,
        attempt: email.attempt,
        on_unknown: email.on_unknown,
        reply: None,
        message: email.message,
    }
}

fn is_listed_by(record: &EmailRecord, filter: &EmailFilter) -> bool {
    filter.status.is_none_or(|status| record.status == status)
        && (filter.reference.is_none() || filter.reference == record.reference)
        && (filter.run_id.is_none() || filter.run_id == record.run_id)
        && filter.to.as_ref().is_none_or(|to| to.to_lowercase() == record.to.to_lowercase())
}

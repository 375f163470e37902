//! The email log and the suppression list.

use std::{
    collections::{BTreeMap, HashMap},
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
        EmailEnding, EmailEvent, EmailFilter, EmailKey, EmailRecord, EmailRow, EmailStart, EmailStatus,
        NewEmail, NewEmailEvent, RecordedEmailEvent, Resolution, Suppression, canonical_address,
    },
};

/// The rows of the email log and the suppression list.
#[derive(Clone, Default)]
pub(super) struct Emails {
    rows: BTreeMap<EmailId, EmailRow>,
    ids_by_key: HashMap<String, EmailId>,
    suppressed: BTreeMap<String, Suppression>,
}

#[async_trait]
impl EmailLog for Memory {
    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error> {
        let (mut state, now) = self.begin();
        let emails = &mut state.emails;
        if let Some(row) = emails.ids_by_key.get(&email.idempotency_key).and_then(|id| emails.rows.get(id)) {
            return Ok(row.record.clone());
        }
        let row = EmailRow::new(email, now);
        let record = row.record.clone();
        emails.ids_by_key.insert(record.idempotency_key.clone(), record.id);
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
        row.start(&start, now);
        Ok((before, now))
    }

    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        if state.emails.rows.get_mut(&id).is_some_and(|row| row.body_begins(sender, sends, now)) {
            return Ok(());
        }
        let message = format!("another sender has taken email {id}");
        Err(Error::new(ErrorKind::LeaseLost, "email_body_begins", message))
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
        for row in state.emails.rows.values_mut().filter(|row| row.record.run_id == Some(run)) {
            row.fail(error, now);
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
        row.resolve(resolution, by, now).map(drop)
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
            let listed = row.map(|row| &row.record).filter(|record| filter.lists(record));
            return Ok(listed.cloned().into_iter().collect());
        }
        let newest_first = state.emails.rows.range((Unbounded, before)).rev();
        Ok(newest_first
            .map(|(_, row)| &row.record)
            .filter(|record| filter.lists(record))
            .take(filter.page_size())
            .cloned()
            .collect())
    }

    async fn email_events(&self, id: EmailId) -> Result<Vec<EmailEvent>, Error> {
        Ok(self.state().emails.rows.get(&id).map(|row| row.events.clone()).unwrap_or_default())
    }

    async fn suppress(&self, address: &str, reason: &str) -> Result<(), Error> {
        let (mut state, at) = self.begin();
        let address = canonical_address(address);
        let suppression = Suppression { address: address.clone(), reason: reason.to_owned(), at };
        state.emails.suppressed.entry(address).or_insert(suppression);
        Ok(())
    }

    async fn unsuppress(&self, address: &str) -> Result<(), Error> {
        self.state().emails.suppressed.remove(&canonical_address(address));
        Ok(())
    }

    async fn suppression(&self, address: &str) -> Result<Option<String>, Error> {
        let state = self.state();
        let suppression = state.emails.suppressed.get(&canonical_address(address));
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
    fn row_of(&mut self, key: &EmailKey) -> Option<&mut EmailRow> {
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
        self.rows.retain(|_, EmailRow { record, .. }| {
            record.status == EmailStatus::Pending || record.created_at >= before
        });
        self.ids_by_key.retain(|_, id| self.rows.contains_key(id));
        (count - self.rows.len()) as u64
    }
}

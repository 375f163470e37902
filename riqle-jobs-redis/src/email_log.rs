//! The email log and the suppression list (`EmailLog`).

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use redis::{Value, cmd};
use riqle_jobs_core::{
    EmailId, EmailLog, Error, ErrorKind, Queue, RunId,
    email::{
        EmailEnding, EmailEvent, EmailFilter, EmailRecord, EmailRow, EmailStart, EmailStatus, NewEmail,
        NewEmailEvent, RecordedEmailEvent, Resolution, Suppression, canonical_address,
    },
    from_millis,
};
use uuid::Uuid;

use crate::{
    Redis,
    change::{Change, TRIES, outrun},
    email_row::{
        self, by_key, delete, key, of_detail, of_recipient, of_reference, of_run, of_status, replace,
    },
    frame::{Frame, Reader},
    values::{bytes, fixed, list, maybe_bytes, unexpected, word},
};

/// How many rows are looked at, or deleted, at once.
const PORTION: usize = 100;

#[async_trait]
impl EmailLog for Redis {
    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error> {
        let field = by_key(&email.idempotency_key);
        for _ in 0..TRIES {
            if let Some(id) = self.email_by("intend_email", &field).await?
                && let Some((row, _)) = self.email_row("intend_email", id).await?
            {
                return Ok(row.record);
            }
            let row = EmailRow::new(email.clone(), self.now().await?);
            if self.change("intend_email", &self.shared.keys.email(), replace(None, &row)).await? {
                return Ok(row.record);
            }
        }
        Err(outrun("intend_email"))
    }

    async fn start_email(&self, id: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error> {
        let started = self.change_email("start_email", id, |row, now| Ok(row.start(&start, now))).await?;
        let ChangedEmail { before, now, .. } = started.ok_or_else(|| missing("start_email", id))?;
        Ok((before, now))
    }

    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error> {
        let overtaken = || {
            let message = format!("another sender has taken email {id}");
            Error::new(ErrorKind::LeaseLost, "email_body_begins", message)
        };
        let begins = |row: &mut EmailRow, now| {
            if row.body_begins(sender, sends, now) { Ok(true) } else { Err(overtaken()) }
        };
        self.change_email("email_body_begins", id, begins).await?.map(drop).ok_or_else(overtaken)
    }

    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error> {
        self.change_email("end_email", id, |row, now| Ok(row.end(sender, ending.clone(), now)))
            .await
            .map(drop)
    }

    async fn fail_emails_of_run(&self, run: RunId, error: &str) -> Result<(), Error> {
        let filter = EmailFilter::all().run_id(run).status(EmailStatus::Pending).limit(PORTION);
        loop {
            let pending = self.list_emails(&filter).await?;
            for email in &pending {
                let fail =
                    |row: &mut EmailRow, now| Ok(row.record.run_id == Some(run) && row.fail(error, now));
                self.change_email("fail_emails_of_run", email.id, fail).await?;
            }
            if pending.len() < PORTION {
                return Ok(());
            }
        }
    }

    async fn record_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        self.take_email_event(event.checked()?).await
    }

    async fn resolve_email(&self, id: EmailId, resolution: Resolution, by: &str) -> Result<(), Error> {
        let resolve = |row: &mut EmailRow, now| row.resolve(resolution, by, now);
        let resolved = self.change_email("resolve_email", id, resolve).await?;
        resolved.map(drop).ok_or_else(|| missing("resolve_email", id))
    }

    async fn email(&self, id: EmailId) -> Result<Option<EmailRecord>, Error> {
        Ok(self.email_row("email", id).await?.map(|(row, _)| row.record))
    }

    async fn emails(&self, filter: EmailFilter) -> Result<Vec<EmailRecord>, Error> {
        if let Some(key) = &filter.idempotency_key {
            let Some(id) = self.email_by("emails", &by_key(key)).await? else { return Ok(Vec::new()) };
            let row = self.email_row("emails", id).await?.map(|(row, _)| row.record);
            return Ok(row.filter(|record| filter.lists(record)).into_iter().collect());
        }
        self.list_emails(&filter).await
    }

    async fn email_events(&self, id: EmailId) -> Result<Vec<EmailEvent>, Error> {
        Ok(self.email_row("email_events", id).await?.map(|(row, _)| row.events).unwrap_or_default())
    }

    async fn suppress(&self, address: &str, reason: &str) -> Result<(), Error> {
        let address = canonical_address(address);
        let mut frame = Frame::default();
        frame.long(self.now().await?.as_millisecond()).raw(reason.as_bytes());
        let change = Change::default()
            .expect("suppressed", &address, None)
            .hset("suppressed", &address, frame.0)
            .zadd("suppressed:list", 0, &address);
        // Where there is one already, it stays.
        self.change("suppress", &self.shared.keys.email(), change).await.map(drop)
    }

    async fn unsuppress(&self, address: &str) -> Result<(), Error> {
        let address = canonical_address(address);
        let change = Change::default().hdel("suppressed", &address).zrem("suppressed:list", &address);
        self.change("unsuppress", &self.shared.keys.email(), change).await.map(drop)
    }

    async fn suppression(&self, address: &str) -> Result<Option<String>, Error> {
        let address = canonical_address(address);
        let get = cmd("HGET").arg(self.shared.keys.of_email("suppressed")).arg(&address).take();
        let [stored] = fixed(Value::Array(self.of_email("suppression", &[get]).await?))?;
        let suppression = maybe_bytes(stored)?.map(|stored| suppression(address, &stored)).transpose()?;
        Ok(suppression.map(|suppression| suppression.reason))
    }

    async fn suppressions(&self, limit: usize, after: Option<String>) -> Result<Vec<Suppression>, Error> {
        let range = cmd("ZRANGEBYLEX")
            .arg(self.shared.keys.of_email("suppressed:list"))
            .arg(after.map_or("-".to_owned(), |after| format!("({after}")))
            .arg("+")
            .arg("LIMIT")
            .arg(0)
            .arg(limit)
            .take();
        let addresses = list(self.of_email("suppressions", &[range]).await?.remove(0))?;
        let addresses = addresses.into_iter().map(word).collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let get = cmd("HMGET").arg(self.shared.keys.of_email("suppressed")).arg(&addresses).take();
        let stored = list(self.of_email("suppressions", &[get]).await?.remove(0))?;
        let mut suppressions = Vec::new();
        for (address, stored) in addresses.into_iter().zip(stored) {
            if let Some(stored) = maybe_bytes(stored)? {
                suppressions.push(suppression(address, &stored)?);
            }
        }
        Ok(suppressions)
    }
}

/// What became of a row that was to be changed.
pub(crate) struct ChangedEmail {
    before: EmailRecord,
    pub(crate) after: EmailRecord,
    pub(crate) is_changed: bool,
    now: Timestamp,
}

impl Redis {
    pub(crate) async fn of_email(
        &self,
        operation: &'static str,
        commands: &[redis::Cmd],
    ) -> Result<Vec<Value>, Error> {
        let answers = self.shared.server.ask(operation, &self.shared.keys.email(), commands).await?;
        if answers.len() == commands.len() { Ok(answers) } else { Err(unexpected()) }
    }

    /// Changes a row as `change` says; `None` if there is no such row. Where others change it at the same time, `change` decides again.
    pub(crate) async fn change_email(
        &self,
        operation: &'static str,
        id: EmailId,
        change: impl Fn(&mut EmailRow, Timestamp) -> Result<bool, Error>,
    ) -> Result<Option<ChangedEmail>, Error> {
        for _ in 0..TRIES {
            let Some((mut row, stored)) = self.email_row(operation, id).await? else { return Ok(None) };
            let now = self.now().await?;
            let before = row.record.clone();
            let is_changed = change(&mut row, now)?;
            let replaced = replace(Some((&before, &stored)), &row);
            if !is_changed || self.change(operation, &self.shared.keys.email(), replaced).await? {
                return Ok(Some(ChangedEmail { before, after: row.record, is_changed, now }));
            }
        }
        Err(outrun(operation))
    }

    /// A row, and the bytes that it was read from.
    async fn email_row(
        &self,
        operation: &'static str,
        id: EmailId,
    ) -> Result<Option<(EmailRow, Vec<u8>)>, Error> {
        Ok(self.email_rows(operation, &[id]).await?.pop())
    }

    async fn email_rows(
        &self,
        operation: &'static str,
        ids: &[EmailId],
    ) -> Result<Vec<(EmailRow, Vec<u8>)>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let get = |hash: &str| {
            let mut get = cmd("HMGET");
            get.arg(self.shared.keys.of_email(hash));
            for id in ids {
                get.arg(&key(*id));
            }
            get
        };
        let answers = self.of_email(operation, &[get("rows"), get("messages")]).await?;
        let [rows, messages] = fixed(Value::Array(answers))?;
        let mut found = Vec::new();
        for ((id, row), message) in ids.iter().zip(list(rows)?).zip(list(messages)?) {
            if let Some(stored) = maybe_bytes(row)? {
                let message = maybe_bytes(message)?.unwrap_or_default();
                found.push((email_row::read(*id, &stored, message)?, stored));
            }
        }
        Ok(found)
    }

    /// The row that goes by this name.
    pub(crate) async fn email_by(
        &self,
        operation: &'static str,
        name: &str,
    ) -> Result<Option<EmailId>, Error> {
        let get = cmd("HGET").arg(self.shared.keys.of_email("by")).arg(name).take();
        let [id] = fixed(Value::Array(self.of_email(operation, &[get]).await?))?;
        maybe_bytes(id)?.map(|id| email_id(&id)).transpose()
    }

    async fn list_emails(&self, filter: &EmailFilter) -> Result<Vec<EmailRecord>, Error> {
        let (page, portion) = (filter.page_size(), filter.page_size().max(PORTION));
        let mut listed = Vec::new();
        let mut before = filter.before;
        loop {
            let ids = self.newest_emails(filter, before, portion).await?;
            for (row, _) in self.email_rows("emails", &ids).await? {
                if filter.lists(&row.record) {
                    listed.push(row.record);
                }
                if listed.len() == page {
                    return Ok(listed);
                }
            }
            match ids.last() {
                Some(last) if ids.len() == portion => before = Some(*last),
                _ => return Ok(listed),
            }
        }
    }

    /// The newest ids of the narrowest list of what is asked for, or of some that are as narrow, below one.
    async fn newest_emails(
        &self,
        filter: &EmailFilter,
        before: Option<EmailId>,
        portion: usize,
    ) -> Result<Vec<EmailId>, Error> {
        let narrowest = (filter.run_id.map(of_run))
            .or_else(|| filter.reference.as_deref().map(of_reference))
            .or_else(|| filter.to.as_deref().map(of_recipient));
        let lists: Vec<String> = match narrowest {
            Some(list) => vec![list],
            None if !filter.details.is_empty() => filter.details.iter().copied().map(of_detail).collect(),
            None => filter.status.map(of_status).into_iter().collect(),
        };
        let ranges: Vec<_> = if lists.is_empty() {
            vec![self.newest_of(None, before, portion)]
        } else {
            lists.iter().map(|list| self.newest_of(Some(list), before, portion)).collect()
        };
        let mut ids = Vec::new();
        for members in self.of_email("emails", &ranges).await? {
            for member in list(members)? {
                ids.push(email_id(&bytes(member)?)?);
            }
        }
        // Whatever stands in two lists has changed in between.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        ids.truncate(portion);
        Ok(ids)
    }

    /// Asks for the newest ids of a list or of all, below one.
    fn newest_of(&self, list: Option<&String>, before: Option<EmailId>, portion: usize) -> redis::Cmd {
        let id = before.map(key);
        let id = id.as_ref().map_or(&[][..], |id| id.as_slice());
        let (index, above, below) = match list {
            Some(text) => {
                let end: &[u8] = if before.is_some() { &[0] } else { &[1] };
                let above = [b"(", text.as_bytes(), end, id].concat();
                ("lists", above, [b"[", text.as_bytes(), &[0]].concat())
            }
            None if before.is_some() => ("ids", [b"(", id].concat(), b"-".to_vec()),
            None => ("ids", b"+".to_vec(), b"-".to_vec()),
        };
        let mut range = cmd("ZREVRANGEBYLEX");
        range.arg(self.shared.keys.of_email(index)).arg(above).arg(below);
        range.arg("LIMIT").arg(0).arg(portion);
        range
    }

    /// Deletes rows that are old enough and not pending; answers how many.
    pub(crate) async fn prune_emails(&self, kept: Option<Duration>) -> Result<u64, Error> {
        let Some(kept) = kept else { return Ok(0) };
        let deletion = |old: Vec<Vec<u8>>| async move {
            let ids = old.iter().map(|id| email_id(id)).collect::<Result<Vec<_>, _>>()?;
            let rows = self.email_rows("prune", &ids).await?;
            let change =
                rows.iter().fold(Change::default(), |change, (row, stored)| delete(change, row, stored));
            Ok((change, rows.len()))
        };
        self.prune_listed(&self.shared.keys.email(), "done", kept, PORTION, deletion).await
    }
}

/// The last 16 bytes.
fn email_id(bytes: &[u8]) -> Result<EmailId, Error> {
    let id = bytes.len().checked_sub(16).and_then(|start| Uuid::from_slice(&bytes[start..]).ok());
    id.map(EmailId::from_uuid).ok_or_else(unexpected)
}

fn missing(operation: &'static str, id: EmailId) -> Error {
    Error::new(ErrorKind::NotFound, operation, format!("no email {id}"))
}

fn suppression(address: String, stored: &[u8]) -> Result<Suppression, Error> {
    let mut reader = Reader(stored);
    let at = from_millis(reader.long()?);
    Ok(Suppression { address, reason: crate::frame::text(reader.rest())?, at })
}

//! An email's row as it is kept, and where it is listed.

use std::collections::{BTreeSet, HashSet};

use riqle_jobs_core::{
    EmailId, Error, RunId,
    email::{EmailDetail, EmailEvent, EmailRecord, EmailRow, EmailStatus, OnUnknown, canonical_address},
    from_millis,
};

use crate::{
    change::Change,
    frame::{Frame, Reader, corrupt},
};

/// A row without the message, which stands apart: it hardly ever changes.
pub(crate) fn write(row: &EmailRow) -> Vec<u8> {
    let record = &row.record;
    let mut frame = Frame::default();
    frame.maybe(row.sender, |frame, sender| frame.uuid(sender));
    for word in [record.status.as_str(), record.detail.as_str(), record.phase.as_str()] {
        frame.word(word);
    }
    frame.word(if record.on_unknown == OnUnknown::Hold { "hold" } else { "send-again" });
    for text in [
        &record.provider,
        &record.idempotency_key,
        &record.header_message_id,
        &record.from,
        &record.to,
        &record.subject,
        &record.template,
        &record.content,
    ] {
        frame.text(text);
    }
    for text in [&record.message_id, &record.error, &record.reference, &record.step, &record.reply] {
        frame.maybe_text(text.as_deref());
    }
    frame.long(record.created_at.as_millisecond()).long(record.updated_at.as_millisecond());
    for time in [record.sent_at, record.first_send_at, record.deferred_since] {
        frame.maybe(time, |frame, time| frame.long(time.as_millisecond()));
    }
    frame.number(record.sends).number(record.attempt).number(record.generation);
    frame.maybe(record.run_id, |frame, run| frame.uuid(run.as_uuid()));
    frame.number(u32::try_from(row.unknown.len()).unwrap_or(u32::MAX));
    for (sender, sends) in &row.unknown {
        frame.uuid(*sender).number(*sends);
    }
    for event in &row.events {
        frame.long(event.at.as_millisecond()).word(event.detail.as_str()).maybe_text(event.text.as_deref());
        frame.maybe(event.occurred_at, |frame, time| frame.long(time.as_millisecond()));
        frame.maybe_text(event.provider_event_id.as_deref());
    }
    frame.0
}

pub(crate) fn read(id: EmailId, stored: &[u8], message: Vec<u8>) -> Result<EmailRow, Error> {
    let mut reader = Reader(stored);
    let r = &mut reader;
    let sender = r.maybe(Reader::uuid)?;
    let (status, detail, phase) = (r.word()?.parse()?, r.word()?.parse()?, r.word()?.parse()?);
    let on_unknown = match r.word()?.as_str() {
        "hold" => OnUnknown::Hold,
        "send-again" => OnUnknown::SendAgain,
        other => return Err(corrupt(format!("unknown OnUnknown: {other:?}"))),
    };
    let (provider, idempotency_key, header_message_id) = (r.text()?, r.text()?, r.text()?);
    let (from, to, subject, template, content) = (r.text()?, r.text()?, r.text()?, r.text()?, r.text()?);
    let (message_id, error, reference) =
        (r.maybe(Reader::text)?, r.maybe(Reader::text)?, r.maybe(Reader::text)?);
    let (step, reply) = (r.maybe(Reader::text)?, r.maybe(Reader::text)?);
    let (created_at, updated_at) = (from_millis(r.long()?), from_millis(r.long()?));
    let (sent_at, first_send_at, deferred_since) = (r.maybe(time)?, r.maybe(time)?, r.maybe(time)?);
    let (sends, attempt, generation) = (r.number()?, r.number()?, r.number()?);
    let run_id = r.maybe(Reader::uuid)?.map(RunId::from_uuid);
    let unknown =
        (0..r.number()?).map(|_| Ok((r.uuid()?, r.number()?))).collect::<Result<HashSet<_>, Error>>()?;
    let mut events = Vec::new();
    while !r.0.is_empty() {
        events.push(EmailEvent {
            at: time(r)?,
            detail: r.word()?.parse()?,
            text: r.maybe(Reader::text)?,
            occurred_at: r.maybe(time)?,
            provider_event_id: r.maybe(Reader::text)?,
        });
    }
    let record = EmailRecord {
        id,
        status,
        detail,
        provider,
        message_id,
        error,
        created_at,
        updated_at,
        sent_at,
        first_send_at,
        sends,
        deferred_since,
        phase,
        idempotency_key,
        generation,
        header_message_id,
        from,
        to,
        subject,
        content,
        template,
        reference,
        run_id,
        step,
        attempt,
        on_unknown,
        reply,
        message,
    };
    Ok(EmailRow { record, sender, events, unknown })
}

fn time(reader: &mut Reader<'_>) -> Result<riqle_jobs_core::Timestamp, Error> {
    reader.long().map(from_millis)
}

pub(crate) fn key(id: EmailId) -> [u8; 16] {
    id.as_uuid().into_bytes()
}

/// What stands before the id in `lists`.
pub(crate) fn of_status(status: EmailStatus) -> String {
    format!("status {status}")
}

pub(crate) fn of_detail(detail: EmailDetail) -> String {
    format!("detail {detail}")
}

pub(crate) fn of_reference(reference: &str) -> String {
    format!("reference {reference}")
}

pub(crate) fn of_run(run: RunId) -> String {
    format!("run {run}")
}

pub(crate) fn of_recipient(address: &str) -> String {
    format!("to {}", canonical_address(address))
}

/// The fields of `by`.
pub(crate) fn by_key(key: &str) -> String {
    format!("key {key}")
}

pub(crate) fn by_message(provider: &str, id: &str) -> String {
    format!("message {provider}\0{id}")
}

pub(crate) fn by_header(id: &str) -> String {
    format!("header {id}")
}

fn lists(record: &EmailRecord) -> BTreeSet<Vec<u8>> {
    let mut lists = vec![of_status(record.status), of_detail(record.detail), of_recipient(&record.to)];
    lists.extend(record.reference.as_deref().map(of_reference));
    lists.extend(record.run_id.map(of_run));
    lists.into_iter().map(|list| [list.as_bytes(), &[0], &key(record.id)].concat()).collect()
}

fn fields(record: &EmailRecord) -> BTreeSet<String> {
    let mut fields = vec![by_key(&record.idempotency_key), by_header(&record.header_message_id)];
    fields.extend(record.message_id.as_deref().map(|id| by_message(&record.provider, id)));
    fields.into_iter().collect()
}

/// Writes a row in the place of the one that was read, and lists it again.
pub(crate) fn replace(before: Option<(&EmailRecord, &[u8])>, after: &EmailRow) -> Change {
    let (record, id) = (&after.record, key(after.record.id));
    let mut change =
        Change::default().expect("rows", id, before.map(|(_, stored)| stored)).hset("rows", id, write(after));
    let before = before.map(|(record, _)| record);
    if before.is_none() {
        change = change.expect("by", by_key(&record.idempotency_key), None).zadd("ids", 0, id);
    }
    if before.is_none_or(|before| before.message != record.message) {
        change = change.hset("messages", id, &record.message);
    }
    let (listed, named) = (before.map(lists).unwrap_or_default(), before.map(fields).unwrap_or_default());
    for list in listed.difference(&lists(record)) {
        change = change.zrem("lists", list);
    }
    for list in lists(record).difference(&listed) {
        change = change.zadd("lists", 0, list);
    }
    for field in fields(record).difference(&named) {
        change = change.hset("by", field, id);
    }
    match record.status {
        EmailStatus::Pending => change.zrem("done", id),
        EmailStatus::Sent | EmailStatus::Failed => {
            change.zadd("done", record.created_at.as_millisecond(), id)
        }
    }
}

/// Deletes a row.
pub(crate) fn delete(mut change: Change, row: &EmailRow, stored: &[u8]) -> Change {
    let id = key(row.record.id);
    change = change
        .expect("rows", id, Some(stored))
        .zrem("done", id)
        .zrem("ids", id)
        .hdel("rows", id)
        .hdel("messages", id);
    for list in lists(&row.record) {
        change = change.zrem("lists", list);
    }
    fields(&row.record).iter().fold(change, |change, field| change.hdel("by", field))
}

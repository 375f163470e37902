//! The email log and the suppression list (`EmailLog`).

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    EmailId, EmailLog, Error, ErrorKind, RunId,
    email::{
        EmailEnding, EmailEvent, EmailFilter, EmailRecord, EmailStart, EmailStatus, NewEmail, NewEmailEvent,
        OnUnknown, RecordedEmailEvent, Resolution, Suppression, canonical_address,
    },
};
use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    Sqlite,
    email_events::{add_event, email_event, record_email_event, resolve_email},
    error::{Failure, Result as Fallible},
    rows::{get, maybe_run_id, maybe_time, millis, time, word},
    writer::Write,
};

#[async_trait]
impl EmailLog for Sqlite {
    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error> {
        let writer = &self.shared.writer;
        writer.change("intend_email", email, |write, email| Box::pin(intend_email(write, email))).await
    }

    async fn start_email(&self, id: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error> {
        let writer = &self.shared.writer;
        writer
            .change("start_email", (id, start), |write, (id, start)| Box::pin(start_email(write, *id, start)))
            .await
    }

    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("email_body_begins", (id, sender, sends), |write, (id, sender, sends)| {
                Box::pin(email_body_begins(write, *id, *sender, *sends))
            })
            .await
    }

    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("end_email", (id, sender, ending), |write, (id, sender, ending)| {
                Box::pin(end_email(write, *id, *sender, ending))
            })
            .await
    }

    async fn fail_emails_of_run(&self, run: RunId, error: &str) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("fail_emails_of_run", (run, error.to_owned()), |write, (run, error)| {
                Box::pin(fail_emails_of_run(&mut write.connection, *run, error, write.now))
            })
            .await
    }

    async fn record_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        let event = event.checked()?;
        let writer = &self.shared.writer;
        writer
            .change("record_email_event", event, |write, event| Box::pin(record_email_event(write, event)))
            .await
    }

    async fn resolve_email(&self, id: EmailId, resolution: Resolution, by: &str) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("resolve_email", (id, resolution, by.to_owned()), |write, (id, resolution, by)| {
                Box::pin(resolve_email(write, *id, *resolution, by))
            })
            .await
    }

    async fn email(&self, id: EmailId) -> Result<Option<EmailRecord>, Error> {
        self.read("email", |mut connection| async move { find_email(&mut connection, id).await }).await
    }

    async fn emails(&self, filter: EmailFilter) -> Result<Vec<EmailRecord>, Error> {
        self.read("emails", |mut connection| async move { list_emails(&mut connection, filter).await }).await
    }

    async fn email_events(&self, id: EmailId) -> Result<Vec<EmailEvent>, Error> {
        self.read("email_events", |mut connection| async move {
            let rows = sqlx::query("SELECT * FROM riqle_email_events WHERE email = ?1 ORDER BY number")
                .bind(id.as_uuid())
                .fetch_all(&mut *connection)
                .await?;
            rows.iter().map(email_event).collect()
        })
        .await
    }

    async fn suppress(&self, address: &str, reason: &str) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change(
                "suppress",
                (canonical_address(address), reason.to_owned()),
                |write, (address, reason)| {
                    let insert = "INSERT INTO riqle_suppressions (address, reason, at) VALUES (?1, ?2, ?3)
                              ON CONFLICT DO NOTHING";
                    let query = sqlx::query(insert).bind(address).bind(reason).bind(millis(write.now));
                    Box::pin(write.run(query))
                },
            )
            .await
    }

    async fn unsuppress(&self, address: &str) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("unsuppress", canonical_address(address), |write, address| {
                let query = sqlx::query("DELETE FROM riqle_suppressions WHERE address = ?1").bind(address);
                Box::pin(write.run(query))
            })
            .await
    }

    async fn suppression(&self, address: &str) -> Result<Option<String>, Error> {
        let address = canonical_address(address);
        self.read("suppression", |mut connection| async move {
            let row = sqlx::query("SELECT reason FROM riqle_suppressions WHERE address = ?1")
                .bind(address)
                .fetch_optional(&mut *connection)
                .await?;
            row.map(|row| get(&row, "reason")).transpose()
        })
        .await
    }

    async fn suppressions(&self, limit: usize, after: Option<String>) -> Result<Vec<Suppression>, Error> {
        self.read("suppressions", |mut connection| async move {
            let list = "SELECT * FROM riqle_suppressions WHERE ?1 IS NULL OR address > ?1
                        ORDER BY address LIMIT ?2";
            let rows = sqlx::query(list)
                .bind(after)
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&mut *connection)
                .await?;
            rows.iter().map(suppression).collect()
        })
        .await
    }
}

async fn intend_email(write: &mut Write, email: &NewEmail) -> Fallible<EmailRecord> {
    let row = sqlx::query(include_str!("../queries/intend_email.sql"))
        .bind(email.id.as_uuid())
        .bind(&email.rendered.provider)
        .bind(millis(write.now))
        .bind(&email.idempotency_key)
        .bind(&email.rendered.header_message_id)
        .bind(&email.rendered.from)
        .bind(&email.to)
        .bind(canonical_address(&email.to))
        .bind(&email.rendered.subject)
        .bind(&email.template)
        .bind(&email.reference)
        .bind(email.run_id.map(|id| id.as_uuid()))
        .bind(&email.step)
        .bind(email.attempt)
        .bind(on_unknown_word(email.on_unknown))
        .bind(&email.rendered.message)
        .bind(&email.rendered.content)
        .fetch_one(&mut write.connection)
        .await?;
    record(&row)
}

async fn start_email(
    write: &mut Write,
    id: EmailId,
    start: &EmailStart,
) -> Fallible<(EmailRecord, Timestamp)> {
    let before = find_email(&mut write.connection, id).await?.ok_or_else(|| {
        Failure::from(Error::new(ErrorKind::NotFound, "start_email", format!("no email {id}")))
    })?;
    let now = write.now;
    if before.status == EmailStatus::Sent || start.waits_for(&before, now).is_some() {
        return Ok((before, now));
    }
    let mut row = before.clone();
    let event = start.apply_to(&mut row, now);
    sqlx::query(include_str!("../queries/start_email.sql"))
        .bind(id.as_uuid())
        .bind(start.sender)
        .bind(row.phase.as_str())
        .bind(row.run_id.map(|id| id.as_uuid()))
        .bind(row.attempt)
        .bind(row.provider)
        .bind(row.header_message_id)
        .bind(row.from)
        .bind(row.subject)
        .bind(row.content)
        .bind(row.generation)
        .bind(row.first_send_at.map(millis))
        .bind(row.deferred_since.map(millis))
        .bind((row.message != before.message).then_some(row.message))
        .bind(millis(now))
        .execute(&mut write.connection)
        .await?;
    if let Some(event) = event {
        add_event(write, id, &event).await?;
    }
    Ok((before, now))
}

async fn email_body_begins(write: &mut Write, id: EmailId, sender: Uuid, sends: u32) -> Fallible<()> {
    let held = sqlx::query(include_str!("../queries/email_body_begins.sql"))
        .bind(id.as_uuid())
        .bind(sender)
        .bind(sends)
        .bind(millis(write.now))
        .execute(&mut write.connection)
        .await?;
    if held.rows_affected() == 0 {
        let message = format!("another sender has taken email {id}");
        return Err(Failure::from(Error::new(ErrorKind::LeaseLost, "email_body_begins", message)));
    }
    Ok(())
}

async fn end_email(write: &mut Write, id: EmailId, sender: Uuid, ending: &EmailEnding) -> Fallible<()> {
    let query = match ending {
        EmailEnding::Sent { message_id, reply } => sqlx::query(include_str!("../queries/email_sent.sql"))
            .bind(id.as_uuid())
            .bind(message_id)
            .bind(reply),
        EmailEnding::NotSent { status, detail, may_have_left, deferred_since, error } => {
            sqlx::query(include_str!("../queries/email_not_sent.sql"))
                .bind(id.as_uuid())
                .bind(sender)
                .bind(status.as_str())
                .bind(detail.as_str())
                .bind(error)
                .bind(*may_have_left)
                .bind(deferred_since.map(millis))
        }
    };
    let query = query.bind(millis(write.now));
    write.run(query).await
}

pub(crate) async fn find_email(
    connection: &mut SqliteConnection,
    id: EmailId,
) -> Fallible<Option<EmailRecord>> {
    let row = sqlx::query("SELECT * FROM riqle_emails WHERE id = ?1")
        .bind(id.as_uuid())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(record).transpose()
}

async fn list_emails(connection: &mut SqliteConnection, filter: EmailFilter) -> Fallible<Vec<EmailRecord>> {
    // Above every id.
    let before = filter.before.map_or(vec![0xff; 17], |id| id.as_uuid().as_bytes().to_vec());
    let sql = page_of_emails(&filter);
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(before)
        .bind(filter.status.map(|status| status.as_str()))
        .bind(&filter.reference)
        .bind(filter.run_id.map(|id| id.as_uuid()))
        .bind(filter.to.as_deref().map(canonical_address))
        .bind(i64::try_from(filter.page_size()).unwrap_or(i64::MAX))
        .bind(&filter.idempotency_key)
        .fetch_all(connection)
        .await?;
    rows.iter().map(record).collect()
}

/// The query of a page. By details alone, each is one range of an index, which ends at its limit.
pub(crate) fn page_of_emails(filter: &EmailFilter) -> String {
    let conditions = [
        (filter.status.is_some(), " AND status = ?2"),
        (filter.reference.is_some(), " AND reference = ?3"),
        (filter.run_id.is_some(), " AND run_id = ?4"),
        (filter.to.is_some(), " AND recipient_folded = ?5"),
        (filter.idempotency_key.is_some(), " AND idempotency_key = ?7"),
    ];
    let rest: String =
        conditions.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, text)| text).collect();
    let is_rare = conditions[1..].iter().any(|(is_asked, _)| *is_asked);
    let details: BTreeSet<_> = filter.details.iter().map(|detail| format!("'{detail}'")).collect();
    let which = match details.len() {
        0 => rest,
        _ if is_rare => format!(" AND detail IN ({}){rest}", Vec::from_iter(details).join(", ")),
        _ => {
            let arm = |detail| {
                format!(
                    "SELECT id FROM (SELECT id FROM riqle_emails INDEXED BY riqle_emails_detail
                     WHERE id < ?1 AND detail = {detail}{rest} ORDER BY id DESC LIMIT ?6)"
                )
            };
            let arms: Vec<_> = details.into_iter().map(arm).collect();
            format!(" AND id IN ({})", arms.join(" UNION ALL "))
        }
    };
    format!("SELECT * FROM riqle_emails WHERE id < ?1{which} ORDER BY id DESC LIMIT ?6")
}

const fn on_unknown_word(on_unknown: OnUnknown) -> &'static str {
    match on_unknown {
        OnUnknown::SendAgain => "send-again",
        OnUnknown::Hold => "hold",
    }
}

pub(crate) fn record(row: &SqliteRow) -> Fallible<EmailRecord> {
    let on_unknown = match get::<&str>(row, "on_unknown")? {
        "send-again" => OnUnknown::SendAgain,
        "hold" => OnUnknown::Hold,
        other => {
            let message = format!("unknown OnUnknown: {other:?}");
            return Err(Failure::from(Error::new(ErrorKind::Corrupt, "read", message)));
        }
    };
    Ok(EmailRecord {
        id: EmailId::from_uuid(get(row, "id")?),
        status: word(row, "status")?,
        detail: word(row, "detail")?,
        provider: get(row, "provider")?,
        message_id: get(row, "message_id")?,
        error: get(row, "error")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        sent_at: maybe_time(row, "sent_at")?,
        first_send_at: maybe_time(row, "first_send_at")?,
        sends: get(row, "sends")?,
        deferred_since: maybe_time(row, "deferred_since")?,
        phase: word(row, "phase")?,
        idempotency_key: get(row, "idempotency_key")?,
        generation: get(row, "generation")?,
        header_message_id: get(row, "header_message_id")?,
        from: get(row, "sent_from")?,
        to: get(row, "recipient")?,
        subject: get(row, "subject")?,
        content: get(row, "content")?,
        template: get(row, "template")?,
        reference: get(row, "reference")?,
        run_id: maybe_run_id(row, "run_id")?,
        step: get(row, "step")?,
        attempt: get(row, "attempt")?,
        on_unknown,
        reply: get(row, "reply")?,
        message: get(row, "message")?,
    })
}

fn suppression(row: &SqliteRow) -> Fallible<Suppression> {
    Ok(Suppression { address: get(row, "address")?, reason: get(row, "reason")?, at: time(row, "at")? })
}

/// Gives up the emails of a run that wait to be sent.
pub(crate) async fn fail_emails_of_run(
    connection: &mut SqliteConnection,
    run: RunId,
    error: &str,
    now: Timestamp,
) -> Fallible<()> {
    sqlx::query(include_str!("../queries/fail_emails_of_run.sql"))
        .bind(run.as_uuid())
        .bind(error)
        .bind(millis(now))
        .execute(connection)
        .await?;
    Ok(())
}

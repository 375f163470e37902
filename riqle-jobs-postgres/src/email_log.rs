//! The email log and the suppression list (`EmailLog`).

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    EmailId, EmailLog, Error, ErrorKind, RunId,
    email::{
        EmailEnding, EmailEvent, EmailFilter, EmailRecord, EmailStart, EmailStatus, NewEmail, NewEmailEvent,
        OnUnknown, RecordedEmailEvent, Resolution, Suppression, canonical_address,
    },
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{
    Postgres,
    email_events::{add_event, email_event, record_email_event, resolve_email},
    error::{Failure, Result as Fallible},
    rows::{get, get_u32, maybe_run_id, maybe_time, millis, size, time, word},
    work::Work,
};

#[async_trait]
impl EmailLog for Postgres {
    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error> {
        self.ask("intend_email", &email, |work, email| Box::pin(intend_email(work, email))).await
    }

    async fn start_email(&self, id: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error> {
        self.change("start_email", &(id, start), |work, (id, start)| Box::pin(start_email(work, *id, start)))
            .await
    }

    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error> {
        self.ask("email_body_begins", &(id, sender, sends), |work, (id, sender, sends)| {
            Box::pin(email_body_begins(work, *id, *sender, *sends))
        })
        .await
    }

    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error> {
        self.ask("end_email", &(id, sender, ending), |work, (id, sender, ending)| {
            Box::pin(end_email(work, *id, *sender, ending))
        })
        .await
    }

    async fn fail_emails_of_run(&self, run: RunId, error: &str) -> Result<(), Error> {
        self.ask("fail_emails_of_run", &(run, error.to_owned()), |work, (run, error)| {
            Box::pin(fail_emails_of_run(work, *run, error))
        })
        .await
    }

    async fn record_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        let event = event.checked()?;
        self.change("record_email_event", &event, |work, event| Box::pin(record_email_event(work, event)))
            .await
    }

    async fn resolve_email(&self, id: EmailId, resolution: Resolution, by: &str) -> Result<(), Error> {
        self.change("resolve_email", &(id, resolution, by.to_owned()), |work, (id, resolution, by)| {
            Box::pin(resolve_email(work, *id, *resolution, by))
        })
        .await
    }

    async fn email(&self, id: EmailId) -> Result<Option<EmailRecord>, Error> {
        self.ask("email", &id, |work, id| {
            let query = work.query("SELECT * FROM riqle.emails WHERE id = $1").bind(id.as_uuid());
            Box::pin(async move {
                query.fetch_optional(&mut *work.connection).await?.as_ref().map(record).transpose()
            })
        })
        .await
    }

    async fn emails(&self, filter: EmailFilter) -> Result<Vec<EmailRecord>, Error> {
        self.ask("emails", &filter, |work, filter| Box::pin(list_emails(work, filter))).await
    }

    async fn email_events(&self, id: EmailId) -> Result<Vec<EmailEvent>, Error> {
        self.ask("email_events", &id, |work, id| {
            let query = work
                .query("SELECT * FROM riqle.email_events WHERE email = $1 ORDER BY number")
                .bind(id.as_uuid());
            Box::pin(async move {
                query.fetch_all(&mut *work.connection).await?.iter().map(email_event).collect()
            })
        })
        .await
    }

    async fn suppress(&self, address: &str, reason: &str) -> Result<(), Error> {
        let question = (canonical_address(address), reason.to_owned());
        self.ask("suppress", &question, |work, (address, reason)| {
            let insert = "INSERT INTO riqle.suppressions (address, reason, at) VALUES ($2, $3, riqle.now($1))
                          ON CONFLICT DO NOTHING";
            let query = work.timed(insert).bind(address.clone()).bind(reason.clone());
            Box::pin(work.run(query))
        })
        .await
    }

    async fn unsuppress(&self, address: &str) -> Result<(), Error> {
        self.ask("unsuppress", &canonical_address(address), |work, address| {
            let delete = "DELETE FROM riqle.suppressions WHERE address = $1";
            let query = work.query(delete).bind(address.clone());
            Box::pin(work.run(query))
        })
        .await
    }

    async fn suppression(&self, address: &str) -> Result<Option<String>, Error> {
        self.ask("suppression", &canonical_address(address), |work, address| {
            let select = "SELECT reason FROM riqle.suppressions WHERE address = $1";
            let query = work.query(select).bind(address.clone());
            Box::pin(async move {
                let row = query.fetch_optional(&mut *work.connection).await?;
                row.map(|row| get(&row, "reason")).transpose()
            })
        })
        .await
    }

    async fn suppressions(&self, limit: usize, after: Option<String>) -> Result<Vec<Suppression>, Error> {
        self.ask("suppressions", &(limit, after), |work, (limit, after)| {
            let select = "SELECT * FROM riqle.suppressions WHERE $1::text IS NULL OR address > $1
                          ORDER BY address LIMIT $2";
            let query = work.query(select).bind(after.clone()).bind(size(*limit));
            Box::pin(async move {
                query.fetch_all(&mut *work.connection).await?.iter().map(suppression).collect()
            })
        })
        .await
    }
}

async fn intend_email(work: &mut Work<'_>, email: &NewEmail) -> Fallible<EmailRecord> {
    let row = work
        .timed(include_str!("../queries/intend_email.sql"))
        .bind(email.id.as_uuid())
        .bind(email.rendered.provider.clone())
        .bind(email.idempotency_key.clone())
        .bind(email.rendered.header_message_id.clone())
        .bind(email.rendered.from.clone())
        .bind(email.to.clone())
        .bind(canonical_address(&email.to))
        .bind(email.rendered.subject.clone())
        .bind(email.template.clone())
        .bind(email.reference.clone())
        .bind(email.run_id.map(|id| id.as_uuid()))
        .bind(email.step.clone())
        .bind(i64::from(email.attempt))
        .bind(on_unknown_word(email.on_unknown))
        .bind(email.rendered.message.clone())
        .bind(email.rendered.content.clone())
        .fetch_one(&mut *work.connection)
        .await?;
    record(&row)
}

async fn start_email(
    work: &mut Work<'_>,
    id: EmailId,
    start: &EmailStart,
) -> Fallible<(EmailRecord, Timestamp)> {
    let row = work
        .query("SELECT * FROM riqle.emails WHERE id = $1 FOR UPDATE")
        .bind(id.as_uuid())
        .fetch_optional(&mut *work.connection)
        .await?;
    let before = row.as_ref().map(record).transpose()?.ok_or_else(|| {
        Failure::from(Error::new(ErrorKind::NotFound, "start_email", format!("no email {id}")))
    })?;
    let now = work.timed("SELECT riqle.now($1) AS now").fetch_one(&mut *work.connection).await?;
    let now = time(&now, "now")?;
    if before.status == EmailStatus::Sent || start.waits_for(&before, now).is_some() {
        return Ok((before, now));
    }
    let mut row = before.clone();
    let event = start.apply_to(&mut row, now);
    work.query(include_str!("../queries/start_email.sql"))
        .bind(id.as_uuid())
        .bind(start.sender)
        .bind(row.phase.as_str())
        .bind(row.run_id.map(|id| id.as_uuid()))
        .bind(i64::from(row.attempt))
        .bind(row.provider)
        .bind(row.header_message_id)
        .bind(row.from)
        .bind(row.subject)
        .bind(row.content)
        .bind(i64::from(row.generation))
        .bind(row.first_send_at.map(millis))
        .bind(row.deferred_since.map(millis))
        .bind((row.message != before.message).then_some(row.message))
        .bind(millis(now))
        .execute(&mut *work.connection)
        .await?;
    if let Some(event) = event {
        add_event(work, id, &event).await?;
    }
    Ok((before, now))
}

async fn email_body_begins(work: &mut Work<'_>, id: EmailId, sender: Uuid, sends: u32) -> Fallible<()> {
    let held = work
        .timed(include_str!("../queries/email_body_begins.sql"))
        .bind(id.as_uuid())
        .bind(sender)
        .bind(i64::from(sends))
        .execute(&mut *work.connection)
        .await?;
    if held.rows_affected() == 0 {
        let message = format!("another sender has taken email {id}");
        return Err(Failure::from(Error::new(ErrorKind::LeaseLost, "email_body_begins", message)));
    }
    Ok(())
}

async fn end_email(work: &mut Work<'_>, id: EmailId, sender: Uuid, ending: &EmailEnding) -> Fallible<()> {
    let query = match ending {
        EmailEnding::Sent { message_id, reply } => work
            .timed(include_str!("../queries/email_sent.sql"))
            .bind(id.as_uuid())
            .bind(message_id.clone())
            .bind(reply.clone()),
        EmailEnding::NotSent { status, detail, may_have_left, deferred_since, error } => work
            .timed(include_str!("../queries/email_not_sent.sql"))
            .bind(id.as_uuid())
            .bind(sender)
            .bind(status.as_str())
            .bind(detail.as_str())
            .bind(error.clone())
            .bind(*may_have_left)
            .bind(deferred_since.map(millis)),
    };
    work.run(query).await
}

async fn list_emails(work: &mut Work<'_>, filter: &EmailFilter) -> Fallible<Vec<EmailRecord>> {
    let rows = work
        .statements
        .query_once(&page(filter))
        .bind(filter.before.map(|id| id.as_uuid()))
        .bind(filter.status.map(|status| status.as_str()))
        .bind(filter.reference.clone())
        .bind(filter.run_id.map(|id| id.as_uuid()))
        .bind(filter.to.as_deref().map(canonical_address))
        .bind(filter.idempotency_key.clone())
        .bind(filter.details.iter().map(|detail| detail.as_str()).collect::<Vec<_>>())
        .bind(size(filter.page_size()))
        .fetch_all(&mut *work.connection)
        .await?;
    rows.iter().map(record).collect()
}

/// The query of a page; it names only what is asked for.
fn page(filter: &EmailFilter) -> String {
    let has_key = filter.reference.is_some()
        || filter.run_id.is_some()
        || filter.to.is_some()
        || filter.idempotency_key.is_some();
    let conditions = [
        (filter.before.is_some(), " AND id < $1"),
        (filter.status.is_some(), " AND status >= $2 AND status <= $2"),
        (filter.reference.is_some(), " AND reference = $3"),
        (filter.run_id.is_some(), " AND run_id = $4"),
        (filter.to.is_some(), " AND recipient_folded = $5"),
        (filter.idempotency_key.is_some(), " AND idempotency_key = $6"),
        (has_key && !filter.details.is_empty(), " AND detail = ANY ($7)"),
    ];
    let conditions: String =
        conditions.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, condition)| condition).collect();
    // Written as ranges and an order that only the index of details, or of statuses, has: that of the ids would be read to
    // its end where few have them.
    let rows = if !has_key && !filter.details.is_empty() {
        format!(
            "SELECT e.id FROM (SELECT DISTINCT unnest($7)) AS d(detail) CROSS JOIN LATERAL (
                 SELECT id FROM riqle.emails WHERE detail >= d.detail AND detail <= d.detail{conditions}
                 ORDER BY detail DESC, id DESC LIMIT $8) e"
        )
    } else if !has_key && filter.status.is_some() {
        format!("SELECT id FROM riqle.emails WHERE true{conditions} ORDER BY status DESC, id DESC LIMIT $8")
    } else {
        format!("SELECT id FROM riqle.emails WHERE true{conditions} ORDER BY id DESC LIMIT $8")
    };
    include_str!("../queries/list_emails.sql").replace("/* rows */", &rows)
}

const fn on_unknown_word(on_unknown: OnUnknown) -> &'static str {
    match on_unknown {
        OnUnknown::SendAgain => "send-again",
        OnUnknown::Hold => "hold",
    }
}

pub(crate) fn record(row: &PgRow) -> Fallible<EmailRecord> {
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
        sends: get_u32(row, "sends")?,
        deferred_since: maybe_time(row, "deferred_since")?,
        phase: word(row, "phase")?,
        idempotency_key: get(row, "idempotency_key")?,
        generation: get_u32(row, "generation")?,
        header_message_id: get(row, "header_message_id")?,
        from: get(row, "sent_from")?,
        to: get(row, "recipient")?,
        subject: get(row, "subject")?,
        content: get(row, "content")?,
        template: get(row, "template")?,
        reference: get(row, "reference")?,
        run_id: maybe_run_id(row, "run_id")?,
        step: get(row, "step")?,
        attempt: get_u32(row, "attempt")?,
        on_unknown,
        reply: get(row, "reply")?,
        message: get(row, "message")?,
    })
}

fn suppression(row: &PgRow) -> Fallible<Suppression> {
    Ok(Suppression { address: get(row, "address")?, reason: get(row, "reason")?, at: time(row, "at")? })
}

/// Gives up the emails of a run that wait to be sent.
pub(crate) async fn fail_emails_of_run(work: &mut Work<'_>, run: RunId, error: &str) -> Fallible<()> {
    let query = work.timed(include_str!("../queries/fail_emails_of_run.sql"));
    work.run(query.bind(run.as_uuid()).bind(error.to_owned())).await
}

//! What becomes known of an email from outside: a provider's events, an operator's word.

use riqle_jobs_core::{
    EmailId, Error, ErrorKind, Timestamp,
    email::{EmailEvent, EmailKey, EmailRecord, NewEmailEvent, RecordedEmailEvent, Resolution},
};
use sqlx::postgres::PgRow;

use crate::{
    email_log::record,
    error::{Failure, Result},
    rows::{get, maybe_time, millis, time, word},
    work::Work,
};

pub(crate) async fn record_email_event(
    work: &mut Work<'_>,
    event: &NewEmailEvent,
) -> Result<RecordedEmailEvent> {
    let mut email = lock_email(work, &event.email).await?.ok_or_else(|| {
        let message = format!("no email {:?}", event.email);
        Failure::from(Error::new(ErrorKind::NotFound, "record_email_event", message))
    })?;
    let known = work
        .query("SELECT 1 FROM riqle.email_events WHERE provider_event_id = $1")
        .bind(event.provider_event_id.clone())
        .fetch_optional(&mut *work.connection)
        .await?;
    if known.is_some() {
        return Ok(RecordedEmailEvent { is_new: false, email });
    }
    let now = now(work).await?;
    event.apply_to(&mut email, now);
    update(work, &email, Sender::Stays).await?;
    let kept = EmailEvent {
        at: now,
        detail: event.detail,
        text: event.text.clone(),
        occurred_at: Some(event.at),
        provider_event_id: Some(event.provider_event_id.clone()),
    };
    add_event(work, email.id, &kept).await?;
    Ok(RecordedEmailEvent { is_new: true, email })
}

pub(crate) async fn resolve_email(
    work: &mut Work<'_>,
    id: EmailId,
    resolution: Resolution,
    by: &str,
) -> Result<()> {
    let mut email = lock_email(work, &EmailKey::Id(id)).await?.ok_or_else(|| {
        Failure::from(Error::new(ErrorKind::NotFound, "resolve_email", format!("no email {id}")))
    })?;
    let now = now(work).await?;
    let Some(event) = resolution.apply_to(&mut email, by, now)? else {
        return Ok(());
    };
    update(work, &email, Sender::LosesIt).await?;
    add_event(work, id, &event).await
}

async fn now(work: &mut Work<'_>) -> Result<Timestamp> {
    let row = work.timed("SELECT riqle.now($1) AS now").fetch_one(&mut *work.connection).await?;
    time(&row, "now")
}

/// The email, which nobody else changes until the transaction ends.
async fn lock_email(work: &mut Work<'_>, key: &EmailKey) -> Result<Option<EmailRecord>> {
    let query = match key {
        EmailKey::Id(id) => {
            work.query("SELECT * FROM riqle.emails WHERE id = $1 FOR UPDATE").bind(id.as_uuid())
        }
        EmailKey::MessageId { provider, message_id } => work
            .query(
                "SELECT * FROM riqle.emails WHERE message_id = $1 AND provider = $2 ORDER BY id LIMIT 1 FOR UPDATE",
            )
            .bind(message_id.clone())
            .bind(provider.clone()),
        EmailKey::HeaderMessageId(id) => work
            .query("SELECT * FROM riqle.emails WHERE header_message_id = $1 ORDER BY id LIMIT 1 FOR UPDATE")
            .bind(id.clone()),
    };
    query.fetch_optional(&mut *work.connection).await?.as_ref().map(record).transpose()
}

/// What becomes of a sender that is about to send the email.
#[derive(PartialEq, Eq)]
enum Sender {
    Stays,
    LosesIt,
}

async fn update(work: &mut Work<'_>, email: &EmailRecord, sender: Sender) -> Result<()> {
    Ok(work
        .query(include_str!("../queries/update_email.sql"))
        .bind(email.id.as_uuid())
        .bind(email.status.as_str())
        .bind(email.detail.as_str())
        .bind(email.phase.as_str())
        .bind(email.message_id.clone())
        .bind(email.sent_at.map(millis))
        .bind(millis(email.updated_at))
        .bind(sender == Sender::Stays)
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}

pub(crate) async fn add_event(work: &mut Work<'_>, email: EmailId, event: &EmailEvent) -> Result<()> {
    Ok(work
        .query(include_str!("../queries/add_email_event.sql"))
        .bind(email.as_uuid())
        .bind(millis(event.at))
        .bind(event.detail.as_str())
        .bind(event.text.clone())
        .bind(event.occurred_at.map(millis))
        .bind(event.provider_event_id.clone())
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}

/// An event, as the columns of `email_events` have it.
pub(crate) fn email_event(row: &PgRow) -> Result<EmailEvent> {
    Ok(EmailEvent {
        at: time(row, "at")?,
        detail: word(row, "detail")?,
        text: get(row, "text")?,
        occurred_at: maybe_time(row, "occurred_at")?,
        provider_event_id: get(row, "provider_event_id")?,
    })
}

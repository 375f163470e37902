//! What becomes known of an email from outside: a provider's events, an operator's word.

use riqle_jobs_core::{
    EmailId, Error, ErrorKind,
    email::{EmailEvent, EmailKey, EmailRecord, NewEmailEvent, RecordedEmailEvent, Resolution},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    email_log::{find_email, record},
    error::{Failure, Result},
    rows::{get, maybe_time, millis, time, word},
    writer::Write,
};

pub(crate) async fn record_email_event(
    write: &mut Write,
    event: &NewEmailEvent,
) -> Result<RecordedEmailEvent> {
    let mut email = find_by_key(&mut write.connection, &event.email).await?.ok_or_else(|| {
        let message = format!("no email {:?}", event.email);
        Failure::from(Error::new(ErrorKind::NotFound, "record_email_event", message))
    })?;
    let known = sqlx::query("SELECT 1 FROM riqle_email_events WHERE provider_event_id = ?1")
        .bind(&event.provider_event_id)
        .fetch_optional(&mut write.connection)
        .await?;
    if known.is_some() {
        return Ok(RecordedEmailEvent { is_new: false, email });
    }
    event.apply_to(&mut email, write.now);
    update(write, &email, Sender::Stays).await?;
    let kept = EmailEvent {
        at: write.now,
        detail: event.detail,
        text: event.text.clone(),
        occurred_at: Some(event.at),
        provider_event_id: Some(event.provider_event_id.clone()),
    };
    add_event(write, email.id, &kept).await?;
    Ok(RecordedEmailEvent { is_new: true, email })
}

pub(crate) async fn resolve_email(
    write: &mut Write,
    id: EmailId,
    resolution: Resolution,
    by: &str,
) -> Result<()> {
    let mut email = find_email(&mut write.connection, id).await?.ok_or_else(|| {
        Failure::from(Error::new(ErrorKind::NotFound, "resolve_email", format!("no email {id}")))
    })?;
    let Some(event) = resolution.apply_to(&mut email, by, write.now)? else {
        return Ok(());
    };
    update(write, &email, Sender::LosesIt).await?;
    add_event(write, id, &event).await
}

async fn find_by_key(connection: &mut SqliteConnection, key: &EmailKey) -> Result<Option<EmailRecord>> {
    let query = match key {
        EmailKey::Id(id) => return find_email(connection, *id).await,
        EmailKey::MessageId { provider, message_id } => sqlx::query(
            "SELECT * FROM riqle_emails WHERE message_id = ?1 AND provider = ?2 ORDER BY id LIMIT 1",
        )
        .bind(message_id)
        .bind(provider),
        EmailKey::HeaderMessageId(id) => {
            sqlx::query("SELECT * FROM riqle_emails WHERE header_message_id = ?1 ORDER BY id LIMIT 1")
                .bind(id)
        }
    };
    query.fetch_optional(connection).await?.as_ref().map(record).transpose()
}

/// What becomes of a sender that is about to send the email.
#[derive(PartialEq, Eq)]
enum Sender {
    Stays,
    LosesIt,
}

async fn update(write: &mut Write, email: &EmailRecord, sender: Sender) -> Result<()> {
    Ok(sqlx::query(include_str!("../queries/update_email.sql"))
        .bind(email.id.as_uuid())
        .bind(email.status.as_str())
        .bind(email.detail.as_str())
        .bind(email.phase.as_str())
        .bind(&email.message_id)
        .bind(email.sent_at.map(millis))
        .bind(millis(email.updated_at))
        .bind(sender == Sender::Stays)
        .execute(&mut write.connection)
        .await
        .map(drop)?)
}

pub(crate) async fn add_event(write: &mut Write, email: EmailId, event: &EmailEvent) -> Result<()> {
    Ok(sqlx::query(include_str!("../queries/add_email_event.sql"))
        .bind(email.as_uuid())
        .bind(millis(event.at))
        .bind(event.detail.as_str())
        .bind(&event.text)
        .bind(event.occurred_at.map(millis))
        .bind(&event.provider_event_id)
        .execute(&mut write.connection)
        .await
        .map(drop)?)
}

/// An event, as the columns of `riqle_email_events` have it.
pub(crate) fn email_event(row: &SqliteRow) -> Result<EmailEvent> {
    Ok(EmailEvent {
        at: time(row, "at")?,
        detail: word(row, "detail")?,
        text: get(row, "text")?,
        occurred_at: maybe_time(row, "occurred_at")?,
        provider_event_id: get(row, "provider_event_id")?,
    })
}

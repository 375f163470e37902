//! What cases about emails begin with.

use std::time::Duration;

use riqle_jobs_core::{
    EmailId, EmailLog,
    email::{
        EmailDetail, EmailEnding, EmailRecord, EmailStart, EmailStatus, NewEmail, OnUnknown, Rendered,
        SendPhase,
    },
};
use uuid::Uuid;

use super::at;

/// An email that is held where its outcome is unknown.
pub(crate) fn email(key: &str) -> NewEmail {
    NewEmail {
        id: EmailId::new(),
        idempotency_key: key.to_owned(),
        rendered: rendered(key),
        to: "Ada@example.com".to_owned(),
        template: "purchase-confirmation".to_owned(),
        reference: Some("order-1001".to_owned()),
        run_id: None,
        step: Some("send".to_owned()),
        attempt: 1,
        on_unknown: OnUnknown::Hold,
    }
}

/// What is sent of it, in the form of `smtp`.
pub(crate) fn rendered(key: &str) -> Rendered {
    Rendered {
        provider: "smtp".to_owned(),
        header_message_id: format!("<{key}@riqle.com>"),
        from: "Riqle <orders@riqle.com>".to_owned(),
        subject: "Your order".to_owned(),
        content: "first".to_owned(),
        message: b"Subject: Your order\r\n\r\nThank you \xf0\x9f\x8e\x81".to_vec(),
    }
}

/// The row as `intend_email` makes it, at the time 0.
pub(crate) fn queued(email: &NewEmail) -> EmailRecord {
    let email = email.clone();
    EmailRecord {
        id: email.id,
        status: EmailStatus::Pending,
        detail: EmailDetail::Queued,
        provider: email.rendered.provider,
        message_id: None,
        error: None,
        created_at: at(0),
        updated_at: at(0),
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

/// Stores the intent.
pub(crate) async fn intended(log: &(impl EmailLog + ?Sized), email: NewEmail) -> EmailId {
    log.intend_email(email).await.unwrap().id
}

/// Takes the row for a new sender.
pub(crate) async fn started(log: &(impl EmailLog + ?Sized), id: EmailId) -> Uuid {
    let start = start();
    log.start_email(id, start.clone()).await.unwrap();
    start.sender
}

/// A new sender that waits for no other.
pub(crate) fn start() -> EmailStart {
    EmailStart {
        sender: Uuid::new_v4(),
        run_id: None,
        attempt: 1,
        rendered: None,
        longest_send: Duration::ZERO,
    }
}

/// The row, as it stands.
pub(crate) async fn row(log: &(impl EmailLog + ?Sized), id: EmailId) -> EmailRecord {
    log.email(id).await.unwrap().expect("the row is there")
}

/// The provider accepted it.
pub(crate) fn sent() -> EmailEnding {
    EmailEnding::Sent { message_id: "provider-1".to_owned(), reply: "250 ok".to_owned() }
}

/// It was not sent, or not for certain.
pub(crate) fn not_sent(status: EmailStatus, detail: EmailDetail, error: &str) -> EmailEnding {
    let may_have_left = matches!(detail, EmailDetail::Unknown | EmailDetail::Held);
    EmailEnding::NotSent { status, detail, may_have_left, deferred_since: None, error: error.to_owned() }
}

//! What providers and operators say of an email after it has left, and who gets no more.

use riqle_jobs_core::{
    EmailId, ErrorKind, Store,
    email::{
        self, EmailDetail, EmailEvent, EmailKey, EmailRecord, EmailStatus, NewEmailEvent, Resolution,
        SendPhase, Suppression,
    },
};
use uuid::Uuid;

use crate::{
    Harness,
    given::{email::*, *},
};

fn event(id: EmailId, detail: EmailDetail, event_id: &str) -> NewEmailEvent {
    NewEmailEvent {
        email: EmailKey::Id(id),
        detail,
        is_permanent: false,
        at: at(-500),
        text: Some("250 ok".to_owned()),
        provider_event_id: event_id.to_owned(),
    }
}

async fn sent_email(store: &dyn Store, key: &str) -> EmailId {
    let id = intended(store, email(key)).await;
    let sender = started(store, id).await;
    store.end_email(id, sender, sent()).await.unwrap();
    id
}

/// An email whose body may have left, and that is held for an operator.
async fn held_email(store: &dyn Store, key: &str) -> (EmailId, Uuid) {
    let id = intended(store, email(key)).await;
    let sender = started(store, id).await;
    store.email_body_begins(id, sender, 1).await.unwrap();
    let held = not_sent(EmailStatus::Pending, EmailDetail::Held, "cut off");
    store.end_email(id, sender, held).await.unwrap();
    (id, sender)
}

pub async fn a_delivery_event_is_appended_once_for_its_id(harness: &dyn Harness) {
    let store = harness.store();
    let id = sent_email(&*store, "key-1").await;
    harness.clock().advance(secs(1));

    let first = store.record_email_event(event(id, EmailDetail::Delivered, "evt-1")).await.unwrap();
    harness.clock().advance(secs(1));
    let other = store.record_email_event(event(id, EmailDetail::Complained, "evt-1")).await.unwrap();

    assert!(first.is_new && !other.is_new);
    let expected = EmailEvent {
        at: at(1000),
        detail: EmailDetail::Delivered,
        text: Some("250 ok".to_owned()),
        occurred_at: Some(at(-500)),
        provider_event_id: Some("evt-1".to_owned()),
    };
    assert_eq!(harness.second_handle().await.email_events(id).await.unwrap(), [expected]);
    let row = row(&*store, id).await;
    assert_eq!((row.detail, row.updated_at), (EmailDetail::Delivered, at(1000)));
    assert_eq!([first.email, other.email], [row.clone(), row]);
}

pub async fn of_many_deliveries_of_an_event_at_once_one_is_new(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await];
    let id = sent_email(&*handles[0], "key-1").await;

    let answers = at_once(8, |number| {
        let store = handles[number % 2].clone();
        let event = event(id, EmailDetail::Delivered, "evt-1");
        async move { store.record_email_event(event).await.unwrap().is_new }
    })
    .await;

    assert_eq!(answers.iter().filter(|is_new| **is_new).count(), 1);
    assert_eq!(handles[0].email_events(id).await.unwrap().len(), 1);
}

pub async fn events_in_any_order_leave_the_same_detail(harness: &dyn Harness) {
    let store = harness.store();
    use EmailDetail::{Accepted, Bounced, Complained, Delivered};
    for (number, (order, expected)) in [
        ([Accepted, Delivered, Complained], Complained),
        ([Complained, Delivered, Accepted], Complained),
        ([Delivered, Accepted, Delivered], Delivered),
        ([Bounced, Delivered, Accepted], Bounced),
    ]
    .into_iter()
    .enumerate()
    {
        let id = sent_email(&*store, &format!("key-{number}")).await;
        for (index, detail) in order.into_iter().enumerate() {
            let event = event(id, detail, &format!("evt-{number}-{index}"));
            assert!(store.record_email_event(event).await.unwrap().is_new);
        }
        let row = row(&*store, id).await;
        assert_eq!((row.status, row.detail), (EmailStatus::Sent, expected), "{order:?}");
        let told: Vec<_> = store.email_events(id).await.unwrap().iter().map(|event| event.detail).collect();
        assert_eq!(told, order);
    }
}

pub async fn an_email_is_found_by_any_of_its_ids(harness: &dyn Harness) {
    let store = harness.store();
    let id = sent_email(&*store, "key-1").await;
    sent_email(&*store, "key-2").await;
    let by_message_id = |provider: &str| EmailKey::MessageId {
        provider: provider.to_owned(),
        message_id: "provider-1".to_owned(),
    };
    let record = async |key, event_id: &str| {
        let event = NewEmailEvent { email: key, ..event(id, EmailDetail::Delivered, event_id) };
        store.record_email_event(event).await.map(|recorded| recorded.email.id).map_err(|error| error.kind())
    };

    assert_eq!(record(EmailKey::HeaderMessageId("<key-1@riqle.com>".to_owned()), "evt-1").await, Ok(id));
    assert!(record(by_message_id("smtp"), "evt-2").await.is_ok());
    assert_eq!(record(by_message_id("resend"), "evt-3").await, Err(ErrorKind::NotFound));
    assert_eq!(record(EmailKey::Id(EmailId::new()), "evt-4").await, Err(ErrorKind::NotFound));
}

pub async fn a_delivery_event_proves_that_a_held_email_was_sent(harness: &dyn Harness) {
    let store = harness.store();
    let (id, sender) = held_email(&*store, "key-1").await;
    let before = row(&*store, id).await;
    harness.clock().advance(secs(1));

    store.record_email_event(event(id, EmailDetail::Delivered, "evt-1")).await.unwrap();

    let expected = EmailRecord {
        status: EmailStatus::Sent,
        detail: EmailDetail::Delivered,
        phase: SendPhase::Ended,
        sent_at: Some(at(1000)),
        updated_at: at(1000),
        ..before
    };
    assert_eq!(row(&*store, id).await, expected);
    // Who sent it learns nothing new, and nobody sends it again.
    let failed = not_sent(EmailStatus::Failed, EmailDetail::Retry, "late");
    store.end_email(id, sender, failed).await.unwrap();
    assert_eq!(store.start_email(id, start()).await.unwrap().0, expected);
    assert_eq!(row(&*store, id).await, expected);
}

pub async fn an_event_that_is_none_is_refused(harness: &dyn Harness) {
    let store = harness.store();
    let id = sent_email(&*store, "key-1").await;
    let kind = async |event| store.record_email_event(event).await.unwrap_err().kind();

    assert_eq!(kind(event(id, EmailDetail::Held, "evt-1")).await, ErrorKind::Rejected);
    assert_eq!(kind(event(id, EmailDetail::Delivered, "")).await, ErrorKind::Rejected);
    assert_eq!(store.email_events(id).await.unwrap(), []);
}

pub async fn an_operator_says_that_an_email_was_sent(harness: &dyn Harness) {
    let store = harness.store();
    let (id, _) = held_email(&*store, "key-1").await;
    harness.clock().advance(secs(1));

    store.resolve_email(id, Resolution::Sent, "ada").await.unwrap();
    store.resolve_email(id, Resolution::Sent, "ada").await.unwrap();

    let row = row(&*harness.second_handle().await, id).await;
    assert_eq!(
        (row.status, row.detail, row.phase),
        (EmailStatus::Sent, EmailDetail::Accepted, SendPhase::Ended)
    );
    assert_eq!((row.sent_at, row.updated_at), (Some(at(1000)), at(1000)));
    let expected = EmailEvent {
        at: at(1000),
        detail: EmailDetail::Accepted,
        text: Some("resolved as sent by ada".to_owned()),
        occurred_at: None,
        provider_event_id: None,
    };
    assert_eq!(store.email_events(id).await.unwrap(), [expected]);
    let error = store.resolve_email(id, Resolution::NotSent, "bob").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
}

pub async fn an_operator_says_that_an_email_was_not_sent_and_it_may_go_again(harness: &dyn Harness) {
    let store = harness.store();
    let (id, sender) = held_email(&*store, "key-1").await;
    harness.clock().advance(secs(1));

    store.resolve_email(id, Resolution::NotSent, "ada").await.unwrap();
    store.resolve_email(id, Resolution::NotSent, "ada").await.unwrap();

    let resolved = row(&*store, id).await;
    assert_eq!((resolved.status, resolved.detail), (EmailStatus::Pending, EmailDetail::Retry));
    assert_eq!((resolved.phase, resolved.sends), (SendPhase::Ended, 1));
    let texts: Vec<_> = store.email_events(id).await.unwrap().into_iter().map(|event| event.text).collect();
    assert_eq!(texts, [Some("resolved as not sent by ada".to_owned())]);
    // The old sender may be a zombie.
    let error = store.email_body_begins(id, sender, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
    let again = started(&*store, id).await;
    assert_eq!(row(&*store, id).await.phase, SendPhase::Started);
    store.email_body_begins(id, again, 2).await.unwrap();
}

pub async fn only_an_open_question_is_resolved(harness: &dyn Harness) {
    let store = harness.store();
    let kind = async |id, resolution| store.resolve_email(id, resolution, "ada").await.unwrap_err().kind();

    let id = intended(&*store, email("key-1")).await;
    for resolution in [Resolution::Sent, Resolution::NotSent] {
        assert_eq!(kind(id, resolution).await, ErrorKind::Rejected, "queued");
    }
    let sender = started(&*store, id).await;
    store.email_body_begins(id, sender, 1).await.unwrap();
    for resolution in [Resolution::Sent, Resolution::NotSent] {
        assert_eq!(kind(id, resolution).await, ErrorKind::Rejected, "on its way");
    }
    let failed = not_sent(EmailStatus::Failed, EmailDetail::Rejected, "550 no such user");
    store.end_email(id, sender, failed).await.unwrap();
    assert_eq!(kind(id, Resolution::Sent).await, ErrorKind::Rejected, "certainly not sent");
    assert_eq!(kind(EmailId::new(), Resolution::Sent).await, ErrorKind::NotFound);
    let (held, _) = held_email(&*store, "key-2").await;
    let error = store.resolve_email(held, Resolution::Sent, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "by nobody");
}

pub async fn an_email_whose_sender_died_is_resolved_once_its_run_has_given_up(harness: &dyn Harness) {
    let store = harness.store();
    let run = riqle_jobs_core::RunId::new();
    let email = riqle_jobs_core::email::NewEmail { run_id: Some(run), ..email("key-1") };
    let id = intended(&*store, email).await;
    let sender = started(&*store, id).await;
    store.email_body_begins(id, sender, 1).await.unwrap();
    store.fail_emails_of_run(run, "its worker died 4 times").await.unwrap();

    store.resolve_email(id, Resolution::NotSent, "ada").await.unwrap();

    let row = row(&*store, id).await;
    assert_eq!(
        (row.status, row.detail, row.phase),
        (EmailStatus::Failed, EmailDetail::Retry, SendPhase::Ended)
    );
}

pub async fn a_permanent_bounce_and_a_complaint_suppress_the_address(harness: &dyn Harness) {
    let store = harness.store();
    let id = sent_email(&*store, "key-1").await;
    let suppressed = async || store.suppression("ada@example.com").await.unwrap();

    let soft = event(id, EmailDetail::Bounced, "evt-1");
    assert!(email::take_delivery_event(&*store, soft.clone()).await.unwrap());
    assert!(email::take_delivery_event(&*store, event(id, EmailDetail::Delivered, "evt-2")).await.unwrap());
    assert_eq!(suppressed().await, None);
    let hard = NewEmailEvent { is_permanent: true, provider_event_id: "evt-3".to_owned(), ..soft };
    assert!(email::take_delivery_event(&*store, hard.clone()).await.unwrap());
    assert_eq!(suppressed().await, Some(format!("bounced, email {id}")));

    // The process may die between the event and the list: the event's next delivery makes up for it.
    store.unsuppress("ada@example.com").await.unwrap();
    assert!(!email::take_delivery_event(&*store, hard).await.unwrap());
    assert_eq!(suppressed().await, Some(format!("bounced, email {id}")));
    store.unsuppress("ada@example.com").await.unwrap();
    email::take_delivery_event(&*store, event(id, EmailDetail::Complained, "evt-4")).await.unwrap();
    assert_eq!(suppressed().await, Some(format!("complained, email {id}")));
}

pub async fn the_suppression_list_comes_in_pages_by_address(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.suppressions(10, None).await.unwrap(), []);
    for (address, millis) in [("Eve@example.com", 0), ("ada@example.com", 5), ("bob@example.com", 9)] {
        harness.clock().set(at(millis));
        store.suppress(address, "complained").await.unwrap();
    }

    let listed = |address: &str, millis| Suppression {
        address: address.to_owned(),
        reason: "complained".to_owned(),
        at: at(millis),
    };
    let expected = [listed("ada@example.com", 5), listed("bob@example.com", 9), listed("eve@example.com", 0)];
    assert_eq!(store.suppressions(2, None).await.unwrap(), expected[..2]);
    let after = Some("bob@example.com".to_owned());
    assert_eq!(harness.second_handle().await.suppressions(2, after).await.unwrap(), expected[2..]);
    store.unsuppress("bob@example.com").await.unwrap();
    assert_eq!(store.suppressions(10, None).await.unwrap(), [expected[0].clone(), expected[2].clone()]);
}

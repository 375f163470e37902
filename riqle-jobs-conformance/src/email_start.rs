//! A sender takes a row: what it sends, and since when it is put off.

use riqle_jobs_core::{
    EmailId, ErrorKind, RunId,
    email::{
        EmailDetail, EmailEnding, EmailRecord, EmailStart, EmailStatus, NewEmail, Rendered, Resolution,
        SendPhase,
    },
};

use crate::{
    Harness,
    given::{email::*, *},
};

pub async fn a_start_takes_the_row_and_answers_with_what_it_was(harness: &dyn Harness) {
    let store = harness.store();
    let email = email("key-1");
    intended(&*store, email.clone()).await;
    harness.clock().advance(ms(40));
    let run = RunId::new();

    let start = EmailStart { run_id: Some(run), attempt: 3, ..start() };
    let (before, now) = store.start_email(email.id, start).await.unwrap();

    assert_eq!((before, now), (queued(&email), at(40)));
    let expected = EmailRecord {
        detail: EmailDetail::Sending,
        phase: SendPhase::Started,
        run_id: Some(run),
        attempt: 3,
        updated_at: at(40),
        ..queued(&email)
    };
    assert_eq!(row(&*store, email.id).await, expected);
}

pub async fn a_start_leaves_the_run_and_replaces_what_is_sent_where_told(harness: &dyn Harness) {
    let store = harness.store();
    let run = Some(RunId::new());
    let id = intended(&*store, NewEmail { run_id: run, ..email("key-1") }).await;

    let other = Rendered {
        provider: "resend".to_owned(),
        header_message_id: "<2@riqle.example>".to_owned(),
        from: "Riqle <orders@riqle.example>".to_owned(),
        subject: "Order 1001".to_owned(),
        content: "second".to_owned(),
        message: b"{}".to_vec(),
    };
    store.start_email(id, EmailStart { rendered: Some(other.clone()), ..start() }).await.unwrap();

    let row = row(&*store, id).await;
    assert_eq!((row.run_id, row.generation, row.provider_key()), (run, 0, "key-1".to_owned()));
    assert_eq!(rendered_of(row), other);
    assert_eq!(store.email_events(id).await.unwrap(), []);
}

fn rendered_of(row: EmailRecord) -> Rendered {
    Rendered {
        provider: row.provider,
        header_message_id: row.header_message_id,
        from: row.from,
        subject: row.subject,
        content: row.content,
        message: row.message,
    }
}

pub async fn bytes_are_final_while_nobody_knows_whether_they_were_taken_and_free_once_they_were_refused(
    harness: &dyn Harness,
) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let first = started(&*store, id).await;
    store.email_body_begins(id, first, 1).await.unwrap();
    let unknown = not_sent(EmailStatus::Pending, EmailDetail::Unknown, "cut off");
    store.end_email(id, first, unknown).await.unwrap();
    let corrected =
        Rendered { from: "Riqle <shop@riqle.com>".to_owned(), message: vec![1], ..rendered("key-1") };

    let second = EmailStart { rendered: Some(corrected.clone()), ..start() };
    store.start_email(id, second.clone()).await.unwrap();
    let open = row(&*store, id).await;
    assert_eq!((rendered_of(open.clone()), open.generation), (rendered("key-1"), 0));

    // Refused, but the first may have been taken.
    let refused = |may_have_left| EmailEnding::NotSent {
        status: EmailStatus::Failed,
        detail: EmailDetail::Rejected,
        may_have_left,
        deferred_since: None,
        error: "550".to_owned(),
    };
    store.end_email(id, second.sender, refused(true)).await.unwrap();
    assert_eq!(row(&*store, id).await.phase, SendPhase::Body);
    store.resolve_email(id, Resolution::NotSent, "ada").await.unwrap();
    harness.clock().advance(ms(20));

    let third = EmailStart { rendered: Some(corrected.clone()), ..start() };
    store.start_email(id, third.clone()).await.unwrap();
    let free = row(&*store, id).await;
    assert_eq!((free.generation, free.provider_key(), free.sends), (1, "key-1-1".to_owned(), 1));
    assert_eq!((free.first_send_at, rendered_of(free)), (None, corrected));
    let told = store.email_events(id).await.unwrap().pop().unwrap();
    let text = "rendered again: from Riqle <shop@riqle.com> under the key key-1-1; before, from Riqle \
                <orders@riqle.com> under key-1";
    assert_eq!((told.at, told.detail, told.text.as_deref()), (at(20), EmailDetail::Queued, Some(text)));

    // A sent row is left as it is.
    store.end_email(id, third.sender, sent()).await.unwrap();
    let fourth = EmailStart { rendered: Some(rendered("key-1")), ..start() };
    store.start_email(id, fourth).await.unwrap();
    assert_eq!(row(&*store, id).await.generation, 1);
}

pub async fn the_time_since_which_a_run_is_put_off_is_kept_until_another_run_sends(harness: &dyn Harness) {
    let store = harness.store();
    let run = Some(RunId::new());
    let id = intended(&*store, NewEmail { run_id: run, ..email("key-1") }).await;
    let send = async |run_id, detail, deferred_since| {
        harness.clock().advance(ms(10));
        let start = EmailStart { run_id, ..start() };
        store.start_email(id, start.clone()).await.unwrap();
        let (status, error) = (EmailStatus::Pending, "later".to_owned());
        let ending = EmailEnding::NotSent { status, detail, may_have_left: false, deferred_since, error };
        store.end_email(id, start.sender, ending).await.unwrap();
        row(&*store, id).await
    };

    assert_eq!(send(run, EmailDetail::Retry, None).await.deferred_since, None);
    let throttled = send(run, EmailDetail::Throttled, Some(at(20))).await;
    assert_eq!((throttled.detail, throttled.deferred_since), (EmailDetail::Throttled, Some(at(20))));
    assert_eq!(send(run, EmailDetail::Greylisted, Some(at(30))).await.deferred_since, Some(at(30)));
    assert_eq!(send(None, EmailDetail::Retry, None).await.deferred_since, Some(at(30)));
    let replay = Some(RunId::new());
    assert_eq!(send(replay, EmailDetail::QuotaUsedUp, Some(at(50))).await.deferred_since, Some(at(50)));
    assert_eq!(send(run, EmailDetail::Retry, None).await.deferred_since, None);
}

pub async fn an_outcome_that_is_unknown_is_told_once_for_each_time_the_body_left(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let unknown = not_sent(EmailStatus::Pending, EmailDetail::Unknown, "cut off");
    for sends in [Some(1), None, None, Some(2), None] {
        let sender = started(&*store, id).await;
        if let Some(sends) = sends {
            store.email_body_begins(id, sender, sends).await.unwrap();
        }
        store.end_email(id, sender, unknown.clone()).await.unwrap();
    }
    assert_eq!(store.email_events(id).await.unwrap().len(), 2);
}

pub async fn a_row_that_is_not_there_can_not_be_started(harness: &dyn Harness) {
    let error = harness.store().start_email(EmailId::new(), start()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

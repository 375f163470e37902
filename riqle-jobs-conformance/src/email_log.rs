//! What was sent to whom: the log that keeps a send effectively once.

use riqle_jobs_core::{
    EmailId, ErrorKind, RunId,
    email::{
        EmailDetail, EmailEnding, EmailEvent, EmailFilter, EmailRecord, EmailStart, EmailStatus, NewEmail,
        Rendered, SendPhase,
    },
};

use crate::{
    Harness,
    given::{email::*, *},
};

pub async fn an_intent_is_a_pending_row_with_what_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    let email = NewEmail { run_id: Some(RunId::new()), ..email("key-1") };

    let answer = store.intend_email(email.clone()).await.unwrap();

    assert_eq!(answer, queued(&email));
    assert_eq!(row(&*harness.second_handle().await, email.id).await, queued(&email));
    assert_eq!(store.email_events(email.id).await.unwrap(), []);
    assert_eq!(store.email(EmailId::new()).await.unwrap(), None);
}

pub async fn an_intent_under_a_known_key_answers_with_the_first(harness: &dyn Harness) {
    let store = harness.store();
    let first = email("key-1");
    intended(&*store, first.clone()).await;
    harness.clock().advance(secs(1));

    let another = Rendered { subject: "Another".to_owned(), message: vec![1], ..rendered("key-1") };
    let second = NewEmail { rendered: another, ..email("key-1") };
    let answer = store.intend_email(second.clone()).await.unwrap();

    assert_eq!(answer, queued(&first));
    assert_eq!(store.email(second.id).await.unwrap(), None);
}

pub async fn of_many_intents_at_once_under_a_key_one_is_stored(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await, harness.second_handle().await];

    let rows = at_once(16, |number| {
        let store = handles[number % handles.len()].clone();
        async move { store.intend_email(email("key-1")).await.unwrap() }
    })
    .await;

    assert!(rows.iter().all(|row| row.id == rows[0].id));
    assert_eq!(handles[0].emails(EmailFilter::default()).await.unwrap(), [rows[0].clone()]);
}

pub async fn a_body_that_begins_is_counted_and_its_first_time_kept(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let sender = started(&*store, id).await;
    harness.clock().advance(ms(10));

    store.email_body_begins(id, sender, 1).await.unwrap();
    let first = row(&*store, id).await;
    let sender = started(&*store, id).await;
    harness.clock().advance(ms(10));
    store.email_body_begins(id, sender, 2).await.unwrap();
    let second = row(&*store, id).await;

    assert_eq!((first.phase, first.sends, first.first_send_at), (SendPhase::Body, 1, Some(at(10))));
    assert_eq!((second.phase, second.sends, second.first_send_at), (SendPhase::Body, 2, Some(at(10))));
    assert_eq!((second.status, second.detail), (EmailStatus::Pending, EmailDetail::Sending));
}

pub async fn a_body_that_begins_again_after_a_lost_reply_counts_once(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let sender = started(&*store, id).await;
    store.email_body_begins(id, sender, 1).await.unwrap();

    harness.second_handle().await.email_body_begins(id, sender, 1).await.unwrap();

    assert_eq!(row(&*store, id).await.sends, 1);
}

pub async fn a_body_on_its_way_is_left_to_its_sender_for_as_long_as_it_may_last(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, NewEmail { run_id: Some(RunId::new()), ..email("key-1") }).await;
    let sender = started(&*store, id).await;
    store.email_body_begins(id, sender, 1).await.unwrap();
    let on_its_way = row(&*store, id).await;
    harness.clock().advance(ms(59_999));

    for run_id in [None, Some(RunId::new())] {
        let other = EmailStart { run_id, longest_send: secs(60), ..start() };
        let (before, now) = harness.second_handle().await.start_email(id, other.clone()).await.unwrap();
        assert_eq!((other.waits_for(&before, now), before), (Some(ms(1)), on_its_way.clone()));
        assert_eq!(row(&*store, id).await, on_its_way);
    }
    harness.clock().advance(ms(1));
    let later = EmailStart { longest_send: secs(60), ..start() };
    let (before, now) = store.start_email(id, later.clone()).await.unwrap();

    assert_eq!((later.waits_for(&before, now), before), (None, on_its_way));
    let unknown = not_sent(EmailStatus::Pending, EmailDetail::Unknown, "died");
    store.end_email(id, later.sender, unknown).await.unwrap();
    // What was noted is on its way once more, from its next body on.
    store.email_body_begins(id, later.sender, 2).await.unwrap();
    let third = EmailStart { longest_send: secs(60), ..start() };
    let (before, now) = store.start_email(id, third.clone()).await.unwrap();
    assert_eq!(third.waits_for(&before, now), Some(secs(60)));
    store.end_email(id, later.sender, sent()).await.unwrap();
}

pub async fn a_body_is_not_waited_for_by_its_own_run_nor_once_its_outcome_is_known(harness: &dyn Harness) {
    let store = harness.store();
    let run = RunId::new();
    let taken = async |id, run_id| {
        let start = EmailStart { run_id, longest_send: secs(60), ..start() };
        store.start_email(id, start.clone()).await.unwrap();
        store.email_body_begins(id, start.sender, 1).await.map_err(|error| error.kind())
    };
    let on_its_way = async |key: &str| {
        let id = intended(&*store, NewEmail { run_id: Some(run), ..email(key) }).await;
        let sender = started(&*store, id).await;
        store.email_body_begins(id, sender, 1).await.unwrap();
        (id, sender)
    };

    let (id, _) = on_its_way("a claim later").await;
    assert_eq!(taken(id, Some(run)).await, Ok(()));
    let (id, sender) = on_its_way("unknown").await;
    let unknown = not_sent(EmailStatus::Pending, EmailDetail::Unknown, "cut off");
    store.end_email(id, sender, unknown).await.unwrap();
    assert_eq!(taken(id, None).await, Ok(()));
    let (id, _) = on_its_way("given up").await;
    store.fail_emails_of_run(run, "its worker died 4 times").await.unwrap();
    assert_eq!(taken(id, Some(RunId::new())).await, Ok(()));
    let id = intended(&*store, email("before the body")).await;
    let overtaken = started(&*store, id).await;
    assert_eq!(taken(id, None).await, Ok(()));
    let refused = store.email_body_begins(id, overtaken, 1).await;
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::LeaseLost));
}

pub async fn a_start_does_not_forget_that_a_body_may_have_left(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let died_in_the_body = started(&*store, id).await;
    store.email_body_begins(id, died_in_the_body, 1).await.unwrap();

    started(&*store, id).await;
    let (before, _) = store.start_email(id, start()).await.unwrap();

    assert_eq!(before.phase, SendPhase::Body);
}

pub async fn an_older_sender_may_not_begin_the_body(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let older = started(&*store, id).await;
    let newer = started(&*harness.second_handle().await, id).await;

    let error = store.email_body_begins(id, older, 1).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::LeaseLost);
    assert_eq!(row(&*store, id).await.sends, 0);
    store.email_body_begins(id, newer, 1).await.unwrap();
}

pub async fn a_sent_email_keeps_what_the_provider_said(harness: &dyn Harness) {
    let store = harness.store();
    let email = email("key-1");
    intended(&*store, email.clone()).await;
    let sender = started(&*store, email.id).await;
    store.email_body_begins(email.id, sender, 1).await.unwrap();
    harness.clock().advance(ms(70));

    store.end_email(email.id, sender, sent()).await.unwrap();

    let expected = EmailRecord {
        status: EmailStatus::Sent,
        detail: EmailDetail::Accepted,
        phase: SendPhase::Ended,
        message_id: Some("provider-1".to_owned()),
        reply: Some("250 ok".to_owned()),
        sends: 1,
        first_send_at: Some(at(0)),
        sent_at: Some(at(70)),
        updated_at: at(70),
        ..queued(&email)
    };
    assert_eq!(row(&*harness.second_handle().await, email.id).await, expected);
}

pub async fn sent_is_recorded_even_for_a_sender_that_lost_the_row(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let older = started(&*store, id).await;
    let newer = started(&*store, id).await;

    store.end_email(id, older, sent()).await.unwrap();

    assert_eq!(row(&*store, id).await.status, EmailStatus::Sent);
    let error = store.email_body_begins(id, newer, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
}

pub async fn a_sent_email_stays_as_it_is(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let sender = started(&*store, id).await;
    store.end_email(id, sender, sent()).await.unwrap();
    let before = row(&*store, id).await;
    harness.clock().advance(secs(1));

    let again = EmailEnding::Sent { message_id: "provider-2".to_owned(), reply: "250".to_owned() };
    store.end_email(id, sender, again).await.unwrap();
    store.end_email(id, sender, not_sent(EmailStatus::Failed, EmailDetail::Rejected, "no")).await.unwrap();
    let (answer, _) = store.start_email(id, start()).await.unwrap();
    store.intend_email(email("key-1")).await.unwrap();

    assert_eq!((answer, row(&*store, id).await), (before.clone(), before));
}

pub async fn an_email_not_sent_keeps_status_detail_and_error(harness: &dyn Harness) {
    let store = harness.store();
    let (pending, failed) = (EmailStatus::Pending, EmailStatus::Failed);
    for (status, detail, phase) in [
        (pending, EmailDetail::Retry, SendPhase::Ended),
        (pending, EmailDetail::Misconfigured, SendPhase::Ended),
        (failed, EmailDetail::Rejected, SendPhase::Ended),
        (failed, EmailDetail::Suppressed, SendPhase::Ended),
        (pending, EmailDetail::Unknown, SendPhase::Body),
        (pending, EmailDetail::Held, SendPhase::Body),
    ] {
        let id = intended(&*store, email(detail.as_str())).await;
        let sender = started(&*store, id).await;
        store.email_body_begins(id, sender, 1).await.unwrap();

        store.end_email(id, sender, not_sent(status, detail, "451 later")).await.unwrap();

        let row = row(&*store, id).await;
        assert_eq!((row.status, row.detail, row.phase), (status, detail, phase));
        assert_eq!((row.error.as_deref(), row.sent_at, row.message_id), (Some("451 later"), None, None));
    }
}

pub async fn an_older_sender_can_not_record_a_failure(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let older = started(&*store, id).await;
    started(&*store, id).await;
    let before = row(&*store, id).await;

    for detail in [EmailDetail::Rejected, EmailDetail::Unknown] {
        store.end_email(id, older, not_sent(EmailStatus::Failed, detail, "550 no")).await.unwrap();
    }

    assert_eq!(row(&*store, id).await, before);
    assert_eq!(store.email_events(id).await.unwrap(), []);
}

pub async fn a_failed_email_can_be_sent_after_all(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    let first = started(&*store, id).await;
    store.end_email(id, first, not_sent(EmailStatus::Failed, EmailDetail::Rejected, "no")).await.unwrap();

    let second = started(&*store, id).await;
    let between = row(&*store, id).await;
    store.end_email(id, second, sent()).await.unwrap();

    assert_eq!((between.status, between.detail), (EmailStatus::Pending, EmailDetail::Sending));
    let row = row(&*store, id).await;
    assert_eq!((row.status, row.error.as_deref()), (EmailStatus::Sent, Some("no")));
}

pub async fn each_unknown_outcome_appends_one_event(harness: &dyn Harness) {
    let store = harness.store();
    let id = intended(&*store, email("key-1")).await;
    for (sends, error, millis) in [(1, "cut off", 0), (2, "timed out", 1000)] {
        harness.clock().set(at(millis));
        let sender = started(&*store, id).await;
        store.email_body_begins(id, sender, sends).await.unwrap();
        // Repeated, since the reply to the first was lost.
        for _ in 0..2 {
            let unknown = not_sent(EmailStatus::Pending, EmailDetail::Unknown, error);
            store.end_email(id, sender, unknown).await.unwrap();
        }
    }

    let event = |text: &str, millis| EmailEvent {
        at: at(millis),
        occurred_at: None,
        detail: EmailDetail::Unknown,
        text: Some(text.to_owned()),
        provider_event_id: None,
    };
    assert_eq!(store.email_events(id).await.unwrap(), [event("cut off", 0), event("timed out", 1000)]);
}

pub async fn a_run_that_gives_up_fails_its_pending_emails(harness: &dyn Harness) {
    let store = harness.store();
    let run = RunId::new();
    let pending = intended(&*store, NewEmail { run_id: Some(run), ..email("pending") }).await;
    let done = intended(&*store, NewEmail { run_id: Some(run), ..email("sent") }).await;
    let sender = started(&*store, done).await;
    store.end_email(done, sender, sent()).await.unwrap();
    let other = intended(&*store, NewEmail { run_id: Some(RunId::new()), ..email("other") }).await;
    let none = intended(&*store, email("none")).await;
    harness.clock().advance(secs(1));

    store.fail_emails_of_run(run, "out of attempts").await.unwrap();

    let failed = row(&*store, pending).await;
    assert_eq!((failed.status, failed.detail), (EmailStatus::Failed, EmailDetail::Queued));
    assert_eq!((failed.error.as_deref(), failed.updated_at), (Some("out of attempts"), at(1000)));
    let others = [row(&*store, done).await, row(&*store, other).await, row(&*store, none).await];
    let statuses = others.map(|row| row.status);
    assert_eq!(statuses, [EmailStatus::Sent, EmailStatus::Pending, EmailStatus::Pending]);
}

pub async fn a_run_that_gives_up_takes_its_emails_from_their_sender(harness: &dyn Harness) {
    let store = harness.store();
    let run = RunId::new();
    let id = intended(&*store, NewEmail { run_id: Some(run), ..email("key-1") }).await;
    let sender = started(&*store, id).await;
    store.fail_emails_of_run(run, "the run was cancelled").await.unwrap();

    let begins = store.email_body_begins(id, sender, 1).await;
    store.end_email(id, sender, not_sent(EmailStatus::Pending, EmailDetail::Retry, "451")).await.unwrap();

    assert_eq!(begins.map_err(|error| error.kind()), Err(ErrorKind::LeaseLost));
    let failed = row(&*store, id).await;
    let error = failed.error.as_deref();
    assert_eq!((failed.status, error), (EmailStatus::Failed, Some("the run was cancelled")));
    store.end_email(id, sender, sent()).await.unwrap();
    assert_eq!(row(&*store, id).await.status, EmailStatus::Sent);
}

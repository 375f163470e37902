//! The doubles that an application's tests get with the feature `mock`.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use riqle_jobs::{
    Email, ErrorKind, Mailbox, Memory, Sender,
    email::{MockMailer, SendError, SendOutcome},
    store::{MockInspect, MockQueue},
};

#[tokio::test]
async fn a_mocked_mailer_takes_the_place_of_a_real_one() {
    let mut mailer = MockMailer::new();
    mailer.expect_provider().return_const("mock");
    mailer.expect_repeat_is_safe_for().return_const(Duration::ZERO);
    mailer.expect_signing_key().return_const(None);
    mailer.expect_longest_send().return_const(Duration::from_secs(60));
    mailer.expect_compose().times(1).returning(|email, _| Ok(email.text.clone().into_bytes()));
    mailer.expect_send().times(1).returning(|message, _| {
        assert_eq!(message.bytes, b"text");
        SendOutcome::Rejected { error: "550 no such user".to_owned(), recipient_unknown: true }
    });
    let sender = Sender::new(&Memory::new(), Arc::new(mailer));
    let (from, to) = (Mailbox::parse("a@example.com").unwrap(), Mailbox::parse("b@example.com").unwrap());
    let email = Email::new("t", from, to, "s", "html".to_owned(), "text".to_owned()).idempotency_key("k");

    let error = sender.send(&email).await.unwrap_err();

    assert!(matches!(error, SendError::Rejected(line) if line == "550 no such user"));
}

#[tokio::test]
async fn a_mocked_queue_answers_as_it_is_told() {
    use riqle_jobs::{
        Error,
        store::{Inspect, Queue},
    };
    let mut queue = MockQueue::new();
    queue
        .expect_enqueue()
        .returning(|_| Err(Error::new(ErrorKind::Unavailable, "enqueue", "the disk is full")));
    assert_eq!(queue.enqueue(vec![]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let mut inspect = MockInspect::new();
    inspect.expect_counts().returning(|| Ok(vec![]));
    assert!(inspect.counts().await.unwrap().is_empty());
}

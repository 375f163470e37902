//! What the sender does with an email that may have left.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use riqle_jobs_core::{
    Email, EmailLog, Mailbox, ManualClock, Memory, SendError, Sender,
    email::{EmailDetail, EmailFilter, EmailRecord, EmailStatus, OnUnknown, SendOutcome},
    testing::RecordingMailer,
};

fn email() -> Email {
    let (from, to) = (Mailbox::parse("a@example.com").unwrap(), Mailbox::parse("b@example.com").unwrap());
    Email::new("receipt", from, to, "s", "html".to_owned(), "text".to_owned())
        .idempotency_key("receipt-1")
        .on_unknown(OnUnknown::Hold)
}

fn unknown() -> SendOutcome {
    SendOutcome::Unknown { error: "cut off".to_owned() }
}

async fn row(store: &Memory) -> EmailRecord {
    store.emails(EmailFilter::default()).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_unknown_outcome_is_held_where_a_repeat_would_be_delivered() {
    let store = Memory::with_clock(&ManualClock::new());
    let mailer = RecordingMailer::new();
    mailer.answer_next(unknown());
    let sender = Sender::new(&store, Arc::new(mailer.clone()));

    assert!(matches!(sender.send(&email()).await, Err(SendError::Held(_))));
    assert!(matches!(sender.send(&email()).await, Err(SendError::Held(_))));

    assert_eq!((mailer.tries(), row(&store).await.detail), (1, EmailDetail::Held));
}

#[tokio::test]
async fn an_unknown_outcome_is_repeated_while_the_provider_drops_repeats_and_held_afterwards() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let mailer = RecordingMailer::new();
    mailer.drop_repeats_for(Duration::from_secs(60));
    let sender = Sender::new(&store, Arc::new(mailer.clone()));
    mailer.answer_next(unknown());
    mailer.answer_next(unknown());

    assert!(matches!(sender.send(&email()).await, Err(SendError::Unknown(_))));
    clock.advance(Duration::from_secs(59));
    assert!(matches!(sender.send(&email()).await, Err(SendError::Unknown(_))));
    clock.advance(Duration::from_secs(1));
    assert!(matches!(sender.send(&email()).await, Err(SendError::Held(_))));
    assert_eq!(mailer.tries(), 2);

    let other = email().idempotency_key("receipt-2");
    mailer.answer_next(unknown());
    assert!(matches!(sender.send(&other).await, Err(SendError::Unknown(_))));
    sender.send(&other).await.unwrap();
    let sent = row(&store).await;
    assert_eq!((sent.status, sent.sends), (EmailStatus::Sent, 2));
}

//! What the sender does with an email that may have left.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use riqle_jobs_core::{
    Email, EmailLog, Inspect, Job, JobError, Jobs, Mailbox, ManualClock, Memory, RunContext, RunState,
    SendError, Sender, Worker, async_trait,
    email::{EmailDetail, EmailFilter, EmailRecord, EmailStart, EmailStatus, OnUnknown, SendOutcome},
    testing::RecordingMailer,
};
use uuid::Uuid;

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

#[tokio::test]
async fn a_run_whose_email_another_has_on_its_way_looks_again_at_no_charge() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let mailer = RecordingMailer::new();
    mailer.answer_next(SendOutcome::Retry { error: "421".to_owned(), after: None });
    let sender = Sender::new(&store, Arc::new(mailer.clone()));
    sender.send(&email().on_unknown(OnUnknown::SendAgain)).await.unwrap_err();
    let (row, other) = (row(&store).await, Uuid::new_v4());
    let longest_send = Duration::ZERO;
    let start = EmailStart { sender: other, run_id: None, attempt: 1, recomposed: None, longest_send };
    store.start_email(row.id, start).await.unwrap();
    store.email_body_begins(row.id, other, 1).await.unwrap();

    let id = Jobs::new(&store).enqueue::<SendReceipt>(()).await.unwrap().id();
    let worker = Worker::new(&store).register(SendReceipt { sender });
    worker.run_until_idle().await.unwrap();

    let run = store.run(id).await.unwrap().unwrap();
    assert_eq!((run.state, run.failures, mailer.tries()), (RunState::Pending, 0, 1));
    clock.advance(Duration::from_secs(11 * 60));
    worker.run_until_idle().await.unwrap();
    assert_eq!(store.run(id).await.unwrap().unwrap().state, RunState::Succeeded);
    assert_eq!(mailer.tries(), 2);
}

struct SendReceipt {
    sender: Sender,
}

#[async_trait]
impl Job for SendReceipt {
    const NAME: &'static str = "send-receipt";
    type Input = ();
    type Output = ();

    async fn run(&self, run: &RunContext, _: ()) -> Result<(), JobError> {
        let email = email().on_unknown(OnUnknown::SendAgain);
        run.step("send", || async { self.sender.send(&email).await.map(drop).map_err(JobError::from) }).await
    }
}

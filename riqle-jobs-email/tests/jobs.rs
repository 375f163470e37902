//! What the three jobs promise, over the memory store and a mailer that keeps what it is given.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::{Arc, atomic::Ordering};

use riqle_jobs_core::{
    EmailLog, Error, Inspect, JobInput, Jobs, ManualClock, Memory, NewRun, Queue, ReplayFrom, Run, RunId,
    RunState, Sender, Worker,
    email::{EmailFilter, EmailStatus, SendOutcome},
    testing::{self, RecordingMailer},
};
use riqle_jobs_email::{
    Money, Refund,
    jobs::{
        Delivery, PurchaseConfirmation, RefundNotification, SendPurchaseConfirmation, SendRefundNotification,
        SendWelcomeEmail, WelcomeEmail, enqueue_purchase_confirmation, enqueue_refund_notification,
        enqueue_welcome_email,
    },
};
use serde_json::json;

use self::support::shop::{Shop, brand};

/// A shop whose emails are kept, with one worker.
struct World {
    clock: ManualClock,
    store: Memory,
    jobs: Jobs,
    shop: Arc<Shop>,
    mailer: RecordingMailer,
    worker: Worker,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let store = Memory::with_clock(&clock);
        let (shop, mailer) = (Shop::open(), RecordingMailer::new());
        let sender = Sender::new(&store, Arc::new(mailer.clone()));
        let worker = Worker::new(&store)
            .register(SendPurchaseConfirmation::new(shop.clone(), sender.clone(), brand()))
            .register(SendRefundNotification::new(shop.clone(), sender.clone(), brand()))
            .register(SendWelcomeEmail::new(sender, brand()));
        Self { clock, jobs: Jobs::new(&store), store, shop, mailer, worker }
    }

    async fn confirm(&self) -> RunId {
        enqueue_purchase_confirmation(&self.jobs, "order-1001", "ada@example.com").await.unwrap().id()
    }

    /// Until no run is pending, now or later.
    async fn finish(&self) {
        testing::work_through(&self.worker, &self.clock).await.unwrap();
    }

    async fn run(&self, id: RunId) -> Run {
        self.store.run(id).await.unwrap().unwrap()
    }

    /// When each attempt began, in ms from the enqueue.
    async fn starts(&self, id: RunId) -> Vec<i64> {
        let run = self.run(id).await;
        let since = |attempt: &riqle_jobs_core::AttemptRecord| {
            attempt.started_at.as_millisecond() - run.enqueued_at.as_millisecond()
        };
        run.attempts.iter().map(since).collect()
    }

    fn fail(&self, times: usize) {
        for _ in 0..times {
            self.mailer.answer_next(SendOutcome::Retry { error: "421 try later".to_owned(), after: None });
        }
    }
}

#[test]
fn names_triggers_and_input_are_as_agreed() {
    assert_eq!(PurchaseConfirmation::JOB, "send-purchase-confirmation");
    assert_eq!(PurchaseConfirmation::TRIGGER, Some("email/purchase-confirmation"));
    assert_eq!(RefundNotification::JOB, "send-refund-notification");
    assert_eq!(RefundNotification::TRIGGER, Some("email/refund-notification"));
    assert_eq!(WelcomeEmail::JOB, "send-welcome-email");
    assert_eq!(WelcomeEmail::TRIGGER, Some("email/welcome"));
    for queue in [PurchaseConfirmation::QUEUE, RefundNotification::QUEUE, WelcomeEmail::QUEUE] {
        assert_eq!(queue, "email");
    }
    let json = |input: serde_json::Result<serde_json::Value>| input.unwrap();
    assert_eq!(
        json(serde_json::to_value(PurchaseConfirmation::new("o", "a@b.c"))),
        json!({"orderId": "o", "customerEmail": "a@b.c"})
    );
    assert_eq!(
        json(serde_json::to_value(RefundNotification::new("o", "a@b.c").reason("late"))),
        json!({"orderId": "o", "customerEmail": "a@b.c", "refundReason": "late"})
    );
    let refund = Refund::new("re_1", 100, "usd");
    assert_eq!(
        json(serde_json::to_value(RefundNotification::new("o", "a@b.c").refund(refund))),
        json!({"orderId": "o", "customerEmail": "a@b.c", "refund": {"id": "re_1", "amount": 100, "currency": "usd"}})
    );
    assert_eq!(
        json(serde_json::to_value(WelcomeEmail::new("u", "a@b.c"))),
        json!({"userId": "u", "email": "a@b.c"})
    );
}

#[tokio::test]
async fn a_paid_order_is_confirmed_once_and_marked() {
    let world = World::new();
    let id = world.confirm().await;
    assert_eq!(world.confirm().await, id, "one confirmation at a time");
    world.finish().await;

    assert!(matches!(testing::output::<Delivery>(&world.store, id).await.unwrap(), Delivery::Sent(_)));
    let run = world.run(id).await;
    let saved = world.store.steps(id).await.unwrap();
    let steps: Vec<&str> = saved.iter().map(|step| step.path.as_str()).collect();
    assert_eq!(steps, ["fetch-order", "send-email", "mark-fulfilled"]);
    assert_eq!(run.reference.as_deref(), Some("order-1001"));
    assert!(world.shop.get("order-1001").fulfilled_at.is_some());
    let [sent] = &world.mailer.sent()[..] else { panic!("not one email") };
    assert_eq!(sent.email.to.address, "ada@example.com");
    assert!(sent.email.text.contains("Total: $53.00"));
    let rows = world.store.emails(EmailFilter::default()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].status, rows[0].reference.as_deref(), rows[0].template.as_str(), rows[0].step.as_deref()),
        (EmailStatus::Sent, Some("order-1001"), "purchase-confirmation", Some("send-email"))
    );
}

#[tokio::test]
async fn events_start_the_jobs() {
    let world = World::new();
    world.worker.run_until_idle().await.unwrap();
    let order = json!({"orderId": "order-1001", "customerEmail": "ada@example.com"});
    let refund = json!({"orderId": "order-1001", "customerEmail": "ada@example.com", "refundReason": "Damaged", "more": 1});
    let user = json!({"userId": "user-7", "email": "bob@example.com", "name": null});
    world.jobs.send_event("email/purchase-confirmation", &order).await.unwrap();
    world.jobs.send_event("email/refund-notification", &refund).await.unwrap();
    world.jobs.send_event("email/welcome", &user).await.unwrap();
    world.finish().await;

    let mut subjects: Vec<String> = world.mailer.sent().into_iter().map(|sent| sent.email.subject).collect();
    subjects.sort();
    assert_eq!(
        subjects,
        [
            "Welcome to Riqle",
            "Your Riqle order order-1001",
            "Your refund of $53.00 for Riqle order order-1001"
        ]
    );
    assert!(world.shop.get("order-1001").refunded_at.is_some());
}

#[tokio::test]
async fn each_job_tries_as_often_and_as_late_as_agreed() {
    let world = World::new();
    world.fail(100);
    let confirmation = world.confirm().await;
    let refund =
        enqueue_refund_notification(&world.jobs, "order-1001", "ada@example.com", None).await.unwrap().id();
    let welcome = enqueue_welcome_email(&world.jobs, "user-7", "bob@example.com", None).await.unwrap().id();
    world.finish().await;

    for (id, starts) in
        [(confirmation, vec![0, 1000, 3000, 7000]), (refund, vec![0, 1000, 3000]), (welcome, vec![0, 1000])]
    {
        assert_eq!(world.run(id).await.state, RunState::Dead);
        assert_eq!(world.starts(id).await, starts);
    }
    let rows = world.store.emails(EmailFilter::default()).await.unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.status == EmailStatus::Failed && row.sends == 0));
}

#[tokio::test]
async fn what_no_attempt_would_help_is_dead_at_once_with_a_clear_line() {
    let world = World::new();
    let mut order = world.shop.get("order-1001");
    order.id = "order-wrong".to_owned();
    order.total.amount += 1;
    world.shop.put(order);
    for (order, email, line) in [
        ("order-404", "ada@example.com", r#"order "order-404" does not exist"#),
        ("order-wrong", "ada@example.com", "its items add up to $53.00, its total is $53.01"),
        ("order-1001", "ada", "customerEmail: not an email address"),
    ] {
        let id = enqueue_purchase_confirmation(&world.jobs, order, email).await.unwrap().id();
        world.finish().await;
        let run = world.run(id).await;
        assert_eq!((run.state, run.attempts.len()), (RunState::Dead, 1), "{order}");
        let error = run.attempts[0].error.clone().unwrap_or_default();
        assert!(error.contains(line), "{error}");
    }
    assert!(world.mailer.sent().is_empty());
}

#[tokio::test]
async fn a_fulfilled_order_gets_no_second_email() {
    let world = World::new();
    let first = world.confirm().await;
    world.finish().await;
    let second = world.confirm().await;
    world.finish().await;

    assert_ne!(first, second);
    let delivery = testing::output::<Delivery>(&world.store, second).await.unwrap();
    assert!(matches!(delivery, Delivery::AlreadyDone { .. }), "{delivery:?}");
    assert_eq!(world.mailer.sent().len(), 1);
}

#[tokio::test]
async fn a_mark_whose_reply_was_lost_is_a_normal_finish_without_a_second_email() {
    let world = World::new();
    world.shop.loses_replies.store(true, Ordering::SeqCst);
    let id = world.confirm().await;
    world.worker.run_until_idle().await.unwrap();
    assert_eq!(world.run(id).await.state, RunState::Pending);
    assert!(world.shop.get("order-1001").fulfilled_at.is_some());

    world.shop.loses_replies.store(false, Ordering::SeqCst);
    world.finish().await;
    assert!(matches!(testing::output::<Delivery>(&world.store, id).await.unwrap(), Delivery::Sent(_)));
    assert_eq!(world.mailer.sent().len(), 1);
}

#[tokio::test]
async fn a_replay_mails_nobody_twice() -> Result<(), Error> {
    for from in [ReplayFrom::FailedStep, ReplayFrom::Start] {
        let world = World::new();
        world.shop.loses_replies.store(true, Ordering::SeqCst);
        let id = world.confirm().await;
        world.finish().await;
        assert_eq!(world.run(id).await.state, RunState::Dead);

        world.shop.loses_replies.store(false, Ordering::SeqCst);
        let replay = world.jobs.replay(id, from).await?;
        world.finish().await;
        assert_eq!(world.run(replay).await.state, RunState::Succeeded);
        assert_eq!(world.mailer.sent().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_replay_after_a_mail_outage_neither_fetches_again_nor_sends_twice() -> Result<(), Error> {
    let world = World::new();
    world.fail(4);
    let id = world.confirm().await;
    world.finish().await;
    assert_eq!(world.run(id).await.state, RunState::Dead);

    let replay = world.jobs.replay(id, ReplayFrom::FailedStep).await?;
    world.finish().await;
    assert_eq!(world.run(replay).await.state, RunState::Succeeded);
    assert_eq!(world.shop.fetches.load(Ordering::SeqCst), 1);
    assert_eq!(world.mailer.sent().len(), 1);
    let rows = world.store.emails(EmailFilter::default()).await?;
    assert_eq!((rows.len(), rows[0].status, rows[0].sends), (1, EmailStatus::Sent, 1));
    Ok(())
}

#[tokio::test]
async fn a_dead_run_that_is_replayed_after_another_has_confirmed_sends_nothing() -> Result<(), Error> {
    let world = World::new();
    world.fail(4);
    let dead = world.confirm().await;
    world.finish().await;
    let fresh = world.confirm().await;
    world.finish().await;
    assert_eq!(world.run(fresh).await.state, RunState::Succeeded);

    let replay = world.jobs.replay(dead, ReplayFrom::FailedStep).await?;
    world.finish().await;
    assert_eq!(world.run(replay).await.state, RunState::Succeeded);
    assert_eq!(world.mailer.sent().len(), 1);
    Ok(())
}

#[tokio::test]
async fn parts_of_an_order_are_refunded_one_after_the_other() {
    let world = World::new();
    let mut order = world.shop.get("order-1001");
    for amount in [1000, 4300] {
        order.refunded = Some(Money::new(amount, "USD").unwrap());
        world.shop.put(order.clone());
        let run = NewRun::of(&RefundNotification::new("order-1001", "ada@example.com")).unwrap();
        world.store.enqueue(vec![run]).await.unwrap();
        world.finish().await;
    }
    let subjects: Vec<String> = world.mailer.sent().into_iter().map(|sent| sent.email.subject).collect();
    assert!(subjects[0].contains("$10.00") && subjects[1].contains("$43.00") && subjects.len() == 2);
}

#[tokio::test]
async fn an_email_speaks_the_language_of_its_input_and_the_words_of_the_application() {
    use riqle_jobs_core::{Email, Mailbox};
    use riqle_jobs_email::{Brand, Locale, templates::Templates};

    /// Its own welcome, under a name of its own; the rest as it is.
    struct Short;

    impl Templates for Short {
        fn welcome(&self, brand: &Brand, _: Option<&str>, to: Mailbox) -> Result<Email, Error> {
            let text = "Hi!".to_owned();
            Ok(Email::new("hi", brand.from().clone(), to, "Hi", text.clone(), text))
        }
    }

    let mut world = World::new();
    let sender = Sender::new(&world.store, Arc::new(world.mailer.clone()));
    world.worker = Worker::new(&world.store)
        .register(SendPurchaseConfirmation::new(world.shop.clone(), sender.clone(), brand()))
        .register(SendWelcomeEmail::new(sender, brand()).templates(Arc::new(Short)));
    let german = PurchaseConfirmation {
        locale: Some(Locale::De),
        ..PurchaseConfirmation::new("order-1001", "ada@example.com")
    };
    world.jobs.enqueue(german).await.unwrap();
    enqueue_welcome_email(&world.jobs, "user-7", "ada@example.com", None).await.unwrap();

    world.finish().await;

    let mut subjects: Vec<_> = world.mailer.sent().into_iter().map(|sent| sent.email.subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["Hi", "Ihre Bestellung order-1001 bei Riqle"]);
    let rows = world.store.emails(EmailFilter::default()).await.unwrap();
    assert!(rows.iter().any(|row| row.template == "welcome" && row.subject == "Hi"));
}

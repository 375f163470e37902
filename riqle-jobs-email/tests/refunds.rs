//! What a refund promises: each is told once, with its own amount, to who bought, after its purchase.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use riqle_jobs_core::{
    Inspect, Jobs, ManualClock, Memory, NewRun, OtherInput, Queue, ReplayFrom, Run, RunId, RunState, Sender,
    UniqueKey, UniqueScope, Worker,
    email::SendOutcome,
    testing::{self, RecordingMailer},
};
use riqle_jobs_email::{
    Money, Order, Orders, Refund, RefundAmount,
    jobs::{Delivery, RefundNotification, SendRefundNotification},
};
use serde_json::{Value, json};

use self::support::{
    shop::{Shop, brand},
    unmarked::Unmarked,
};

const ORDER: &str = "order-1001";

/// A shop with one order of $53.00, whose emails and alerts are kept.
struct World {
    clock: ManualClock,
    store: Memory,
    jobs: Jobs,
    shop: Arc<Shop>,
    mailer: RecordingMailer,
    worker: Worker,
    alerts: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        let shop = Shop::open();
        Self::over(shop.clone(), shop)
    }

    fn over(shop: Arc<Shop>, orders: Arc<dyn Orders>) -> Self {
        let clock = ManualClock::new();
        let store = Memory::with_clock(&clock);
        let (mailer, alerts) = (RecordingMailer::new(), Arc::<Mutex<Vec<String>>>::default());
        let sender = Sender::new(&store, Arc::new(mailer.clone()));
        let worker =
            Worker::new(&store).register(SendRefundNotification::new(orders, sender, brand())).on_alert({
                let alerts = alerts.clone();
                move |alert| alerts.lock().unwrap().push(alert.error.clone())
            });
        Self { clock, jobs: Jobs::new(&store), store, shop, mailer, worker, alerts }
    }

    async fn enqueue(&self, input: &RefundNotification) -> RunId {
        self.store.enqueue(vec![NewRun::of(input).unwrap()]).await.unwrap()[0].id()
    }

    /// Until no run is pending, now or later.
    async fn finish(&self) {
        testing::work_through(&self.worker, &self.clock).await.unwrap();
    }

    async fn refunded(&self, refund: Refund) -> Run {
        let id = self.enqueue(&RefundNotification::new(ORDER, "ada@example.com").refund(refund)).await;
        self.finish().await;
        self.run(id).await
    }

    /// By the event, as an application of another language sends it.
    async fn told_by_event(&self, data: Value) {
        self.jobs.send_event("email/refund-notification", &data).await.unwrap();
        self.finish().await;
    }

    async fn run(&self, id: RunId) -> Run {
        self.store.run(id).await.unwrap().unwrap()
    }

    /// The amounts that customers were told, in order.
    fn told(&self) -> Vec<String> {
        let subjects = self.mailer.sent().into_iter().map(|sent| sent.email.subject);
        subjects.map(|subject| subject.split(' ').nth(3).unwrap().to_owned()).collect()
    }

    fn alerts(&self) -> Vec<String> {
        self.alerts.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn each_refund_of_an_order_is_told_once_with_its_own_amount() {
    let world = World::new();
    for refund in
        [Refund::new("re_1", 1000, "usd"), Refund::new("re_2", 300, "USD"), Refund::new("re_1", 1000, "usd")]
    {
        assert_eq!(world.refunded(refund).await.state, RunState::Succeeded);
        world.clock.advance(Duration::from_secs(60));
    }
    let up_to = Refund { amount: RefundAmount::UpTo(5300), ..Refund::new("ch_1/5300", 0, "usd") };
    let rest = world.refunded(up_to).await;

    assert_eq!(world.told(), ["$10.00", "$3.00", "$40.00"]);
    assert!(world.mailer.sent()[2].email.text.contains("We have refunded $40.00 of $53.00 for your order"));
    assert_eq!(world.shop.refunded(ORDER), 5300);
    assert!(matches!(testing::output::<Delivery>(&world.store, rest.id).await.unwrap(), Delivery::Sent(_)));
    let steps = world.store.steps(rest.id).await.unwrap();
    let steps: Vec<_> = steps.iter().map(|step| step.path.as_str()).collect();
    assert_eq!(steps, ["add-refund", "fetch-order", "send-email", "mark-refunded"]);
    assert_eq!(world.alerts(), [""; 0]);
}

#[tokio::test]
async fn two_runs_of_one_refund_at_once_send_one_email() {
    let world = World::new();
    let input = RefundNotification::new(ORDER, "ada@example.com").refund(Refund::new("re_1", 1000, "usd"));
    let ids = [world.enqueue(&input).await, world.enqueue(&input).await];
    assert_eq!(ids[0], ids[1], "one run of a refund at a time");
    // Under keys of their own they run beside it.
    for number in 0..2 {
        let key = format!("told-{number}");
        let unique = UniqueKey { key, scope: UniqueScope::WhileNotEnded, other_input: OtherInput::IsIgnored };
        let run = NewRun { unique: Some(unique), ..NewRun::of(&input).unwrap() };
        world.store.enqueue(vec![run]).await.unwrap();
    }
    world.finish().await;
    assert_eq!((world.told(), world.shop.refunded(ORDER)), (vec!["$10.00".to_owned()], 1000));
    assert_eq!(world.store.counts().await.unwrap()[0].runs, 3);
}

#[tokio::test]
async fn a_replay_tells_the_amount_of_its_refund_however_much_was_refunded_since() {
    for from in [ReplayFrom::FailedStep, ReplayFrom::Start] {
        let world = World::new();
        for _ in 0..3 {
            world.mailer.answer_next(SendOutcome::Retry { error: "421 try later".to_owned(), after: None });
        }
        let dead = world.refunded(Refund::new("re_1", 1000, "usd")).await;
        assert_eq!(dead.state, RunState::Dead);
        world.refunded(Refund::new("re_2", 4300, "usd")).await;

        let replay = world.jobs.replay(dead.id, from).await.unwrap();
        world.finish().await;

        assert_eq!(world.run(replay).await.state, RunState::Succeeded);
        assert_eq!(world.told(), ["$43.00", "$10.00"]);
        assert_eq!(world.shop.refunded(ORDER), 5300);
    }
}

#[tokio::test]
async fn a_refund_that_was_added_and_whose_answer_was_lost_is_added_and_told_once() {
    let world = World::new();
    world.shop.loses_replies.store(true, Ordering::SeqCst);
    let refund = Refund { amount: RefundAmount::UpTo(2000), ..Refund::new("ch_1/2000", 0, "usd") };
    let id = world.enqueue(&RefundNotification::new(ORDER, "ada@example.com").refund(refund)).await;
    world.worker.run_until_idle().await.unwrap();
    world.shop.loses_replies.store(false, Ordering::SeqCst);
    world.finish().await;
    assert_eq!(world.run(id).await.state, RunState::Succeeded);
    assert_eq!((world.told(), world.shop.refunded(ORDER)), (vec!["$20.00".to_owned()], 2000));
}

#[tokio::test]
async fn a_refund_that_does_not_fit_is_dead_at_once_with_both_amounts_an_alert_and_no_email() {
    for (amount, currency, line) in [
        (4301, "usd", "a refund of $43.01 does not fit: $43.00 of $53.00 is left"),
        (9999, "usd", "a refund of $99.99 does not fit: $43.00 of $53.00 is left"),
        (0, "usd", "a refund of $0.00 does not fit: $43.00 of $53.00 is left"),
        (-500, "usd", "a refund of -$5.00 does not fit: $43.00 of $53.00 is left"),
        (1000, "eur", "a refund of €10.00 does not fit: $43.00 of $53.00 is left"),
        (
            1000,
            "zzz",
            "a refund of 1000 in \"zzz\", which is not a currency, does not fit: $43.00 of $53.00 is left",
        ),
    ] {
        let world = World::new();
        world.refunded(Refund::new("re_1", 1000, "usd")).await;
        let run = world.refunded(Refund::new("re_2", amount, currency)).await;

        let line = format!("step \"add-refund\": order \"order-1001\": {line}");
        assert_eq!((run.state, run.attempts.len(), run.error()), (RunState::Dead, 1, Some(line.as_str())));
        assert_eq!(world.alerts(), [line]);
        assert_eq!((world.told(), world.shop.refunded(ORDER)), (vec!["$10.00".to_owned()], 1000));
    }
}

#[tokio::test]
async fn a_refund_before_its_purchase_snoozes_until_it_is_there() {
    let world = World::new();
    let bought = world.shop.get(ORDER);
    let order = Order { id: "order-7".to_owned(), ..bought };
    let refund = Refund::new("re_7", 5300, "usd");
    let id = world.enqueue(&RefundNotification::new("order-7", "ada@example.com").refund(refund)).await;
    let mut waited = Vec::new();
    for _ in 0..40 {
        world.worker.run_until_idle().await.unwrap();
        let before = world.clock.now();
        testing::advance_to_next_due(&world.store, &world.clock).await.unwrap();
        waited.push(world.clock.now().duration_since(before).as_secs());
    }
    assert_eq!(waited[..6], [2, 2, 2, 3, 4, 6]);
    assert_eq!(waited[39], 15 * 60);
    let run = world.run(id).await;
    assert_eq!((run.state, run.failures), (RunState::Pending, 0));
    assert_eq!(
        run.attempts[0].error.as_deref(),
        Some("step \"add-refund\": order \"order-7\" has no purchase yet")
    );

    world.shop.put(order);
    world.finish().await;

    assert_eq!(world.run(id).await.state, RunState::Succeeded);
    assert_eq!((world.told(), world.alerts()), (vec!["$53.00".to_owned()], Vec::new()));
    assert!(world.shop.get("order-7").refunded_at.is_some());
}

#[tokio::test]
async fn a_refund_whose_purchase_never_comes_is_a_dead_letter_after_three_days() {
    let world = World::new();
    let start = world.clock.now();
    let refund = Refund::new("re_7", 5300, "usd");
    let id = world.enqueue(&RefundNotification::new("order-404", "ada@example.com").refund(refund)).await;
    world.finish().await;

    let run = world.run(id).await;
    let line = "step \"add-refund\": order \"order-404\" has no purchase, three days after its refund";
    assert_eq!((run.state, run.error()), (RunState::Dead, Some(line)));
    let lasted = run.attempts.last().unwrap().ended_at.duration_since(start);
    assert_eq!(lasted.as_secs(), 3 * 24 * 3600);
    assert_eq!(world.alerts(), [line]);
    assert!(world.mailer.sent().is_empty());

    // Once the purchase was entered by hand, a replay tells of it.
    world.shop.put(Order { id: "order-404".to_owned(), ..world.shop.get(ORDER) });
    world.jobs.replay(id, ReplayFrom::FailedStep).await.unwrap();
    world.finish().await;
    assert_eq!(world.told(), ["$53.00"]);
}

#[tokio::test]
async fn a_refund_without_an_address_goes_to_who_bought() {
    for address in [json!(null), json!("")] {
        let world = World::new();
        let refund = |id: &str| json!({"orderId": ORDER, "customerEmail": address, "refund": {"id": id, "amount": 1000, "currency": "usd"}});
        world.worker.run_until_idle().await.unwrap();
        world.told_by_event(refund("re_1")).await;
        let line = "step \"send-email\": neither the refund nor order \"order-1001\" has an address";
        assert_eq!(world.alerts(), [line]);

        *world.shop.buyer.lock().unwrap() = Some("grace@example.com".to_owned());
        world.told_by_event(refund("re_2")).await;
        world.told_by_event(json!({"orderId": ORDER})).await;
        let to: Vec<_> = world.mailer.sent().into_iter().map(|sent| sent.email.to.address).collect();
        assert_eq!(to, ["grace@example.com"]);
    }
}

#[tokio::test]
async fn an_event_that_names_no_refund_tells_what_was_refunded_so_far_and_nothing_once_that_was_told() {
    let world = World::new();
    world.worker.run_until_idle().await.unwrap();
    let event = json!({"orderId": ORDER, "customerEmail": "ada@example.com", "refundReason": "Damaged"});
    world.told_by_event(event.clone()).await;
    let first = world.shop.get(ORDER).refunded_at;
    assert!(first.is_some());
    world.told_by_event(event.clone()).await;
    assert_eq!(world.told(), ["$53.00"]);
    assert!(world.mailer.sent()[0].email.text.contains("Reason: Damaged"));

    let partly = World::new();
    partly.worker.run_until_idle().await.unwrap();
    let mut order = partly.shop.get(ORDER);
    order.refunded = Some(Money::new(1000, "USD").unwrap());
    partly.shop.put(order);
    partly.told_by_event(event.clone()).await;
    partly.refunded(Refund::new("re_2", 300, "usd")).await;
    partly.told_by_event(event).await;
    assert_eq!(partly.told(), ["$10.00", "$3.00"]);
}

#[tokio::test]
async fn a_sum_that_does_not_fit_its_order_is_dead_at_once_and_told() {
    let world = World::new();
    let mut order = world.shop.get(ORDER);
    order.refunded = Some(Money::new(5301, "USD").unwrap());
    world.shop.put(order);
    let id = world.enqueue(&RefundNotification::new(ORDER, "ada@example.com")).await;
    world.finish().await;
    let run = world.run(id).await;
    let line =
        "step \"send-email\": order \"order-1001\": a refund of $53.01 does not fit its total of $53.00";
    assert_eq!((run.state, run.attempts.len(), run.error()), (RunState::Dead, 1, Some(line)));
    assert_eq!(world.alerts(), [line]);
}

#[tokio::test]
async fn an_application_that_keeps_no_refunds_has_each_told_within_the_total() {
    let world = World::over(Shop::open(), Arc::new(Unmarked { currency: "USD" }));
    for refund in
        [Refund::new("re_1", 1000, "usd"), Refund::new("re_2", 5300, "usd"), Refund::new("re_3", 5301, "usd")]
    {
        world.refunded(refund).await;
    }
    assert_eq!((world.told(), world.alerts().len()), (vec!["$10.00".to_owned(), "$53.00".to_owned()], 1));
}

#[tokio::test]
async fn a_currency_that_does_not_exist_is_dead_at_once() {
    let world = World::over(Shop::open(), Arc::new(Unmarked { currency: "ZZZ" }));
    let with = RefundNotification::new(ORDER, "ada@example.com").refund(Refund::new("re_1", 1000, "usd"));
    for input in [with, RefundNotification::new(ORDER, "ada@example.com")] {
        let id = world.enqueue(&input).await;
        world.finish().await;
        let run = world.run(id).await;
        assert_eq!((run.state, run.attempts.len()), (RunState::Dead, 1), "{run:?}");
        assert!(run.error().unwrap().contains("not a currency code of ISO 4217"), "{:?}", run.error());
    }
}

//! The webhook routes, over real HTTP, on memory and SQLite.
#![allow(clippy::unwrap_used)]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use riqle_jobs_core::{
    Clock, Email, Error, Inspect, Jobs, Mailbox, Mailer, ManualClock, Memory, Operate, Payload, Retention,
    RunFilter, Sender, async_trait,
    email::{
        EmailDetail, EmailFilter, EmailRecord, EmailStatus, MessageIdentity, OnUnknown, OutgoingMessage,
        SendOutcome, Transmission,
    },
    store::NewEvent,
    testing::RecordingMailer,
};
use riqle_jobs_web::webhooks::{resend, stripe};
use serde_json::{Value, json};

use self::support::{Answer, Bench, WelcomeInput, post, serve};

const STRIPE: &str = "whsec_of_stripe";
const OLD: &str = "whsec_b2xk";
const NEW: &str = "whsec_bmV3";

fn now() -> i64 {
    Clock::Server.local_now().as_second()
}

async fn routes(bench: &Bench) -> SocketAddr {
    let stripe = stripe::Webhook::new(&bench.jobs, stripe::Secrets::new(["whsec_other", STRIPE]).ok());
    let resend = resend::router(&bench.jobs, resend::Secrets::new([NEW, OLD]).ok());
    serve(|_| stripe.router().merge(resend)).await
}

async fn by_stripe(address: SocketAddr, event: &Value) -> Answer {
    let body = event.to_string();
    let headers = format!("Stripe-Signature: {}\r\n", stripe::sign(STRIPE, now(), body.as_bytes()));
    post(address, "/webhooks/stripe", &headers, body).await
}

fn customer(id: &str, name: &str) -> Value {
    let object = json!({"id": "cus_1", "email": "ada@example.com", "name": name});
    json!({"id": id, "type": "customer.created", "data": {"object": object}})
}

#[tokio::test]
async fn an_event_of_stripe_starts_its_job_once_however_often_it_comes() {
    for bench in Bench::all().await {
        let address = routes(&bench).await;
        for name in ["<script>alert(1)</script>", "another"] {
            let answer = by_stripe(address, &customer("evt_1", name)).await;
            assert_eq!((answer.status, answer.json()), (200, json!({"received": true, "ids": ["evt_1"]})));
        }
        let inputs = bench.inputs().await;
        assert_eq!(inputs.len(), 1);
        let input: Value = serde_json::from_str(&inputs[0]).unwrap();
        let expected =
            json!({"userId": "cus_1", "email": "ada@example.com", "name": "<script>alert(1)</script>"});
        assert_eq!(input, expected);
        let ignored =
            by_stripe(address, &json!({"id": "evt_2", "type": "invoice.paid", "data": {"object": {}}})).await;
        assert_eq!((ignored.status, ignored.json()), (200, ignored_as("no job is triggered by it")));
    }
}

#[tokio::test]
async fn an_event_of_stripe_that_comes_again_within_35_days_starts_nothing() {
    let welcome =
        |event: &stripe::Event| -> Result<Option<NewEvent>, Box<dyn std::error::Error + Send + Sync>> {
            Ok(Some(NewEvent::new(event.id.clone(), "email/welcome", Payload::json(event.object())?)))
        };
    for is_mapped in [false, true] {
        let clock = ManualClock::new();
        let store = Memory::with_clock(&clock);
        let jobs = Jobs::new(&store);
        let webhook = stripe::Webhook::new(&jobs, stripe::Secrets::new([STRIPE]).ok());
        let webhook = if is_mapped { webhook.mapping(welcome) } else { webhook };
        let address = serve(|_| webhook.router()).await;
        // It comes before its job is known, and waits for it.
        let sent = async || {
            let answer = by_stripe(address, &customer("evt_1", "Ada")).await;
            assert_eq!((answer.status, answer.json()), (200, json!({"received": true, "ids": ["evt_1"]})));
            jobs.declare::<WelcomeInput>().await.unwrap();
            store.runs(RunFilter::default()).await.unwrap().len()
        };
        assert_eq!(sent().await, 1);
        for hours in [26, 24 * 6, 24 * 27, 21] {
            clock.advance(Duration::from_secs(hours * 3600));
            store.prune(Retention { dead: None, ended: None, ..Retention::default() }).await.unwrap();
            assert_eq!(sent().await, 1, "after {hours} hours more");
        }
        // A week after it came last the event itself is pruned, too.
        clock.advance(Duration::from_secs(8 * 24 * 3600));
        store.prune(Retention { dead: None, ended: None, ..Retention::default() }).await.unwrap();
        assert_eq!(sent().await, 2);
    }
}

fn ignored_as(reason: &str) -> Value {
    json!({"received": true, "ignored": true, "reason": reason})
}

#[tokio::test]
async fn genuine_events_of_no_use_are_answered_200_with_a_reason_and_counted() {
    for bench in Bench::all().await {
        let webhook = stripe::Webhook::new(&bench.jobs, stripe::Secrets::new([STRIPE]).ok());
        let ignored = webhook.ignored();
        let address = serve(|_| webhook.router()).await;
        let event = |number: u32, kind: &str, object: Value| json!({"id": format!("evt_{number}"), "type": kind, "data": {"object": object}});
        let set_up = json!({"id": "cs_1", "mode": "setup", "payment_status": "no_payment_required", "amount_total": null});
        let of_another = json!({"id": "ch_1", "metadata": {}, "amount_refunded": 100, "currency": "usd"});
        for (event, reason) in [
            (event(1, "customer.created", json!({"id": "cus_1"})), "an email address is missing"),
            (
                event(2, "customer.created", json!({"id": "cus_2", "email": null})),
                "an email address is missing",
            ),
            (event(3, "charge.refunded", of_another), "metadata.orderId is missing"),
            (event(4, "checkout.session.completed", set_up), "nothing was sold"),
            (json!({"id": "evt_5", "type": "v1.billing.meter.no_meter_found"}), "no job is triggered by it"),
            (
                json!({"id": format!("evt_{}", "6".repeat(600)), "type": "customer.created",
                    "data": {"object": {"id": "cus_6", "email": "ada@example.com"}}}),
                "it can't be stored: event id has 604 bytes; the limit is 506",
            ),
        ] {
            let answer = by_stripe(address, &event).await;
            assert_eq!((answer.status, answer.json()), (200, ignored_as(reason)), "{event}");
        }
        let counts: Vec<_> =
            ignored.counts().into_iter().map(|count| (count.kind, count.reason, count.events)).collect();
        let expected = [
            ("charge.refunded", "metadata.orderId is missing", 1),
            ("checkout.session.completed", "nothing was sold", 1),
            ("customer.created", "an email address is missing", 2),
            ("customer.created", "it can't be stored", 1),
            ("v1.billing.meter.no_meter_found", "no job is triggered by it", 1),
        ]
        .map(|(kind, reason, events)| (kind.to_owned(), reason.to_owned(), events));
        assert_eq!(counts, expected);
        assert!(bench.runs().await.is_empty());
    }
}

#[tokio::test]
async fn the_three_events_of_stripe_become_the_three_of_the_emails() {
    let bench = &Bench::all().await[0];
    let address = routes(bench).await;
    let session = json!({
        "id": "cs_1", "metadata": {"orderId": "order-1"}, "payment_status": "paid", "amount_total": 5300,
        "customer_details": {"email": "ada@example.com"}, "currency": "usd",
    });
    let charge = json!({
        "id": "ch_1", "metadata": {"orderId": "order-1", "refundReason": "broken"}, "receipt_email": "ada@example.com",
        "amount_refunded": 5300, "currency": "usd",
    });
    let paid = json!({"id": "evt_1", "type": "checkout.session.completed", "data": {"object": session}});
    let before = json!({"amount_refunded": 300});
    let refunded = json!({"id": "evt_2", "type": "charge.refunded", "data": {"object": charge, "previous_attributes": before}});
    for event in [&paid, &refunded] {
        assert_eq!(by_stripe(address, event).await.status, 200);
    }
    let names = ["email/purchase-confirmation", "email/refund-notification"].map(str::to_owned).to_vec();
    let stored = bench.store().idle_events(names, 10).await.unwrap();
    let stored: Vec<(&str, Value)> = stored
        .iter()
        .map(|stored| (stored.event.name.as_str(), stored.event.data.decode().unwrap()))
        .collect();
    let order = json!({"orderId": "order-1", "customerEmail": "ada@example.com"});
    let refund = json!({"orderId": "order-1", "customerEmail": "ada@example.com", "refundReason": "broken",
        "refund": {"id": "ch_1/5300", "amount": 5000, "currency": "usd"}});
    assert_eq!(stored, [("email/purchase-confirmation", order), ("email/refund-notification", refund)]);
}

#[tokio::test]
async fn an_application_maps_the_events_of_stripe_itself() {
    let bench = &Bench::all().await[0];
    let webhook = stripe::Webhook::new(&bench.jobs, stripe::Secrets::new([STRIPE]).ok());
    let webhook = webhook.mapping(|event| match event.kind.as_str() {
        "invoice.paid" => Ok(Some(NewEvent::new(
            event.id.clone(),
            "email/welcome",
            Payload::json(&event.object()["total"])?,
        ))),
        "nameless" => Ok(Some(NewEvent::new(event.id.clone(), String::new(), Payload::json(&1)?))),
        "broken" => Err("a secret of ours".into()),
        _ => Ok(None),
    });
    let address = serve(|_| webhook.router()).await;
    let event = |kind: &str| json!({"id": "evt_1", "type": kind, "data": {"object": {"total": 9007199254740993_i64}}});
    assert_eq!(by_stripe(address, &event("invoice.paid")).await.status, 200);
    let answer = by_stripe(address, &event("nameless")).await;
    assert_eq!((answer.status, answer.json()), (200, ignored_as("it can't be stored: event name is empty")));
    let answer = by_stripe(address, &event("broken")).await;
    assert_eq!((answer.status, &answer.json()["error"]), (500, &json!("the mapping failed; see the log")));
    assert_eq!(bench.inputs().await, ["9007199254740993"]);
}

#[tokio::test]
async fn what_is_not_genuine_is_refused_with_its_reason() {
    for bench in Bench::all().await {
        let address = routes(&bench).await;
        let body = customer("evt_1", "Ada").to_string();
        let stale = format!("Stripe-Signature: {}\r\n", stripe::sign(STRIPE, now() - 400, body.as_bytes()));
        let wrong = format!("Stripe-Signature: {}\r\n", stripe::sign("whsec_x", now(), body.as_bytes()));
        for headers in ["", "Stripe-Signature: nonsense\r\n", &stale, &wrong] {
            let answer = post(address, "/webhooks/stripe", headers, &body).await;
            assert_eq!((answer.status, &answer.json()["status"]), (400, &json!(400)), "{headers}");
        }
        let large = "x".repeat((1 << 20) + 1);
        assert_eq!(post(address, "/webhooks/stripe", &stale, &large).await.status, 413);
        assert_eq!(post(address, "/webhooks/resend", "", &large).await.status, 413);
        assert_eq!(post(address, "/webhooks/resend", "", "{}").await.status, 400);
        assert!(bench.runs().await.is_empty());
    }
}

#[tokio::test]
async fn without_a_secret_and_while_the_store_is_away_the_sender_is_to_repeat() {
    for bench in Bench::all().await {
        let address = routes(&bench).await;
        let email = email_sent(&bench).await;
        bench.goes_away();
        assert_eq!(by_stripe(address, &customer("evt_1", "Ada")).await.status, 503);
        assert_eq!(report(address, "msg_1", "email.delivered", &email, json!({})).await.status, 503);
        bench.comes_back();
        assert_eq!(by_stripe(address, &customer("evt_1", "Ada")).await.status, 200);
        assert_eq!(report(address, "msg_1", "email.delivered", &email, json!({})).await.status, 200);

        let none = stripe::Webhook::new(&bench.jobs, None).router().merge(resend::router(&bench.jobs, None));
        let address = serve(|_| none).await;
        for (path, error) in [
            ("/webhooks/stripe", "no Stripe webhook secret is configured; set STRIPE_WEBHOOK_SECRET"),
            ("/webhooks/resend", "no Resend webhook secret is configured; set RESEND_WEBHOOK_SECRET"),
        ] {
            let answer = post(address, path, "", "{}").await;
            assert_eq!((answer.status, answer.json()), (503, json!({"error": error, "status": 503})));
        }
    }
}

/// A mailer that is named as Resend's is.
struct NamedResend(RecordingMailer);

#[async_trait]
impl Mailer for NamedResend {
    fn provider(&self) -> &'static str {
        "resend"
    }

    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
        self.0.compose(email, identity)
    }

    fn repeat_is_safe_for(&self) -> Duration {
        self.0.repeat_is_safe_for()
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        self.0.send(message, transmission).await
    }
}

async fn send(bench: &Bench, outcome: SendOutcome) -> EmailRecord {
    let mailer = NamedResend(RecordingMailer::new());
    mailer.0.answer_next(outcome);
    let from = Mailbox::parse("Riqle <orders@riqle.com>").unwrap();
    let email = Email::new(
        "note",
        from,
        Mailbox::parse("Ada@example.com").unwrap(),
        "Hi",
        "<p>Hi</p>".to_owned(),
        "Hi".to_owned(),
    );
    let email = email.idempotency_key("note to ada").on_unknown(OnUnknown::Hold);
    let _ = Sender::new(bench.jobs.store(), Arc::new(mailer)).send(&email).await;
    bench.store().emails(EmailFilter::default()).await.unwrap().remove(0)
}

async fn email_sent(bench: &Bench) -> Value {
    send(bench, SendOutcome::Accepted { message_id: "re_1".to_owned(), reply: String::new() }).await;
    json!({"email_id": "re_1"})
}

/// Signed with the old secret, beside a signature of another version and one that does not fit.
async fn report(address: SocketAddr, id: &str, kind: &str, email: &Value, more: Value) -> Answer {
    let mut data = email.clone();
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let at = Clock::Server.local_now().to_string();
    let body = json!({"type": kind, "created_at": at, "data": data}).to_string();
    deliver(address, id, &body).await
}

async fn deliver(address: SocketAddr, id: &str, body: &str) -> Answer {
    let signature = resend::sign(OLD, id, now(), body.as_bytes()).unwrap();
    let headers = format!(
        "svix-id: {id}\r\nsvix-timestamp: {}\r\nsvix-signature: v1a,xx v1,AAAA {signature}\r\n",
        now()
    );
    post(address, "/webhooks/resend", &headers, body).await
}

async fn row(bench: &Bench) -> EmailRecord {
    bench.store().emails(EmailFilter::default()).await.unwrap().remove(0)
}

#[tokio::test]
async fn reports_of_resend_stand_in_the_email_log_once_in_whatever_order_they_come() {
    for bench in Bench::all().await {
        let address = routes(&bench).await;
        let email = email_sent(&bench).await;
        for (id, kind) in [
            ("msg_2", "email.delivered"),
            ("msg_1", "email.delivery_delayed"),
            ("msg_2", "email.delivered"),
            ("msg_0", "email.sent"),
        ] {
            assert_eq!(report(address, id, kind, &email, json!({})).await.status, 200, "{kind}");
        }
        for kind in ["email.opened", "contact.created", "what.is.new"] {
            let answer = report(address, "msg_9", kind, &email, json!({})).await;
            assert_eq!(answer.json(), ignored_as("no job is triggered by it"), "{kind}");
        }
        let row = row(&bench).await;
        assert_eq!((row.status, row.detail), (EmailStatus::Sent, EmailDetail::Delivered));
        let events = bench.store().email_events(row.id).await.unwrap();
        let events: Vec<_> = events
            .iter()
            .filter_map(|event| {
                Some((event.provider_event_id.as_deref()?, event.detail, event.text.as_deref()))
            })
            .collect();
        assert_eq!(
            events,
            [
                ("msg_2", EmailDetail::Delivered, None),
                ("msg_1", EmailDetail::Accepted, Some("delivery delayed")),
                ("msg_0", EmailDetail::Accepted, None),
            ]
        );
        assert_eq!(bench.store().suppression("ada@example.com").await.unwrap(), None);
    }
}

#[tokio::test]
async fn permanent_bounces_and_complaints_suppress_the_address_and_passing_ones_do_not() {
    let bounce = |kind: &str| json!({"bounce": {"type": kind, "subType": "General", "message": "no such <b>user</b>"}});
    let cases = [
        ("email.bounced", bounce("Transient"), EmailDetail::Bounced, false),
        ("email.bounced", bounce("Permanent"), EmailDetail::Bounced, true),
        ("email.complained", json!({}), EmailDetail::Complained, true),
        ("email.suppressed", json!({"suppressed": {"message": "on the list"}}), EmailDetail::Bounced, true),
        ("email.failed", json!({"failed": {"reason": "reached_daily_quota"}}), EmailDetail::Bounced, false),
    ];
    for (kind, more, detail, is_suppressed) in cases {
        for bench in Bench::all().await {
            let address = routes(&bench).await;
            let email = email_sent(&bench).await;
            let answer = report(address, "msg_1", kind, &email, more.clone()).await;
            assert_eq!((answer.status, answer.json()), (200, json!({"received": true, "new": true})));
            assert_eq!(row(&bench).await.detail, detail, "{kind}");
            let suppression = bench.store().suppression("ada@example.com").await.unwrap();
            assert_eq!(suppression.is_some(), is_suppressed, "{kind}: {suppression:?}");
        }
    }
}

#[tokio::test]
async fn a_report_resolves_an_outcome_that_nobody_knew() {
    for bench in Bench::all().await {
        let address = routes(&bench).await;
        let held = send(&bench, SendOutcome::Unknown { error: "the answer was lost".to_owned() }).await;
        assert!(held.status != EmailStatus::Sent && held.message_id.is_none(), "{held:?}");
        let reference = held.header_message_id.trim_start_matches('<').split('@').next().unwrap();
        let headers = [("Auto-Submitted", "auto-generated"), ("X-Entity-Ref-ID", reference)];
        let headers: Vec<Value> =
            headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let email = json!({"email_id": "re_7", "from": "Riqle <orders@riqle.com>", "headers": headers});
        assert_eq!(report(address, "msg_1", "email.delivered", &email, json!({})).await.status, 200);
        let row = row(&bench).await;
        assert_eq!((row.status, row.detail), (EmailStatus::Sent, EmailDetail::Delivered));
        let events = bench.store().email_events(row.id).await.unwrap();
        assert_eq!(events.last().unwrap().text.as_deref(), Some("Resend's id re_7"));
    }
}

#[tokio::test]
async fn a_report_of_an_email_that_is_not_recorded_yet_is_to_be_repeated_for_an_hour() {
    for bench in Bench::all().await {
        let address = routes(&bench).await;
        let unknown = json!({"email_id": "re_1"});
        let answer = report(address, "msg_1", "email.delivered", &unknown, json!({})).await;
        let error = "the email log has no such email yet";
        assert_eq!((answer.status, answer.json()), (404, json!({"error": error, "status": 404})));
        let old =
            r#"{"type":"email.delivered","created_at":"2026-01-01T00:00:00Z","data":{"email_id":"re_1"}}"#;
        let answer = deliver(address, "msg_2", old).await;
        assert_eq!((answer.status, answer.json()), (200, ignored_as("the email log has no such email")));
        email_sent(&bench).await;
        assert_eq!(report(address, "msg_1", "email.delivered", &unknown, json!({})).await.status, 200);
        let lacks = deliver(address, "msg_3", r#"{"type":"email.delivered","data":{}}"#).await;
        assert_eq!((lacks.status, lacks.json()), (200, ignored_as("data.email_id is missing")));
    }
}

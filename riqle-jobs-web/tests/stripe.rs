//! Stripe's webhooks: what is taken and what is refused.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use riqle_jobs_web::webhooks::stripe::{Fact, Ignored, Secrets, WebhookError, sign};
use serde_json::json;

const NOW: i64 = 1_795_460_000;
const BODY: &[u8] =
    br#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"total":18446744073709551615}}}"#;

fn secrets() -> Secrets {
    Secrets::new(["whsec_new", "whsec_old"]).unwrap()
}

/// Made with OpenSSL: printf '%s' "1795460000.$BODY" | openssl dgst -sha256 -hmac whsec_new
const BY_OPENSSL: &str = "t=1795460000,v1=ff19571798944c3711ac0f5616ef765da8a50c1c698129279d2c29b6e4f34b8b";

#[test]
fn a_signature_made_elsewhere_fits() {
    let event = secrets().verify(Some(BY_OPENSSL), BODY, NOW).unwrap();
    assert_eq!((event.id.as_str(), event.kind.as_str()), ("evt_1", "invoice.paid"));
    assert_eq!(event.object()["total"].to_string(), "18446744073709551615");
    assert_eq!(sign("whsec_new", NOW, BODY), BY_OPENSSL);
}

#[test]
fn any_of_several_signatures_may_fit_any_secret() {
    let right = sign("whsec_old", NOW, BODY);
    let (time, signature) = right.split_once(',').unwrap();
    let header = format!("{time}, v0=aa, v1=00ff, {signature}");
    secrets().verify(Some(&header), BODY, NOW).unwrap();
}

#[test]
fn what_is_stale_wrong_or_malformed_is_refused_for_what_it_is() {
    let signed = |time| sign("whsec_new", time, BODY);
    let refused = |header: Option<&str>, body: &[u8]| secrets().verify(header, body, NOW).unwrap_err();
    let stale = |off_by| WebhookError::Stale { off_by, tolerance: 300 };

    assert!(secrets().verify(Some(&signed(NOW - 300)), BODY, NOW).is_ok());
    assert_eq!(refused(Some(&signed(NOW - 301)), BODY), stale(301));
    assert_eq!(refused(Some(&signed(NOW + 301)), BODY), stale(301));
    assert_eq!(refused(Some(&format!("t={},v1=00", i64::MIN)), BODY), stale(NOW.abs_diff(i64::MIN)));
    assert_eq!(refused(None, BODY), WebhookError::NoSignature("Stripe-Signature"));
    assert_eq!(refused(Some(&sign("whsec_other", NOW, BODY)), BODY), WebhookError::WrongSignature);
    assert_eq!(refused(Some(&signed(NOW)), b"{}"), WebhookError::WrongSignature);
    for header in ["", "t=1", "v1=00", "t=x,v1=00", "t=1,v1=", "t=1,v1=0", "t=1,v1=zz", "t=1;v1=00"] {
        let error = refused(Some(header), BODY);
        let malformed = matches!(error, WebhookError::MalformedSignature { .. } | WebhookError::Stale { .. });
        assert!(malformed, "{header:?}: {error}");
    }
    let no_event = br#"{"id":1}"#;
    assert!(matches!(refused(Some(&sign("whsec_new", NOW, no_event)), no_event), WebhookError::NoEvent(_)));
}

#[test]
fn an_empty_secret_is_none() {
    assert_eq!(Secrets::new([""]).unwrap_err(), WebhookError::NoSecret);
    assert_eq!(Secrets::new(Vec::<String>::new()).unwrap_err(), WebhookError::NoSecret);
}

#[test]
fn a_secret_is_in_no_debug_text() {
    assert_eq!(format!("{:?}", secrets()), "Secrets(2)");
}

fn fact(kind: &str, object: serde_json::Value) -> Result<Fact, Ignored> {
    let event = json!({"id": "evt_1", "type": kind, "data": {"object": object}});
    fact_of(&event)
}

fn fact_of(event: &serde_json::Value) -> Result<Fact, Ignored> {
    let body = event.to_string();
    secrets().verify(Some(&sign("whsec_new", NOW, body.as_bytes())), body.as_bytes(), NOW).unwrap().fact()
}

fn session() -> serde_json::Value {
    json!({
        "id": "cs_1", "client_reference_id": "order-2", "metadata": {"orderId": "order-1"}, "payment_status": "paid",
        "customer_details": {"email": "ada@example.com"}, "amount_total": 5300, "currency": "usd",
    })
}

#[test]
fn events_tell_what_happened_in_the_shop() {
    let paid = |order_id: &str| {
        Ok(Fact::OrderPaid {
            order_id: order_id.to_owned(),
            email: "ada@example.com".to_owned(),
            amount: 5300,
            currency: "usd".to_owned(),
        })
    };
    assert_eq!(fact("checkout.session.completed", session()), paid("order-1"));
    let mut without = session();
    without["metadata"] = json!({});
    assert_eq!(fact("checkout.session.completed", without.clone()), paid("order-2"));
    without["client_reference_id"] = serde_json::Value::Null;
    assert_eq!(fact("checkout.session.completed", without), paid("cs_1"));

    assert_eq!(
        fact("customer.created", json!({"id": "cus_1", "email": "ada@example.com", "name": null})),
        Ok(Fact::CustomerCreated {
            user_id: "cus_1".to_owned(),
            email: "ada@example.com".to_owned(),
            name: None,
        })
    );
}

#[test]
fn a_refund_is_what_was_added_to_the_charge_and_is_named_by_the_sum() {
    let charge = json!({
        "id": "ch_1", "metadata": {"orderId": "order-1", "refundReason": "broken"}, "receipt_email": "ada@example.com",
        "billing_details": {"email": null}, "amount_refunded": 1500, "currency": "jpy", "refunds": {"data": []},
    });
    let refunded = |previous: serde_json::Value, email: serde_json::Value| {
        let mut charge = charge.clone();
        charge["receipt_email"] = email;
        let data = json!({"object": charge, "previous_attributes": previous});
        fact_of(&json!({"id": "evt_1", "type": "charge.refunded", "data": data}))
    };
    let expected = |amount, email: Option<&str>| {
        Ok(Fact::OrderRefunded {
            order_id: "order-1".to_owned(),
            email: email.map(str::to_owned),
            refund_id: "ch_1/1500".to_owned(),
            amount,
            amount_refunded: 1500,
            currency: "jpy".to_owned(),
            reason: Some("broken".to_owned()),
        })
    };
    let ada = json!("ada@example.com");
    assert_eq!(
        refunded(json!({"amount_refunded": 500}), ada.clone()),
        expected(Some(1000), Some("ada@example.com"))
    );
    assert_eq!(
        refunded(json!({"amount_refunded": 2000}), ada),
        expected(Some(-500), Some("ada@example.com"))
    );
    assert_eq!(refunded(json!({"refunded": false}), json!(null)), expected(None, None));
    let event = refunded(json!(null), json!(null)).unwrap().job_event("evt_1").unwrap();
    let data: serde_json::Value = event.data.decode().unwrap();
    assert_eq!(
        data,
        json!({"orderId": "order-1", "customerEmail": null, "refundReason": "broken",
            "refund": {"id": "ch_1/1500", "upTo": 1500, "currency": "jpy"}})
    );
}

#[test]
fn events_of_no_use_say_why() {
    let changed = |field: &str, value: serde_json::Value| {
        let mut session = session();
        session[field] = value;
        fact("checkout.session.completed", session).unwrap_err()
    };
    assert_eq!(changed("payment_status", "unpaid".into()), Ignored::NotPaid);
    assert_eq!(changed("mode", "setup".into()), Ignored::NothingSold);
    assert_eq!(changed("customer_details", serde_json::Value::Null), Ignored::Lacks("an email address"));
    assert_eq!(changed("amount_total", serde_json::Value::Null), Ignored::Lacks("amount_total"));

    let without_email = fact("customer.created", json!({"id": "cus_1", "email": null})).unwrap_err();
    assert_eq!(without_email.to_string(), "an email address is missing");
    let of_another_application = json!({"id": "ch_1", "metadata": {}, "receipt_email": "ada@example.com",
        "amount_refunded": 1, "currency": "usd"});
    assert_eq!(fact("charge.refunded", of_another_application), Err(Ignored::Lacks("metadata.orderId")));
    assert_eq!(fact("invoice.paid", json!({})), Err(Ignored::Unwanted));
    let thin = json!({"id": "evt_1", "object": "v2.core.event", "type": "v2.core.account.updated"});
    assert_eq!(fact_of(&thin), Err(Ignored::Unwanted));
    let without_data = json!({"id": "evt_1", "type": "customer.created", "data": null});
    assert_eq!(fact_of(&without_data), Err(Ignored::Lacks("an id")));
}

proptest! {
    #[test]
    fn no_header_and_no_body_panics(header in ".*", body in prop::collection::vec(any::<u8>(), 0..200), now in any::<i64>()) {
        let _ = secrets().verify(Some(&header), &body, now);
        let _ = secrets().verify(Some(&format!("t={now},v1={header}")), &body, now);
    }

    #[test]
    fn one_changed_byte_of_the_body_is_noticed(at in 0..BODY.len(), change in 1..=255_u8) {
        let mut body = BODY.to_vec();
        body[at] ^= change;
        let refused = secrets().verify(Some(&sign("whsec_new", NOW, BODY)), &body, NOW);
        prop_assert_eq!(refused, Err(WebhookError::WrongSignature));
    }
}

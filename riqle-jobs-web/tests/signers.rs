//! The official npm packages `stripe` and `svix` sign, ours verifies. Needs the feature `real-servers`, Node.js, and the folder
//! of the npm packages in `RIQLE_TEST_NODE_MODULES`.
#![allow(clippy::unwrap_used)]

mod support;

use riqle_jobs_core::Clock;
use riqle_jobs_web::webhooks::{
    resend::{self, Delivery},
    stripe,
};
use serde_json::{Value, json};

use self::support::{Bench, node::node, post, serve};

const STRIPE: &str = "whsec_of_stripe";
const SVIX: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn signed(body: &str, time: i64) -> (String, String) {
    let task = json!({"stripeSecret": STRIPE, "svixSecret": SVIX, "time": time, "id": "msg_1", "body": body});
    let signatures = node("sign.mjs", &task).await;
    let text = |name: &str| signatures[name].as_str().unwrap().to_owned();
    (text("stripe"), text("svix"))
}

#[tokio::test]
async fn what_their_libraries_sign_is_what_ours_sign_and_verify() {
    for body in ["{}", r#"{"id":"evt_1","type":"x","data":{"object":{"name":"Grüße 🎉\u0000"}}}"#, "[1,\n2]"]
    {
        let (by_stripe, by_svix) = signed(body, 1_795_460_000).await;
        assert_eq!(stripe::sign(STRIPE, 1_795_460_000, body.as_bytes()), by_stripe);
        assert_eq!(resend::sign(SVIX, "msg_1", 1_795_460_000, body.as_bytes()).unwrap(), by_svix);
    }
    let body = r#"{"id":"evt_1","type":"email.opened","data":{"object":{"total":9007199254740993}}}"#;
    let (by_stripe, by_svix) = signed(body, 1_795_460_000).await;
    let secrets = stripe::Secrets::new([STRIPE]).unwrap();
    let event = secrets.verify(Some(&by_stripe), body.as_bytes(), 1_795_460_300).unwrap();
    assert_eq!(event.object()["total"].to_string(), "9007199254740993");
    let secrets = resend::Secrets::new(["whsec_b2xk", SVIX]).unwrap();
    let delivery = Delivery { id: "msg_1", timestamp: "1795460000", signature: &by_svix };
    let report = secrets.verify(Some(delivery), body.as_bytes(), 1_795_459_700).unwrap();
    assert_eq!((report.id.as_str(), report.kind.as_str()), ("msg_1", "email.opened"));
}

#[tokio::test]
async fn their_signatures_open_our_routes() {
    let bench = &Bench::all().await[1];
    let router = stripe::Webhook::new(&bench.jobs, stripe::Secrets::new([STRIPE]).ok()).router();
    let router = router.merge(resend::router(&bench.jobs, resend::Secrets::new([SVIX]).ok()));
    let address = serve(|_| router).await;
    let time = Clock::Server.local_now().as_second();
    let body = json!({
        "id": "evt_1", "type": "customer.created",
        "data": {"object": {"id": "cus_1", "email": "ada@example.com", "name": "Ada"}},
    })
    .to_string();
    let (by_stripe, by_svix) = signed(&body, time).await;
    let headers = format!("Stripe-Signature: {by_stripe}\r\n");
    assert_eq!(post(address, "/webhooks/stripe", &headers, &body).await.status, 200);
    let input: Value = serde_json::from_str(&bench.inputs().await[0]).unwrap();
    assert_eq!(input, json!({"userId": "cus_1", "email": "ada@example.com", "name": "Ada"}));
    let headers = format!("svix-id: msg_1\r\nsvix-timestamp: {time}\r\nsvix-signature: {by_svix}\r\n");
    let answer = post(address, "/webhooks/resend", &headers, &body).await;
    let ignored = json!({"received": true, "ignored": true, "reason": "no job is triggered by it"});
    assert_eq!((answer.status, answer.json()), (200, ignored));
}

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use riqle_jobs::{
    Clock, Error, Jobs, NewRun, OtherInput, Unique, UniqueScope,
    email::jobs::{PurchaseConfirmation, RefundNotification, WelcomeEmail},
    web::webhooks::stripe::{Event, Fact, SIGNATURE_HEADER, Secrets},
};
use serde_json::json;

use crate::{Failure, database::Database};

/// Stripe repeats a delivery for up to three days; operators resend for thirty.
const EVENT_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What the routes share.
#[derive(Clone)]
pub struct Shop {
    pub database: Database,
    pub jobs: Jobs,
    pub secrets: Option<Arc<Secrets>>,
}

/// `POST /webhooks/stripe`
pub async fn stripe(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(secrets) = &shop.secrets else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "STRIPE_WEBHOOK_SECRET is not set");
    };
    let signature = headers.get(SIGNATURE_HEADER).and_then(|header| header.to_str().ok());
    let now = Clock::Server.local_now().as_second();
    let taken = secrets.verify(signature, &body, now).and_then(|event| Ok((event.fact()?, event)));
    let (fact, event) = match taken {
        Ok((Some(fact), event)) => (fact, event),
        Ok((None, _)) => return Json(json!({"received": true, "ignored": true})).into_response(),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match record(&shop, &fact, &event).await {
        Ok(run) => Json(json!({"received": true, "run": run})).into_response(),
        // Not stored, or perhaps: Stripe tries again, and the event's id makes that harmless.
        Err(failure) => {
            eprintln!("shop: event {} is not stored: {failure}", event.id);
            refuse(StatusCode::SERVICE_UNAVAILABLE, "not stored, send it again")
        }
    }
}

async fn record(shop: &Shop, fact: &Fact, event: &Event) -> Result<Option<String>, Failure> {
    let Some(run) = run_for(fact)? else { return Ok(None) };
    let key = match fact {
        // Whatever events tell of it, an order is confirmed once.
        Fact::OrderPaid { order_id, .. } => format!("order/{order_id}"),
        _ => format!("stripe/{}", event.id),
    };
    // What came before counts, also with other content: a staged run hears of no conflict.
    let unique = Unique { key, scope: UniqueScope::Period(EVENT_KEPT), other_input: OtherInput::IsIgnored };
    let run = NewRun { unique: Some(unique), ..run };
    Ok(Some(shop.database.record(fact, run).await?.to_string()))
}

fn run_for(fact: &Fact) -> Result<Option<NewRun>, Error> {
    Ok(Some(match fact {
        Fact::OrderPaid { order_id, email, .. } => PurchaseConfirmation::new(order_id, email).new_run()?,
        Fact::OrderRefunded { order_id, email, reason, .. } => {
            let input = RefundNotification {
                refund_reason: reason.clone(),
                ..RefundNotification::new(order_id, email)
            };
            input.new_run()?
        }
        Fact::CustomerCreated { user_id, email, name } => {
            WelcomeEmail { name: name.clone(), ..WelcomeEmail::new(user_id, email) }.new_run()?
        }
        _ => return Ok(None),
    }))
}

pub fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

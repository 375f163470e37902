use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use riqle_jobs::{
    Error, ErrorKind, Jobs, NewRun, UniqueScope,
    email::{
        Refund, RefundAmount,
        jobs::{PurchaseConfirmation, RefundNotification, WelcomeEmail},
    },
    store::{Clock, OtherInput, UniqueKey},
    web::webhooks::{
        EVENT_ID_KEPT, Ignored, IgnoredEvents,
        stripe::{Event, Fact, SIGNATURE_HEADER, Secrets},
    },
};
use serde_json::json;

use crate::{Failure, database::Database, log};

/// What the routes share.
#[derive(Clone)]
pub struct Shop {
    pub database: Database,
    pub jobs: Jobs,
    pub secrets: Option<Arc<Secrets>>,
    pub ignored: IgnoredEvents,
}

/// `POST /webhooks/stripe`
pub async fn stripe(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(secrets) = &shop.secrets else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "STRIPE_WEBHOOK_SECRET is not set");
    };
    let signature = headers.get(SIGNATURE_HEADER).and_then(|header| header.to_str().ok());
    let now = Clock::Server.local_now().as_second();
    let event = match secrets.verify(signature, &body, now) {
        Ok(event) => event,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    // From here on the event is genuine: what no repeat would change is answered 200, lest Stripe disables the endpoint.
    let fact = match event.fact() {
        Ok(fact) => fact,
        Err(why) => return ignore(&shop, &event, &why),
    };
    match record(&shop, &fact, &event).await {
        Ok(run) => Json(json!({"received": true, "run": run})).into_response(),
        Err(failure) => match unstorable(&failure) {
            Some(why) => ignore(&shop, &event, &why),
            // Not stored, or perhaps: Stripe tries again, and the event's id makes that harmless.
            None => {
                log::line(format!("event {} is not stored: {failure}", event.id));
                refuse(StatusCode::SERVICE_UNAVAILABLE, "not stored; send it again")
            }
        },
    }
}

/// `GET /webhooks/stripe`: how many events were ignored, and why, since the shop started.
pub async fn ignored(State(shop): State<Shop>) -> Response {
    Json(json!({"ignored": shop.ignored.counts()})).into_response()
}

fn ignore(shop: &Shop, event: &Event, why: &Ignored) -> Response {
    shop.ignored.note("Stripe", &event.kind, &event.id, why);
    Json(json!({"received": true, "ignored": true, "reason": why.to_string()})).into_response()
}

/// Whether a failure is the event's own: an id over a limit, or data that the shop's tables refuse.
fn unstorable(failure: &Failure) -> Option<Ignored> {
    if let Some(error) = failure.downcast_ref::<Error>() {
        return (error.kind() == ErrorKind::Rejected)
            .then(|| Ignored::Unstorable(error.message().to_owned()));
    }
    let Some(sqlx::Error::Database(error)) = failure.downcast_ref::<sqlx::Error>() else { return None };
    let code = error.code()?;
    // PostgreSQL's SQLSTATEs of data exceptions, such as a NUL in a text, and of rows that are too long for an index.
    let is_data = code.len() == 5 && (code.starts_with("22") || code.starts_with("54"));
    is_data.then(|| Ignored::Unstorable(error.message().to_owned()))
}

async fn record(shop: &Shop, fact: &Fact, event: &Event) -> Result<Option<String>, Failure> {
    let Some(run) = run_for(fact)? else { return Ok(None) };
    // Whatever events tell of it, an order is confirmed once, and a refund told once.
    let key = run.unique.map_or_else(|| format!("stripe/{}", event.id), |unique| unique.key);
    // What came before counts, also with other content: a staged run hears of no conflict.
    let unique =
        UniqueKey { key, scope: UniqueScope::Period(EVENT_ID_KEPT), other_input: OtherInput::IsIgnored };
    let run = NewRun { unique: Some(unique), ..run };
    // Before the shop's tables see any of it.
    shop.jobs.store().limits().check_runs("enqueue", std::slice::from_ref(&run))?;
    Ok(Some(shop.database.record(fact, run).await?.to_string()))
}

fn run_for(fact: &Fact) -> Result<Option<NewRun>, Error> {
    Ok(Some(match fact {
        Fact::OrderPaid { order_id, email, .. } => NewRun::of(&PurchaseConfirmation::new(order_id, email))?,
        Fact::OrderRefunded { order_id, email, refund_id, amount, amount_refunded, currency, reason } => {
            let amount = amount.map_or(RefundAmount::UpTo(*amount_refunded), RefundAmount::Amount);
            let refund = Refund { id: refund_id.clone(), amount, currency: currency.clone() };
            let input = RefundNotification {
                order_id: order_id.clone(),
                customer_email: email.clone(),
                refund: Some(refund),
                refund_reason: reason.clone(),
                locale: None,
            };
            NewRun::of(&input)?
        }
        Fact::CustomerCreated { user_id, email, name } => {
            NewRun::of(&WelcomeEmail { name: name.clone(), ..WelcomeEmail::new(user_id, email) })?
        }
        _ => return Ok(None),
    }))
}

pub fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

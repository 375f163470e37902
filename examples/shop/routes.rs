use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use riqle_jobs::{EmailLog, Inspect, email::EmailFilter, web::webhooks::stripe::BODY_BYTES};
use serde_json::{Value, json};

use crate::{
    Failure,
    webhook::{self, Shop, refuse},
};

pub fn router(shop: Shop) -> Router {
    Router::new()
        .route("/webhooks/stripe", post(webhook::stripe).layer(DefaultBodyLimit::max(BODY_BYTES)))
        .route("/health", get(health))
        .route("/orders/{id}", get(order))
        .route("/orders/{id}/emails", get(emails))
        .with_state(shop)
}

async fn health(State(shop): State<Shop>) -> Response {
    match Inspect::counts(&**shop.jobs.store()).await {
        Ok(_) => Json(json!({"status": 200, "message": "OK"})).into_response(),
        Err(error) => away(&error.into()),
    }
}

async fn order(State(shop): State<Shop>, Path(id): Path<String>) -> Response {
    match shop.database.order_row(&id).await {
        Ok(Some(order)) => Json(json!({
            "id": order.id,
            "status": order.status,
            "amount": order.amount,
            "currency": order.currency,
            "customerEmail": order.customer_email,
            "fulfilledAt": order.fulfilled_at,
            "refundedAt": order.refunded_at,
        }))
        .into_response(),
        Ok(None) => refuse(StatusCode::NOT_FOUND, "no such order"),
        Err(error) => away(&error.into()),
    }
}

async fn emails(State(shop): State<Shop>, Path(id): Path<String>) -> Response {
    let filter = EmailFilter { reference: Some(id), ..EmailFilter::default() };
    match EmailLog::emails(&**shop.jobs.store(), filter).await {
        Ok(rows) => {
            let rows = rows.iter().map(|row| {
                json!({
                    "status": row.status,
                    "provider": row.provider,
                    "messageId": row.message_id,
                    "error": row.error,
                    "createdAt": row.created_at.to_string(),
                    "to": row.to,
                    "template": row.template,
                    "runId": row.run_id,
                    "attempt": row.attempt,
                    "sends": row.sends,
                    "detail": row.detail,
                })
            });
            Json(rows.collect::<Value>()).into_response()
        }
        Err(error) => away(&error.into()),
    }
}

fn away(failure: &Failure) -> Response {
    eprintln!("shop: {failure}");
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the store is away")
}

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use riqle_jobs::{
    Shutdown,
    email::EmailFilter,
    web::{
        Dashboard, EventApi, health, metrics,
        security::Access,
        webhooks::{resend, stripe::BODY_BYTES},
    },
};
use serde_json::{Value, json};

use crate::{
    Failure,
    config::Config,
    log, trace,
    webhook::{self, Shop, refuse},
};

/// Where the dashboard is.
pub const DASHBOARD: &str = "/jobs";

pub fn router(
    shop: Shop,
    config: &Config,
    access: Access,
    address: SocketAddr,
    shutdown: &Shutdown,
) -> Result<Router, Failure> {
    let mut events = EventApi::new(&shop.jobs).keys(config.event_keys());
    if config.demo {
        events = events.development(address);
    }
    let of_jobs = events
        .router()
        .merge(health::router(&shop.jobs))
        .merge(metrics::router(&shop.jobs, access.clone()))
        .merge(resend::router(&shop.jobs, config.resend_secrets()?));
    let dashboard = Dashboard::new(&shop.jobs, access).until(shutdown).router();
    Ok(Router::new()
        .route(
            "/webhooks/stripe",
            post(webhook::stripe).get(webhook::ignored).layer(DefaultBodyLimit::max(BODY_BYTES)),
        )
        .route("/orders/{id}", get(order))
        .route("/orders/{id}/emails", get(emails))
        .with_state(shop)
        .merge(of_jobs)
        .layer(from_fn(trace::request))
        .nest_service(DASHBOARD, dashboard))
}

async fn order(State(shop): State<Shop>, Path(id): Path<String>) -> Response {
    // PostgreSQL has no text with such a character.
    if id.contains('\0') {
        return refuse(StatusCode::NOT_FOUND, "no such order");
    }
    match shop.database.order_row(&id).await {
        Ok(Some(order)) => Json(json!({
            "id": order.id,
            "status": order.status,
            "amount": order.amount,
            "currency": order.currency,
            "customerEmail": order.customer_email,
            "fulfilledAt": order.fulfilled_at,
            "refundedAt": order.refunded_at,
            "refundedAmount": order.refunded.unwrap_or_default(),
        }))
        .into_response(),
        Ok(None) => refuse(StatusCode::NOT_FOUND, "no such order"),
        Err(error) => away(&error.into()),
    }
}

async fn emails(State(shop): State<Shop>, Path(id): Path<String>) -> Response {
    if id.contains('\0') {
        return refuse(StatusCode::NOT_FOUND, "no such order");
    }
    let filter = EmailFilter::all().reference(id);
    match shop.jobs.store().emails(filter).await {
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
    log::line(failure.to_string());
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the store is unavailable")
}

//! `POST /webhooks/resend`: writes delivery reports to the email log.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::post,
};
use riqle_jobs_core::{
    Clock, Error, ErrorKind, Jobs, Store, earlier,
    email::{NewEmailEvent, take_delivery_event},
    store::Repeated,
};
use serde_json::json;

use super::{Delivery, Report, Secrets};
use crate::{
    answer::{answer, failed, method_not_allowed, read, refuse, within},
    webhooks::{ANSWERS_WITHIN, BODY_BYTES, Ignored, IgnoredEvents},
};

/// How long an email unknown to the log may still be about to be recorded.
const MAY_STILL_COME: Duration = Duration::from_secs(60 * 60);

/// The route `POST /webhooks/resend`: verifies Resend's delivery reports and writes them to the email log, once
/// per `svix-id`. A permanent bounce and a complaint put the address on the suppression list; a report of an
/// email whose outcome was unknown resolves it as sent.
///
/// Answers 200 once it is recorded, or if it is ignored, with the reason, which is logged; 400 with the reason
/// if it is not genuine; 404 if the log has no such email, for an hour, since a delivery can be faster than the
/// record of the send; 503 if there is no secret or the store is unavailable. Resend repeats what was not
/// answered with 200.
pub fn router(jobs: &Jobs<impl Sized>, secrets: Option<Secrets>) -> Router {
    Router::new()
        .route("/webhooks/resend", post(take).layer(DefaultBodyLimit::max(BODY_BYTES)))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Shared {
            jobs: jobs.erase(),
            secrets: secrets.map(Arc::new),
            ignored: IgnoredEvents::default(),
        })
}

#[derive(Clone)]
struct Shared {
    jobs: Jobs,
    secrets: Option<Arc<Secrets>>,
    ignored: IgnoredEvents,
}

async fn take(State(shared): State<Shared>, request: Request) -> Response {
    let Some(secrets) = &shared.secrets else {
        let error = "no Resend webhook secret is configured; set RESEND_WEBHOOK_SECRET";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, error);
    };
    within(ANSWERS_WITHIN, async {
        let headers = request.headers().clone();
        let body = match read(request, BODY_BYTES).await {
            Ok(body) => body,
            Err((status, error)) => return refuse(status, &error),
        };
        let now = Clock::Server.local_now().as_second();
        let report = match secrets.verify(delivery(&headers), &body, now) {
            Ok(report) => report,
            Err(error) => {
                static REFUSED: Repeated = Repeated::new();
                if let Some(times) = REFUSED.happened() {
                    tracing::warn!(%error, times, "a Resend webhook was refused");
                }
                return refuse(StatusCode::BAD_REQUEST, &error.to_string());
            }
        };
        match report.email_event() {
            Ok(event) => shared.record(&report, event).await,
            Err(why) => shared.ignore(&report, &why),
        }
    })
    .await
}

fn delivery(headers: &HeaderMap) -> Option<Delivery<'_>> {
    let header = |name| headers.get(name).and_then(|header| header.to_str().ok());
    Some(Delivery {
        id: header("svix-id")?,
        timestamp: header("svix-timestamp")?,
        signature: header("svix-signature")?,
    })
}

impl Shared {
    async fn record(&self, report: &Report, event: NewEmailEvent) -> Response {
        match record_by_any_key(&**self.jobs.store(), report, event).await {
            Ok(is_new) => answer(StatusCode::OK, json!({"received": true, "new": is_new})),
            Err(error) => match error.kind() {
                ErrorKind::NotFound if report.at < earlier(Clock::Server.local_now(), MAY_STILL_COME) => {
                    self.ignore(report, &Ignored::UnknownEmail)
                }
                ErrorKind::NotFound => refuse(StatusCode::NOT_FOUND, "the email log has no such email yet"),
                // A repeat would be refused alike.
                ErrorKind::Rejected => self.ignore(report, &Ignored::Unstorable(error.message().to_owned())),
                _ => failed(&error),
            },
        }
    }

    fn ignore(&self, report: &Report, why: &Ignored) -> Response {
        self.ignored.note("Resend", &report.kind, &report.id, why);
        answer(StatusCode::OK, json!({"received": true, "ignored": true, "reason": why.to_string()}))
    }
}

/// By Resend's id; an email whose send was never answered has none, and is found by its Message-ID.
async fn record_by_any_key(store: &dyn Store, report: &Report, event: NewEmailEvent) -> Result<bool, Error> {
    let by_id = take_delivery_event(store, event.clone()).await;
    match (by_id, report.other_key()) {
        (Err(error), Some(email)) if error.kind() == ErrorKind::NotFound => {
            let known_at_resend = format!("Resend's id {}", report.email_id());
            let text =
                event.text.map_or(known_at_resend.clone(), |text| format!("{text}; {known_at_resend}"));
            take_delivery_event(store, NewEmailEvent { email, text: Some(text), ..event }).await
        }
        (answer, _) => answer,
    }
}

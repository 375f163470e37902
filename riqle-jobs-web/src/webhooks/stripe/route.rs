use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    response::Response,
    routing::post,
};
use riqle_jobs_core::{Clock, Error, Jobs, store::NewEvent};
use serde_json::json;

use super::{Event, SIGNATURE_HEADER, Secrets, WebhookError};
use crate::{
    answer::{Refused, answer, failed, method_not_allowed, read, refuse, status_of, told, within},
    webhooks::{ANSWERS_WITHIN, BODY_BYTES},
};

type Mapping = dyn Fn(&Event) -> Result<Option<NewEvent>, MappingError> + Send + Sync;

/// What a mapping answers where it can't: the event is at fault, or we are.
type MappingError = Box<dyn std::error::Error + Send + Sync>;

/// The route `POST /webhooks/stripe`: verifies Stripe's events and sends those that start jobs on, under Stripe's own id,
/// so that a repeated delivery starts nothing within 24 h.
///
/// Answers 200 once the event is stored, or where it starts nothing; 400 with the reason where it is not genuine or
/// lacks what the job needs; 503 where there is no secret or the store is away: Stripe then tries again, for three days.
#[derive(Clone)]
pub struct Webhook {
    jobs: Jobs,
    secrets: Option<Secrets>,
    mapping: Arc<Mapping>,
}

impl Webhook {
    /// One that checks with these secrets, and sends on what [`Fact::job_event`](super::Fact::job_event) says. Without
    /// secrets it answers 503.
    pub fn new(jobs: &Jobs, secrets: Option<Secrets>) -> Self {
        let mapping = |event: &Event| match event.fact()? {
            Some(fact) => Ok(Some(fact.job_event(&event.id)?)),
            None => Ok(None),
        };
        Self { jobs: jobs.clone(), secrets, mapping: Arc::new(mapping) }
    }

    /// Says which event of ours one of Stripe's becomes, `None` for none, instead of the above. Its id should be
    /// Stripe's. What fails is answered with 400 where it is a [`WebhookError`] or a `Rejected`.
    #[must_use]
    pub fn mapping(
        mut self,
        mapping: impl Fn(&Event) -> Result<Option<NewEvent>, MappingError> + Send + Sync + 'static,
    ) -> Self {
        self.mapping = Arc::new(mapping);
        self
    }

    /// The route.
    pub fn router(self) -> Router {
        Router::new()
            .route("/webhooks/stripe", post(take).layer(DefaultBodyLimit::max(BODY_BYTES)))
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(Arc::new(self))
    }

    /// The event to send, if any.
    fn event(
        &self,
        secrets: &Secrets,
        header: Option<&str>,
        body: &[u8],
    ) -> Result<Option<NewEvent>, Refused> {
        let now = Clock::Server.local_now().as_second();
        let event = secrets.verify(header, body, now).map_err(|error| refuse_webhook(&error))?;
        (self.mapping)(&event).map_err(|error| {
            if let Some(error) = error.downcast_ref::<WebhookError>() {
                return refuse_webhook(error);
            }
            if let Some(error) = error.downcast_ref::<Error>() {
                return (status_of(error), told(error));
            }
            tracing::error!(%error, event = event.id, "a webhook's mapping fails");
            (StatusCode::INTERNAL_SERVER_ERROR, "the mapping fails, see the log".to_owned())
        })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({:?})", self.secrets)
    }
}

fn refuse_webhook(error: &WebhookError) -> Refused {
    tracing::warn!(%error, "a webhook of Stripe was refused");
    (StatusCode::BAD_REQUEST, error.to_string())
}

/// `POST /webhooks/stripe`
async fn take(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let Some(secrets) = &webhook.secrets else {
        let error = "no secret of the Stripe webhook is configured (STRIPE_WEBHOOK_SECRET)";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, error);
    };
    within(ANSWERS_WITHIN, async {
        let header = request.headers().get(SIGNATURE_HEADER).and_then(|header| header.to_str().ok());
        let header = header.map(str::to_owned);
        let body = match read(request, BODY_BYTES).await {
            Ok(body) => body,
            Err((status, error)) => return refuse(status, &error),
        };
        match webhook.event(secrets, header.as_deref(), &body) {
            Ok(Some(event)) => match webhook.jobs.send_events(vec![event]).await {
                Ok(ids) => answer(StatusCode::OK, json!({"received": true, "ids": ids})),
                Err(error) => failed(&error),
            },
            Ok(None) => answer(StatusCode::OK, json!({"received": true, "ignored": true})),
            Err((status, line)) => refuse(status, &line),
        }
    })
    .await
}

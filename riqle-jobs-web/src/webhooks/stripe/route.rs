//! `POST /webhooks/stripe`: sends on Stripe's events that start jobs.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    response::Response,
    routing::post,
};
use riqle_jobs_core::{
    Clock, Error, ErrorKind, Jobs,
    store::{NewEvent, Repeated},
};
use serde_json::json;

use super::{EVENT_ID_KEPT, Event, Ignored, IgnoredEvents, SIGNATURE_HEADER, Secrets};
use crate::{
    answer::{Refused, answer, failed, method_not_allowed, read, refuse, status_of, told, within},
    webhooks::{ANSWERS_WITHIN, BODY_BYTES},
};

type Mapping = dyn Fn(&Event) -> Result<Option<NewEvent>, MappingError> + Send + Sync;

/// Why a mapping failed: through the event, or through us.
type MappingError = Box<dyn std::error::Error + Send + Sync>;

/// The route `POST /webhooks/stripe`: verifies Stripe's events and sends on those that start jobs, under
/// Stripe's own id, so that a repeated delivery within [35 days](EVENT_ID_KEPT) starts nothing.
///
/// Answers 200 once the event is stored, or if it is ignored, with the reason, which is logged and counted:
/// Stripe disables an endpoint that keeps refusing genuine events. 400 with the reason if it is not genuine;
/// 503 if there is no secret or the store is unavailable: Stripe then retries for three days.
#[derive(Clone)]
pub struct Webhook {
    jobs: Jobs,
    secrets: Option<Secrets>,
    mapping: Arc<Mapping>,
    ignored: IgnoredEvents,
}

/// What is done with a request.
enum Decision {
    Send(Event, NewEvent),
    Ignore(Event, Ignored),
    Refuse(Refused),
}

impl Webhook {
    /// A webhook that verifies with these secrets, and sends on what
    /// [`Fact::job_event`](super::Fact::job_event) says. Without secrets it answers 503.
    pub fn new(jobs: &Jobs<impl Sized>, secrets: Option<Secrets>) -> Self {
        let mapping = |event: &Event| Ok(Some(event.fact()?.job_event(&event.id)?));
        Self { jobs: jobs.erase(), secrets, mapping: Arc::new(mapping), ignored: IgnoredEvents::default() }
    }

    /// Replaces the default mapping from Stripe's events to ours; `None` for none. The id should be Stripe's.
    /// If it fails with [`Ignored`] or `Rejected` the event is ignored; other errors are answered with 500 and
    /// logged.
    #[must_use]
    pub fn mapping(
        mut self,
        mapping: impl Fn(&Event) -> Result<Option<NewEvent>, MappingError> + Send + Sync + 'static,
    ) -> Self {
        self.mapping = Arc::new(mapping);
        self
    }

    /// The live counts of ignored events.
    pub fn ignored(&self) -> IgnoredEvents {
        self.ignored.clone()
    }

    /// The route.
    pub fn router(self) -> Router {
        Router::new()
            .route("/webhooks/stripe", post(take).layer(DefaultBodyLimit::max(BODY_BYTES)))
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(Arc::new(self))
    }

    fn decide(&self, secrets: &Secrets, header: Option<&str>, body: &[u8]) -> Decision {
        let now = Clock::Server.local_now().as_second();
        let event = match secrets.verify(header, body, now) {
            Ok(event) => event,
            Err(error) => {
                static REFUSED: Repeated = Repeated::new();
                if let Some(times) = REFUSED.happened() {
                    tracing::warn!(%error, times, "a Stripe webhook was refused");
                }
                return Decision::Refuse((StatusCode::BAD_REQUEST, error.to_string()));
            }
        };
        match (self.mapping)(&event) {
            Ok(Some(new)) => {
                let id_kept = new.id_kept.max(EVENT_ID_KEPT);
                Decision::Send(event, NewEvent { id_kept, ..new })
            }
            Ok(None) => Decision::Ignore(event, Ignored::Unwanted),
            Err(error) => match error.downcast::<Ignored>() {
                Ok(why) => Decision::Ignore(event, *why),
                Err(error) => decide_on_failure(event, error),
            },
        }
    }

    fn ignore(&self, event: &Event, why: &Ignored) -> Response {
        self.ignored.note("Stripe", &event.kind, &event.id, why);
        answer(StatusCode::OK, json!({"received": true, "ignored": true, "reason": why.to_string()}))
    }
}

fn decide_on_failure(event: Event, error: MappingError) -> Decision {
    match error.downcast_ref::<Error>() {
        Some(error) if error.kind() == ErrorKind::Rejected => {
            Decision::Ignore(event, Ignored::Unstorable(error.message().to_owned()))
        }
        Some(error) => Decision::Refuse((status_of(error), told(error))),
        None => {
            tracing::error!(%error, event = event.id, "a webhook's mapping failed");
            let line = "the mapping failed; see the log".to_owned();
            Decision::Refuse((StatusCode::INTERNAL_SERVER_ERROR, line))
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({:?})", self.secrets)
    }
}

/// `POST /webhooks/stripe`
async fn take(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let Some(secrets) = &webhook.secrets else {
        let error = "no Stripe webhook secret is configured; set STRIPE_WEBHOOK_SECRET";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, error);
    };
    within(ANSWERS_WITHIN, async {
        let header = request.headers().get(SIGNATURE_HEADER).and_then(|header| header.to_str().ok());
        let header = header.map(str::to_owned);
        let body = match read(request, BODY_BYTES).await {
            Ok(body) => body,
            Err((status, error)) => return refuse(status, &error),
        };
        match webhook.decide(secrets, header.as_deref(), &body) {
            Decision::Send(event, new) => match webhook.jobs.send_events(vec![new]).await {
                Ok(ids) => answer(StatusCode::OK, json!({"received": true, "ids": ids})),
                // A repeat would be refused alike.
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    webhook.ignore(&event, &Ignored::Unstorable(error.message().to_owned()))
                }
                Err(error) => failed(&error),
            },
            Decision::Ignore(event, why) => webhook.ignore(&event, &why),
            Decision::Refuse((status, line)) => refuse(status, &line),
        }
    })
    .await
}

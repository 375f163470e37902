//! `POST /e/{key}`: takes events as the official Inngest SDKs and curl send them.

mod batch;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fuzz;
mod ids;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, Method, StatusCode},
    response::Response,
    routing::post,
};
use riqle_jobs_core::{Error, Jobs};
use serde_json::json;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use self::{batch::Batch, ids::Ids};
use crate::{
    answer::{Refused, answer, method_not_allowed, read, refuse, status_of, told, within},
    security::{Secret, is_from_this_machine, is_local_origin, is_of_another_site},
};

/// The largest body of a request, in bytes.
const REQUEST_BYTES: usize = 16 << 20;
/// The largest event that can be allowed, in bytes.
const LARGEST_EVENT: usize = 3 << 20;
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const SEED_HEADER: &str = "x-inngest-event-id-seed";

/// The route `POST /e/{key}`: takes events as the official Inngest SDKs and curl send them.
///
/// The body is an array of events or one event:
/// `{"name": "email/welcome", "data": {…}, "ts": 1795460942017, "id": "…"}`. `data` becomes the input of the
/// runs, verbatim (`{}` if missing); `ts`, in milliseconds since 1970, schedules them if it is in the future;
/// an event whose `id` was seen within 24 h starts nothing. `user` and `v` are not kept. The answer is
/// `{"ids": ["…"], "status": 200}`, in the order of the events: the event's own id, else a ULID. Anything else
/// is `{"ids": [], "status": 400, "error": "…"}`, and nothing is stored. 503 means: send the same again.
///
/// A request has at most 5,000 events and 16 MiB.
#[derive(Clone)]
pub struct EventApi {
    jobs: Jobs,
    keys: Vec<Secret>,
    is_development: bool,
    event_bytes: usize,
}

impl EventApi {
    /// An event API without keys; it answers 503 until it is given some.
    pub fn new(jobs: &Jobs<impl Sized>) -> Self {
        Self { jobs: jobs.erase(), keys: Vec::new(), is_development: false, event_bytes: 512 << 10 }
    }

    /// The accepted keys: several while one is being replaced. Empty ones are ignored.
    #[must_use]
    pub fn keys<K: AsRef<str>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        let keys = keys.into_iter().filter(|key| !key.as_ref().is_empty());
        self.keys.extend(keys.map(|key| Secret::new(key.as_ref())));
        self
    }

    /// For development: without keys, any key is accepted. `bound_to` is where the server listens; unless it is
    /// a loopback address this changes nothing. Requests under another host name, through a proxy that shows
    /// itself, and from pages of other sites are refused. **A reverse proxy on this machine need not show
    /// itself**, so never use this in production.
    #[must_use]
    pub fn development(mut self, bound_to: SocketAddr) -> Self {
        self.is_development = bound_to.ip().is_loopback();
        self
    }

    /// The largest event, in bytes as sent: 512 KiB by default, at most 3 MiB. The data alone must also fit
    /// into the [`input_bytes`](riqle_jobs_core::Limits::input_bytes) of the store.
    #[must_use]
    pub fn event_bytes(mut self, bytes: usize) -> Self {
        self.event_bytes = bytes.min(LARGEST_EVENT);
        self
    }

    /// The route. With a key, pages of any site may call it (CORS); without one, in development, only pages of
    /// this machine.
    pub fn router(self) -> Router {
        let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
        let origins = match self.keys.is_empty() {
            true => AllowOrigin::predicate(|origin, _| is_local_origin(origin)),
            false => AllowOrigin::any(),
        };
        Router::new()
            .route("/e/{key}", post(take).layer(DefaultBodyLimit::max(REQUEST_BYTES)))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(CorsLayer::new().allow_origin(origins).allow_methods(methods).allow_headers(Any))
            .with_state(Arc::new(self))
    }

    fn admit(&self, key: &str, request: &Request) -> Result<(), Refused> {
        // All of them are compared, so that the time tells nothing.
        let fitting = self.keys.iter().filter(|one| one.fits(key)).count();
        let (status, line) = match (self.keys.is_empty(), self.is_development) {
            (false, _) if fitting > 0 => return Ok(()),
            (false, _) => (StatusCode::UNAUTHORIZED, "unknown event key"),
            (true, true) if !is_from_this_machine(request.uri(), request.headers()) => {
                let line = "without an event key, only this machine may send events";
                (StatusCode::UNAUTHORIZED, line)
            }
            (true, true) if is_of_another_site(request.headers()) => {
                let line = "without an event key, pages of other sites may not send events";
                (StatusCode::FORBIDDEN, line)
            }
            (true, true) => return Ok(()),
            (true, false) => {
                (StatusCode::SERVICE_UNAVAILABLE, "no event key is configured; set RIQLE_EVENT_KEY")
            }
        };
        Err((status, line.to_owned()))
    }

    async fn send(&self, body: &[u8], headers: &HeaderMap) -> Result<Vec<String>, Refused> {
        let batch = Batch::read(body, self.event_bytes).map_err(|line| (StatusCode::BAD_REQUEST, line))?;
        let seed = headers.get(SEED_HEADER).and_then(|seed| seed.to_str().ok());
        let refused = |error: Error| {
            let line = error.index().map_or_else(String::new, |index| batch.place(index)) + &told(&error);
            (status_of(&error), line)
        };
        // What is in the future, the store's clock says.
        let now = self.jobs.store().now().await.map_err(refused)?;
        self.jobs.send_events(batch.events(&Ids::new(seed, now), now)).await.map_err(refused)
    }
}

impl fmt::Debug for EventApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventApi({} keys)", self.keys.len())
    }
}

/// `POST /e/{key}`
async fn take(
    State(api): State<Arc<EventApi>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A key that is no UTF-8 is no key.
    let key = key.map_or_else(|_| String::new(), |Path(key)| key);
    if let Err((status, line)) = api.admit(&key, &request) {
        return refuse(status, &line);
    }
    within(ANSWERS_WITHIN, async {
        let headers = request.headers().clone();
        let sent = match read(request, REQUEST_BYTES).await {
            Ok(body) => api.send(&body, &headers).await,
            Err(refused) => Err(refused),
        };
        match sent {
            Ok(ids) => answer(StatusCode::OK, json!({"ids": ids, "status": 200})),
            Err((status, error)) => {
                answer(status, json!({"ids": [], "status": status.as_u16(), "error": error}))
            }
        }
    })
    .await
}

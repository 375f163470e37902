//! The dashboard: pages for people, the same as JSON for tools, and the actions of operators.

mod act;
mod assets;
mod chart;
mod csrf;
mod failure;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fuzz;
mod history;
mod json_text;
mod openapi;
mod page;
mod pages;
mod redaction;
mod show;
mod stream;
mod visit;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use riqle_jobs_core::{Jobs, Shutdown};
use tower_http::timeout::TimeoutLayer;

pub use self::redaction::{HIDDEN_KEYS, redacted};
use self::{redaction::Redaction, stream::Streams};
use crate::security::Access;

/// The room for what a form has besides an input.
const AROUND_THE_INPUT: usize = 64 * 1024;
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// The dashboard's routes, for `Router::nest_service` wherever the application likes.
///
/// Each page is also available as JSON, for requests that accept `application/json` before `text/html`;
/// `GET /openapi.json` describes them. Actions are `POST`, for operators; each is recorded with who and when.
///
/// ```
/// use riqle_jobs_core::{Jobs, Memory};
/// use riqle_jobs_web::{Dashboard, security::{Access, Role}};
///
/// # fn app() -> axum::Router {
/// let jobs = Jobs::new(&Memory::new());
/// let access = Access::closed().basic("anna", "a long password", Role::Operator);
/// axum::Router::new().nest_service("/riqle", Dashboard::new(&jobs, access).router())
/// # }
/// ```
#[must_use = "it is served by its router"]
pub struct Dashboard {
    jobs: Jobs,
    access: Access,
    redaction: Redaction,
    shutdown: Shutdown,
}

impl Dashboard {
    /// The dashboard of a store, for users that `access` admits.
    pub fn new(jobs: &Jobs<impl Sized>, access: Access) -> Self {
        Self { jobs: jobs.erase(), access, redaction: Redaction::default(), shutdown: Shutdown::new() }
    }

    /// Hides from viewers the values in inputs, results and outputs whose key contains one of these words,
    /// instead of [the default list](crate::HIDDEN_KEYS). Each is one word, or several with spaces between, and
    /// matches in every spelling: `access key` in `accessKey`, `AWS_ACCESS_KEYS` and `accesskey`, `pin` in
    /// `newPin` and not in `shipping`. Operators see all.
    pub fn hide_keys<'a>(mut self, keys: impl IntoIterator<Item = &'a str>) -> Self {
        self.redaction = Redaction::new(keys);
        self
    }

    /// Once stopping begins, ends actions on all matches (recording it, if the process lives long enough) and
    /// closes live pages, so that a server that stops gracefully need not wait for them. Otherwise each live
    /// page is closed within a minute, as long as its browser reads.
    pub fn until(mut self, shutdown: &Shutdown) -> Self {
        self.shutdown = shutdown.clone();
        self
    }

    /// The routes.
    pub fn router(self) -> Router {
        let most = self.jobs.store().limits().input_bytes.saturating_mul(3).saturating_add(AROUND_THE_INPUT);
        let web = Web(Arc::new(Shared {
            jobs: self.jobs,
            access: self.access,
            redaction: self.redaction,
            shutdown: self.shutdown,
            streams: Arc::default(),
        }));
        Router::new()
            .merge(pages())
            .merge(actions())
            .layer(DefaultBodyLimit::max(most))
            .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWERS_WITHIN))
            .route("/assets/{file}", get(assets::asset))
            .route("/openapi.json", get(openapi::document))
            .fallback(page::not_found)
            .method_not_allowed_fallback(page::method_not_allowed)
            .layer(map_response(with_headers))
            .with_state(web)
    }
}

fn pages() -> Router<Web> {
    Router::new()
        // Relative, so that it holds behind a proxy that serves this under another path.
        .route("/", get(|visit: visit::Visit| async move { to_overview(&visit) }))
        .route("/overview", get(pages::overview::show))
        .route("/runs", get(pages::runs::show))
        .route("/runs/confirm", get(pages::confirm::show))
        .route("/runs/{id}", get(pages::run::show))
        .route("/dead-letters", get(pages::dead_letters::show))
        .route("/jobs", get(pages::jobs::show))
        .route("/jobs/{name}", get(pages::job::show))
        .route("/schedules", get(pages::schedules::show))
        .route("/schedules/{job}/{name}", get(pages::schedule::show))
        .route("/queues", get(pages::queues::show))
        .route("/events", get(pages::events::show))
        .route("/emails", get(pages::emails::show))
        .route("/emails/{id}", get(pages::email::show))
        .route("/emails/{id}/html", get(pages::email_parts::html))
        .route("/emails/{id}/source", get(pages::email_parts::source))
        .route("/suppressions", get(pages::suppressions::show))
        .route("/audit", get(pages::audit::show))
        .route("/audit/{id}", get(pages::action::show))
}

fn actions() -> Router<Web> {
    Router::new()
        .route("/runs/{id}/replay", post(act::run::replay))
        .route("/runs/{id}/cancel", post(act::run::cancel))
        .route("/runs/{id}/run-now", post(act::run::run_now))
        .route("/runs/{id}/discard", post(act::run::discard))
        .route("/runs/act", post(act::runs::act))
        .route("/jobs/{name}/runs", post(act::job::start))
        .route("/schedules/{job}/{name}/trigger", post(act::schedule::trigger))
        .route("/schedules/{job}/{name}/pause", post(act::schedule::pause))
        .route("/schedules/{job}/{name}/resume", post(act::schedule::resume))
        .route("/schedules/{job}/{name}/backfill", post(act::schedule::backfill))
        .route("/schedules/{job}/{name}/edit", post(act::schedule::edit))
        .route("/schedules/{job}/{name}/remove", post(act::schedule::remove))
        .route("/queues/{name}/pause", post(act::queue::pause))
        .route("/queues/{name}/resume", post(act::queue::resume))
        .route("/workers/{id}/order", post(act::worker::order))
        .route("/emails/{id}/resolve", post(act::email::resolve))
        .route("/suppressions/add", post(act::email::suppress))
        .route("/suppressions/remove", post(act::email::unsuppress))
}

fn to_overview(visit: &visit::Visit) -> impl IntoResponse + use<> {
    (HEADERS, Redirect::to(&visit.to("overview")))
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Web(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) jobs: Jobs,
    access: Access,
    pub(crate) redaction: Redaction,
    pub(crate) shutdown: Shutdown,
    streams: Arc<Streams>,
}

impl std::ops::Deref for Web {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<Web> for Access {
    fn from_ref(web: &Web) -> Self {
        web.access.clone()
    }
}

/// On every answer, including a timeout.
async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// On every answer of the dashboard: nothing is loaded from elsewhere, framed, sniffed or stored.
pub(crate) const HEADERS: [(header::HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::VARY, HeaderValue::from_static("Accept, Cookie")),
];

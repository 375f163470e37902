//! What every page has: its place in the menu, its title, its answer as HTML or JSON.

use askama::Template;
use axum::{
    Json,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use super::{
    HEADERS,
    failure::Failure,
    stream,
    visit::{Visit, Wants},
};

/// What a page shows: as JSON, and as the HTML of its body.
pub(crate) trait Page: Serialize + Send + 'static {
    /// Its place in the menu.
    const PLACE: Place;

    /// Whether the page updates live.
    fn is_followed(&self) -> bool {
        true
    }

    /// For the browser's tab.
    fn title(&self) -> String;

    /// The body, for this visit.
    fn html(&self, visit: &Visit) -> Result<String, askama::Error>;
}

/// A place in the menu.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Overview,
    Runs,
    DeadLetters,
    Jobs,
    Schedules,
    Queues,
    Events,
    Emails,
    Audit,
}

impl Place {
    const ALL: [Place; 9] = [
        Place::Overview,
        Place::Runs,
        Place::DeadLetters,
        Place::Jobs,
        Place::Schedules,
        Place::Queues,
        Place::Events,
        Place::Emails,
        Place::Audit,
    ];

    fn path(self) -> &'static str {
        match self {
            Place::Overview => "overview",
            Place::Runs => "runs",
            Place::DeadLetters => "dead-letters",
            Place::Jobs => "jobs",
            Place::Schedules => "schedules",
            Place::Queues => "queues",
            Place::Events => "events",
            Place::Emails => "emails",
            Place::Audit => "audit",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Place::Overview => "Overview",
            Place::Runs => "Runs",
            Place::DeadLetters => "Dead letters",
            Place::Jobs => "Jobs",
            Place::Schedules => "Schedules",
            Place::Queues => "Queues",
            Place::Events => "Events",
            Place::Emails => "Emails",
            Place::Audit => "Audit",
        }
    }
}

#[derive(Template)]
#[template(path = "layout.html")]
struct Layout<'a> {
    visit: &'a Visit,
    title: &'a str,
    place: Option<Place>,
    body: &'a str,
    is_live: bool,
}

impl Visit {
    /// Returns a page, in the requested form; `load` is called again for a live page.
    pub(crate) async fn show<P: Page, F>(self, load: impl Fn() -> F + Send + Sync + 'static) -> Response
    where
        F: Future<Output = Result<P, Failure>> + Send,
    {
        if self.wants == Wants::Stream {
            return stream::follow(self, load);
        }
        let shown = async {
            let page = load().await?;
            Ok(match self.wants {
                Wants::Json => (HEADERS, Json(page)).into_response(),
                _ => {
                    let body = page.html(&self)?;
                    self.whole(StatusCode::OK, &page.title(), Some(P::PLACE), &body, page.is_followed())?
                }
            })
        };
        shown.await.unwrap_or_else(|failure: Failure| self.fail(&failure))
    }

    /// Returns a failure.
    pub(crate) fn fail(&self, failure: &Failure) -> Response {
        let status = failure.status;
        if self.wants == Wants::Json {
            let body = Json(json!({"error": failure.text, "status": status.as_u16()}));
            return (status, HEADERS, body).into_response();
        }
        self.whole(status, "Not available", None, &failed(failure), false)
            .unwrap_or_else(|_| (status, HEADERS, failure.text.clone()).into_response())
    }

    fn whole(
        &self,
        status: StatusCode,
        title: &str,
        place: Option<Place>,
        body: &str,
        is_live: bool,
    ) -> Result<Response, askama::Error> {
        let html = Layout { visit: self, title, place, body, is_live }.render()?;
        let mut response = (status, HEADERS, Html(html)).into_response();
        if let Some(cookie) = self.token.cookie(self.base.starts_with("https:")) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }
}

/// The body of a page that is not available.
pub(super) fn failed(failure: &Failure) -> String {
    let body = Failed { status: failure.status.as_u16(), text: &failure.text }.render();
    body.unwrap_or_else(|_| failure.status.to_string())
}

#[derive(Template)]
#[template(path = "failed.html")]
struct Failed<'a> {
    status: u16,
    text: &'a str,
}

pub(crate) async fn not_found(visit: Visit) -> Response {
    visit.fail(&Failure::not_found("page"))
}

pub(crate) async fn method_not_allowed(visit: Visit) -> Response {
    let text = "method not allowed".to_owned();
    visit.fail(&Failure { status: StatusCode::METHOD_NOT_ALLOWED, text })
}

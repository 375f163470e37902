//! The message itself, for operators: its HTML for a frame in which nothing of it can run or be loaded, and its source.

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use mail_parser::MessageParser;

use super::email::find;
use crate::dashboard::{
    HEADERS, Web,
    failure::Failure,
    visit::{Path, Visit},
};

/// Inline styles, and images that are part of it; nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'; base-uri 'none'; \
     form-action 'none'",
);

pub(crate) async fn html(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Response {
    let read = async {
        visit.must_be_operator()?;
        let email = find(&web, &id).await?;
        let message = MessageParser::default()
            .parse(&email.message)
            .filter(|message| message.html_bodies().any(|part| part.is_text_html()));
        let html = message.as_ref().and_then(|message| message.body_html(0));
        html.map(|html| html.into_owned()).ok_or_else(|| Failure::not_found("part of the email"))
    };
    match read.await {
        Ok(html) => {
            let mut response = (HEADERS, html).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
            response
        }
        Err(failure) => visit.fail(&failure),
    }
}

pub(crate) async fn source(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Response {
    let read = async {
        visit.must_be_operator()?;
        find(&web, &id).await
    };
    match read.await {
        Ok(email) => {
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            (HEADERS, [kind], email.message).into_response()
        }
        Err(failure) => visit.fail(&failure),
    }
}

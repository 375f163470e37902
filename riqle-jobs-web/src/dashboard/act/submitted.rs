//! Reads what an operator sends, a form or JSON, and refuses other users and other sites.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::StatusCode,
    response::Response,
};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use crate::{
    answer::is_json,
    dashboard::{
        Web, csrf,
        failure::Failure,
        visit::{Visit, Wants},
    },
};

/// What an operator sends: a form of ours, or JSON.
pub(crate) struct Submitted<T> {
    pub(crate) visit: Visit,
    pub(crate) asked: T,
}

/// The field of a form that repeats the cookie.
const TOKEN: &str = "formToken";

impl<T: DeserializeOwned> FromRequest<Web> for Submitted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let mut visit = Visit::from_request_parts(&mut parts, web).await?;
        let is_json = is_json(&parts.headers);
        if is_json {
            visit.wants = Wants::Json;
        }
        if let Err(failure) = visit.must_be_operator() {
            return Err(visit.fail(&failure));
        }
        if !csrf::is_same_origin(&parts.headers) {
            let text = "the request came from another site, or through a proxy that drops the Host header";
            return Err(refuse(&visit, StatusCode::FORBIDDEN, text));
        }
        let headers = parts.headers.clone();
        let body = match Bytes::from_request(Request::from_parts(parts, body), web).await {
            Ok(body) => body,
            Err(rejection) => {
                return Err(refuse(&visit, rejection.status(), "the body is too large or can't be read"));
            }
        };
        let read = if is_json {
            let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
            serde_json::from_slice(body)
                .map_err(|error| Failure::bad(format!("the body can't be read: {error}")))
        } else {
            let token = form_urlencoded::parse(&body).find(|(name, _)| name == TOKEN);
            if !token.is_some_and(|(_, token)| csrf::is_repeated(&headers, &token)) {
                let text = match visit.wants {
                    Wants::Json => "send JSON with the content type application/json",
                    _ => "the form has expired: go back, reload the page and try again",
                };
                return Err(refuse(&visit, StatusCode::FORBIDDEN, text));
            }
            if form_urlencoded::parse(&body).any(|(name, value)| name.contains('\0') || value.contains('\0'))
            {
                return Err(visit.fail(&Failure::nul("form")));
            }
            serde_html_form::from_bytes(&body)
                .map_err(|error| Failure::bad(format!("the form can't be read: {error}")))
        };
        match read {
            Ok(asked) => Ok(Self { visit, asked }),
            Err(failure) => Err(visit.fail(&failure)),
        }
    }
}

fn refuse(visit: &Visit, status: StatusCode, text: &str) -> Response {
    visit.fail(&Failure { status, text: text.to_owned() })
}

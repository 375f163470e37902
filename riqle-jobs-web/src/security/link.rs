//! A link that lets its holder in as an operator, and the cookie that follows it.

use std::fmt;

use axum::{
    extract::OriginalUri,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{Secret, cookies, is_https, local};

const PARAMETER: &str = "token";

/// A token of this process that admits its holder as an operator: by a link, then by a cookie, or as a bearer
/// token.
///
/// Print the link on standard output and keep it out of logs: anyone who has it may act until the process ends.
/// For that reason it has no `Display`.
#[derive(Clone)]
pub struct Link {
    token: String,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { token: random() }
    }

    /// The link to a page of the dashboard: `http://127.0.0.1:8288/jobs` becomes `http://127.0.0.1:8288/jobs?token=…`.
    pub fn to(&self, page: &str) -> String {
        let joint = if page.contains('?') { '&' } else { '?' };
        format!("{page}{joint}{PARAMETER}={}", self.token)
    }

    /// The token alone, for `Authorization: Bearer …`.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(…)")
    }
}

/// 256 random bits, as text that is safe in a link and in a cookie.
pub(crate) fn random() -> String {
    URL_SAFE_NO_PAD.encode([Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat())
}

/// Answers a request that was made by the link: the token goes into a cookie and out of the address, so that it
/// is in no history, bookmark or screenshot. `None` if the request has no matching token.
pub(super) fn enter(secret: &Secret, request: &Parts) -> Option<Response> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return None;
    }
    let is_token = |pair: &&str| pair.split('=').next() == Some(PARAMETER);
    let query = request.uri.query()?;
    let mut given = query.split('&').filter(is_token).filter_map(|pair| pair.split_once('='));
    let (_, token) = given.find(|(_, token)| secret.fits(token))?;
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
    let original = request.extensions.get::<OriginalUri>().map_or(&request.uri, |original| &original.0);
    let to = without_query(original, &rest.join("&"));
    let secure = if is_https(&request.headers) { "; Secure" } else { "" };
    let name = cookie_name(&request.headers);
    let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let headers = [
        (header::LOCATION, HeaderValue::try_from(to).ok()?),
        (header::SET_COOKIE, HeaderValue::try_from(cookie).ok()?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Some((StatusCode::SEE_OTHER, headers).into_response())
}

/// Whether a browser holds the cookie that [`enter`] gave it.
pub(super) fn has_entered(secret: &Secret, headers: &HeaderMap) -> bool {
    cookies(headers, &cookie_name(headers)).any(|given| secret.fits(given))
}

/// Cookies ignore ports, and each application on this machine has its own token: so the name carries the port.
fn cookie_name(headers: &HeaderMap) -> String {
    let default = if is_https(headers) { "443" } else { "80" };
    format!("riqle_jobs_{}", local::port(headers).unwrap_or(default))
}

/// The same page, relative, so that it holds behind a proxy that serves it under another path.
fn without_query(page: &Uri, rest: &str) -> String {
    let last = page.path().rsplit('/').next().unwrap_or_default();
    if rest.is_empty() { format!("./{last}") } else { format!("./{last}?{rest}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(method: &str, uri: &str, host: &str) -> Parts {
        Request::builder().method(method).uri(uri).header("host", host).body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_token_goes_out_of_the_address_and_what_else_is_asked_for_stays() {
        let link = Link::new();
        let secret = Secret::new(&link.token);
        for (page, location) in [
            ("/jobs", "./jobs"),
            ("/jobs/", "./"),
            ("/jobs/runs?state=dead", "./runs?state=dead"),
            ("/", "./"),
        ] {
            let answer = enter(&secret, &parts("GET", &link.to(page), "127.0.0.1:8288")).unwrap();
            assert_eq!(answer.status(), 303);
            assert_eq!(answer.headers()["location"], location, "{page}");
            let cookie = answer.headers()["set-cookie"].to_str().unwrap();
            let expected = format!("riqle_jobs_8288={}; Path=/; HttpOnly; SameSite=Lax", link.token);
            assert_eq!(cookie, expected);
        }
    }

    #[test]
    fn another_token_or_another_method_enters_nothing() {
        let link = Link::new();
        let secret = Secret::new(&link.token);
        for (method, page) in [
            ("POST", link.to("/jobs")),
            ("GET", Link::new().to("/jobs")),
            ("GET", "/jobs?token=".to_owned()),
            ("GET", "/jobs?token".to_owned()),
            ("GET", format!("/jobs?tokens={}", link.token)),
            ("GET", "/jobs".to_owned()),
        ] {
            assert!(enter(&secret, &parts(method, &page, "127.0.0.1")).is_none(), "{method} {page}");
        }
    }

    #[test]
    fn the_cookie_is_that_of_the_port_where_the_browser_is() {
        let link = Link::new();
        let secret = Secret::new(&link.token);
        let has = |host: &str, cookie: &str| {
            let mut headers = parts("GET", "/", host).headers;
            headers.insert("cookie", format!("a=b; {cookie}={}", link.token).parse().unwrap());
            has_entered(&secret, &headers)
        };
        assert!(has("127.0.0.1:8288", "riqle_jobs_8288"));
        assert!(has("[::1]:8288", "riqle_jobs_8288"));
        assert!(has("shop.example", "riqle_jobs_80"));
        assert!(!has("127.0.0.1:8289", "riqle_jobs_8288"));
        assert!(!has_entered(&secret, &parts("GET", "/", "127.0.0.1:8288").headers));
    }

    #[test]
    fn a_link_shows_its_token_where_it_is_asked_for_alone() {
        let link = Link::new();
        assert_eq!(format!("{link:?}"), "Link(…)");
        assert_eq!(link.to("http://h/jobs?a=b"), format!("http://h/jobs?a=b&token={}", link.token()));
        assert_eq!(link.token().len(), 43);
        assert_ne!(link.token(), Link::new().token());
    }
}

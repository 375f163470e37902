//! Reads cookies, and whether the browser uses HTTPS.

use axum::http::{HeaderMap, header};

/// The values of all cookies of this name: another port of the host may have set one, too.
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.filter(move |(known, _)| *known == name).map(|(_, value)| value)
}

/// Whether the browser uses HTTPS, as far as a proxy says so.
pub(crate) fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

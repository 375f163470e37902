//! Actions come from our own forms: a browser says that the request is of the same origin, and the form repeats a cookie
//! that no other site can read. Tools send JSON, which no form of another site can, and their credentials.

use axum::http::{HeaderMap, HeaderValue, header};
use url::Url;

use crate::security::{Secret, cookies, random};

const COOKIE: &str = "riqle_jobs_form";

/// What a form repeats.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// The browser does not have it yet.
    pub(crate) is_new: bool,
}

impl Token {
    /// The cookie, if the browser lacks it.
    pub(crate) fn cookie(&self, is_https: bool) -> Option<HeaderValue> {
        let secure = if is_https { "; Secure" } else { "" };
        let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax{secure}", self.text);
        self.is_new.then(|| HeaderValue::from_str(&cookie).ok()).flatten()
    }
}

/// That of the browser, or a new one.
pub(crate) fn token_of(headers: &HeaderMap) -> Token {
    match cookie(headers) {
        Some(text) => Token { text, is_new: false },
        None => Token { text: random(), is_new: true },
    }
}

/// Whether a form repeats the cookie.
pub(crate) fn is_repeated(headers: &HeaderMap, given: &str) -> bool {
    cookie(headers).is_some_and(|cookie| Secret::new(&cookie).fits(given))
}

/// Whether a browser sends this on its own page's behalf. Clients other than browsers send no origin.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let of = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = of("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = of(header::ORIGIN.as_str()) else { return true };
    let Ok(origin) = Url::parse(origin) else { return false };
    let host = match (origin.host_str(), origin.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return false,
    };
    let is_ours = |name: &str| of(name).is_some_and(|ours| ours.eq_ignore_ascii_case(&host));
    is_ours("host") || is_ours("x-forwarded-host")
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    cookies(headers, COOKIE).find(|value| value.len() == 43).map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn another_site_is_told_by_what_its_browser_says() {
        let is = |lines: &[(&'static str, &str)]| is_same_origin(&headers(lines));
        assert!(is(&[("host", "shop:80")]));
        assert!(is(&[("sec-fetch-site", "same-origin"), ("host", "shop")]));
        assert!(!is(&[("sec-fetch-site", "cross-site"), ("host", "shop")]));
        assert!(!is(&[("sec-fetch-site", "same-site"), ("host", "shop")]));
        assert!(is(&[("origin", "https://shop"), ("host", "shop")]));
        assert!(is(&[("origin", "http://shop:8288"), ("host", "shop:8288")]));
        assert!(!is(&[("origin", "http://shop:8289"), ("host", "shop:8288")]));
        assert!(!is(&[("origin", "null"), ("host", "shop")]));
        assert!(!is(&[("origin", "https://evil.example"), ("host", "shop")]));
    }

    #[test]
    fn a_form_must_repeat_the_cookie() {
        let token = token_of(&HeaderMap::new());
        assert!(token.is_new);
        let cookie = token.cookie(false).unwrap();
        let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
        let sent = headers(&[("cookie", &format!("a=b; {cookie}"))]);
        assert!(!token_of(&sent).is_new);
        assert!(is_repeated(&sent, &token.text));
        assert!(!is_repeated(&sent, "another"));
        assert!(!is_repeated(&sent, ""));
        assert!(!is_repeated(&HeaderMap::new(), &token.text));
        assert!(!is_repeated(&headers(&[("cookie", "riqle_jobs_form=")]), ""));
    }
}

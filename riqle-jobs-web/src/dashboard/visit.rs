//! Who looks at a page, from where, and in which form; reads queries and paths of URLs.

use axum::{
    extract::{FromRef, FromRequestParts, OriginalUri, RawPathParams},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};

use riqle_jobs_core::email::{addresses_in, mask_addresses};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::{
    Web,
    csrf::{self, Token},
    failure::Failure,
};
use crate::security::{Access, Role, User, Way, is_https};

/// Who looks at a page, from where, and in which form they want it.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) web: Web,
    pub(crate) user: User,
    /// The way from the page to the dashboard's root, relative: `./` or `../`, so that no path need be configured.
    pub(crate) root: String,
    /// The page itself, relative, with its query.
    pub(crate) here: String,
    pub(crate) wants: Wants,
    /// In every form.
    pub(crate) token: Token,
    /// How it was let in.
    pub(crate) way: Way,
    /// Where the dashboard is, as the browser names it.
    pub(crate) base: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Html,
    Json,
    /// The page's body again, each time that it changes.
    Stream,
}

impl Visit {
    pub(crate) fn is_operator(&self) -> bool {
        self.user.role >= Role::Operator
    }

    /// Text of a job, a provider or a person: for viewers, addresses in it lose their names.
    pub(crate) fn text(&self, text: &str) -> String {
        if self.is_operator() { text.to_owned() } else { mask_addresses(text) }
    }

    /// # Errors
    /// 403 for viewers.
    pub(crate) fn must_be_operator(&self) -> Result<(), Failure> {
        let text = "operators only: viewers can look, but not act".to_owned();
        if self.is_operator() { Ok(()) } else { Err(Failure { status: StatusCode::FORBIDDEN, text }) }
    }

    /// A page's path from here.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }
}

impl FromRequestParts<Web> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        // Several parts of a request ask for it; who it is is asked once.
        if let Some(visit) = parts.extensions.get::<Self>() {
            return Ok(visit.clone());
        }
        let user = Access::from_ref(web).admit(parts, Role::Viewer).await?;
        let original =
            OriginalUri::from_request_parts(parts, web).await.unwrap_or(OriginalUri(parts.uri.clone())).0;
        let path = original.path_and_query().map_or("/", |path| path.as_str());
        let query_at = path.find('?').unwrap_or(path.len());
        let last = path[..query_at].rfind('/').map_or(0, |slash| slash + 1);
        let visit = Self {
            web: web.clone(),
            user,
            root: root(original.path(), parts.uri.path()),
            here: path[last..].to_owned(),
            wants: wants(&parts.headers),
            token: csrf::token_of(&parts.headers),
            way: Access::from_ref(web).way(parts),
            base: base(&parts.headers, original.path(), parts.uri.path()),
        };
        parts.extensions.insert(visit.clone());
        Ok(visit)
    }
}

/// The query of a URL; a malformed one is answered like every failure here.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Web> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let visit = Visit::from_request_parts(parts, web).await?;
        let holds_an_address = |value: &str| value.contains('@') || !addresses_in(value).is_empty();
        if !visit.is_operator()
            && form_urlencoded::parse(query.as_bytes()).any(|(_, value)| holds_an_address(&value))
        {
            let text = "viewers can't see or search addresses".to_owned();
            return Err(visit.fail(&Failure { status: StatusCode::FORBIDDEN, text }));
        }
        if form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name.contains('\0') || value.contains('\0'))
        {
            return Err(visit.fail(&Failure::nul("address")));
        }
        serde_html_form::from_str(&query).map(Self).map_err(|_| {
            visit.fail(&Failure::bad("the query can't be read: a field is repeated, or has an unknown value"))
        })
    }
}

/// The parts of a path that name something; malformed ones name nothing.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Web> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let names = RawPathParams::from_request_parts(parts, web).await;
        let holds_no_nul = names.is_ok_and(|names| names.iter().all(|(_, name)| !name.contains('\0')));
        match axum::extract::Path::from_request_parts(parts, web).await {
            Ok(axum::extract::Path(names)) if holds_no_nul => Ok(Self(names)),
            _ => {
                let visit = Visit::from_request_parts(parts, web).await?;
                Err(visit.fail(&Failure::not_found("page")))
            }
        }
    }
}

/// The way from `inner`, a path within the dashboard, to its root; `whole` is the path that was asked for. Only the root
/// itself may be asked for without the slash at its end, when the browser takes its last part for a page.
fn root(whole: &str, inner: &str) -> String {
    if inner == "/" && !whole.ends_with('/') {
        return format!("{}/", whole.rsplit('/').next().unwrap_or_default());
    }
    match inner.matches('/').count() {
        0 | 1 => "./".to_owned(),
        depth => "../".repeat(depth - 1),
    }
}

fn wants(headers: &HeaderMap) -> Wants {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let at = |kind| accept.find(kind).unwrap_or(usize::MAX);
    if accept.contains("text/event-stream") {
        Wants::Stream
    } else if at("application/json") < at("text/html") {
        Wants::Json
    } else {
        Wants::Html
    }
}

/// For what people copy; a guess if a proxy does not say.
fn base(headers: &HeaderMap, whole: &str, inner: &str) -> String {
    let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = if is_https(headers) { "https" } else { "http" };
    let host = of("x-forwarded-host").or_else(|| of("host")).unwrap_or("localhost");
    format!("{scheme}://{host}{}", whole.strip_suffix(inner).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_every_page() {
        assert_eq!(root("/riqle/overview", "/overview"), "./");
        assert_eq!(root("/riqle/runs/7", "/runs/7"), "../");
        assert_eq!(root("/runs/7/html", "/runs/7/html"), "../../");
        assert_eq!(root("/riqle", "/"), "riqle/");
        assert_eq!(root("/a/riqle", "/"), "riqle/");
        assert_eq!(root("/riqle/", "/"), "./");
        assert_eq!(root("/", "/"), "./");
    }

    #[test]
    fn the_form_is_what_is_accepted_first() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            wants(&headers)
        };
        assert_eq!(of("text/html,application/xhtml+xml,*/*;q=0.8"), Wants::Html);
        assert_eq!(of("*/*"), Wants::Html);
        assert_eq!(of("application/json"), Wants::Json);
        assert_eq!(of("application/json, text/html"), Wants::Json);
        assert_eq!(of("text/html, text/event-stream"), Wants::Stream);
        assert_eq!(wants(&HeaderMap::new()), Wants::Html);
    }
}

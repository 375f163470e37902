//! Users and their roles, and what lets a request in: a token, a password, the application.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};

use riqle_jobs_core::{Error, ErrorKind};

use super::{
    Link, Secret, is_from_this_machine,
    link::{enter, has_entered},
};
use crate::answer::refuse;

const OPERATOR_VARIABLE: &str = "RIQLE_JOBS_OPERATOR";
const VIEWER_VARIABLE: &str = "RIQLE_JOBS_VIEWER";

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and act.
    Operator,
}

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, as the audit will show it.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// An application's own authentication, such as its sessions.
#[async_trait::async_trait]
pub trait Authenticate: Send + Sync {
    /// Names the user of a request, or answers the request: with 401, or a redirect to a login page.
    async fn user(&self, request: &Parts) -> Result<User, Response>;
}

/// Who may look and act: holders of tokens, of names with passwords, or users named by the application.
#[derive(Clone, Default)]
pub struct Access {
    credentials: Vec<Credential>,
    /// The token of a link.
    pub(super) link: Option<Secret>,
    pub(super) own: Option<Arc<dyn Authenticate>>,
    is_open_here: bool,
}

/// The name of a user who came by the link.
const BY_LINK: &str = "link";

#[derive(Clone)]
pub(super) struct Credential {
    pub(super) scheme: Scheme,
    secret: Secret,
    pub(super) user: User,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Basic,
}

impl Access {
    /// Closed: every request is answered with 503 and the reason.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Users from the environment: `RIQLE_JOBS_OPERATOR` and `RIQLE_JOBS_VIEWER`, each `NAME:PASSWORD`. The
    /// password is also accepted as a bearer token. If neither is set, [`closed`](Self::closed).
    ///
    /// # Errors
    /// `Misconfigured` if one is set but not of that form, or its password has fewer than 8 characters.
    pub fn from_environment() -> Result<Self, Error> {
        let mut access = Self::closed();
        for (variable, role) in [(OPERATOR_VARIABLE, Role::Operator), (VIEWER_VARIABLE, Role::Viewer)] {
            let Some(given) = std::env::var(variable).ok().filter(|given| !given.is_empty()) else {
                continue;
            };
            let (name, password) = name_and_password(variable, &given)?;
            access = access.basic(name, password, role).bearer(name, password, role);
        }
        Ok(access)
    }

    /// Users named by the application's own authentication.
    pub fn by(authenticate: impl Authenticate + 'static) -> Self {
        Self { own: Some(Arc::new(authenticate)), ..Self::default() }
    }

    /// Also admits requests with `Authorization: Bearer TOKEN`. An empty token admits nobody.
    #[must_use]
    pub fn bearer(self, name: &str, token: &str, role: Role) -> Self {
        self.with(Scheme::Bearer, name, token, token, role)
    }

    /// Also admits requests with this name and password (HTTP basic authentication). An empty password admits
    /// nobody.
    #[must_use]
    pub fn basic(self, name: &str, password: &str, role: Role) -> Self {
        self.with(Scheme::Basic, name, password, &format!("{name}:{password}"), role)
    }

    /// Everyone who reaches a server on a loopback address is an operator, without a password: each user and
    /// program of this machine, **and the whole world through a reverse proxy on this machine**, which need not
    /// leave a trace. Only for a machine of your own that serves nothing to others; elsewhere use
    /// [`or_link`](Self::or_link).
    ///
    /// `bound_to` is where the server listens; if that is not a loopback address, this is
    /// [`closed`](Self::closed). Requests under another host name and requests that show a proxy are refused.
    /// Adding credentials closes it.
    pub fn open_to_this_machine(bound_to: SocketAddr) -> Self {
        Self { is_open_here: bound_to.ip().is_loopback(), ..Self::default() }
    }

    /// If nobody is admitted yet: also admits, as an operator, the holder of a [`Link`] with a token of this
    /// process. Print the link on standard output, beside the address. `None` if somebody is admitted already.
    ///
    /// ```
    /// use riqle_jobs_web::security::Access;
    ///
    /// # fn main() -> Result<(), riqle_jobs_core::Error> {
    /// let (access, link) = Access::from_environment()?.or_link();
    /// let dashboard = "http://127.0.0.1:8288/jobs".to_owned();
    /// println!("dashboard: {}", link.map_or(dashboard.clone(), |link| link.to(&dashboard)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn or_link(self) -> (Self, Option<Link>) {
        if self.has_operator() {
            return (self, None);
        }
        let link = Link::new();
        let access = Self { link: Some(Secret::new(link.token())), ..self };
        (access.bearer(BY_LINK, link.token(), Role::Operator), Some(link))
    }

    fn has_operator(&self) -> bool {
        let may_act = |credential: &Credential| credential.user.role == Role::Operator;
        self.own.is_some() || self.is_open() || self.credentials.iter().any(may_act)
    }

    fn is_open(&self) -> bool {
        self.is_open_here && self.credentials.is_empty()
    }

    fn with(mut self, scheme: Scheme, name: &str, given: &str, secret: &str, role: Role) -> Self {
        if !given.is_empty() {
            let user = User { name: name.to_owned(), role };
            self.credentials.push(Credential { scheme, secret: Secret::new(secret), user });
        }
        self
    }

    /// Names the user of a request, or answers it.
    async fn user(&self, request: &Parts) -> Result<User, Response> {
        if let Some(link) = &self.link {
            if let Some(entered) = enter(link, request) {
                return Err(entered);
            }
            if has_entered(link, &request.headers) {
                return Ok(User { name: BY_LINK.to_owned(), role: Role::Operator });
            }
        }
        if let Some(fitting) = self.fitting(request) {
            return Ok(fitting.user.clone());
        }
        if let Some(own) = &self.own {
            return own.user(request).await;
        }
        if !self.credentials.is_empty() {
            return Err(self.unauthorized());
        }
        if !self.is_open() {
            let error = "closed: no token, password or authentication is configured";
            return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, error));
        }
        if !is_from_this_machine(&request.uri, &request.headers) {
            let error = "open to this machine only: the request names another host, or came through a proxy";
            return Err(refuse(StatusCode::UNAUTHORIZED, error));
        }
        Ok(User { name: "local".to_owned(), role: Role::Operator })
    }

    /// The credential that a request presents.
    pub(super) fn fitting(&self, request: &Parts) -> Option<&Credential> {
        let (scheme, given) = credential(request)?;
        // All of them are compared, so that the time tells nothing about which one was close.
        let fits = |credential: &&Credential| credential.scheme == scheme && credential.secret.fits(&given);
        let fitting: Vec<&Credential> = self.credentials.iter().filter(fits).collect();
        fitting.first().copied()
    }

    fn unauthorized(&self) -> Response {
        let error = match self.link {
            Some(_) => "open the link with the token that the application printed when it started",
            None => "missing or wrong credentials",
        };
        let mut response = refuse(StatusCode::UNAUTHORIZED, error);
        let asks_for_a_password = self.credentials.iter().any(|one| one.scheme == Scheme::Basic);
        let challenge =
            if asks_for_a_password { r#"Basic realm="riqle-jobs", charset="UTF-8""# } else { "Bearer" };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }

    pub(crate) async fn admit(&self, request: &Parts, role: Role) -> Result<User, Response> {
        let user = self.user(request).await?;
        if user.role < role {
            return Err(refuse(StatusCode::FORBIDDEN, "viewers can look, but not act"));
        }
        Ok(user)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} credentials)", self.credentials.len())
    }
}

/// Names the variable and nothing of what it holds.
fn name_and_password<'a>(variable: &str, given: &'a str) -> Result<(&'a str, &'a str), Error> {
    let named = given
        .split_once(':')
        .filter(|(name, password)| !name.trim().is_empty() && password.chars().count() >= 8);
    named.ok_or_else(|| {
        let message = format!("{variable} must be NAME:PASSWORD, with a password of at least 8 characters");
        Error::new(ErrorKind::Misconfigured, "access", message)
    })
}

/// What `Authorization` holds: a token, or `name:password`.
fn credential(request: &Parts) -> Option<(Scheme, String)> {
    let (scheme, given) = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((Scheme::Bearer, given.trim().to_owned()));
    }
    let decoded = STANDARD.decode(given.trim()).ok()?;
    scheme.eq_ignore_ascii_case("basic").then_some((Scheme::Basic, String::from_utf8(decoded).ok()?))
}

/// In a handler's arguments: the request may look.
pub(crate) struct Viewer;
/// In a handler's arguments: the user, who may act.
pub(crate) struct Operator(pub(crate) User);

impl<S: Send + Sync> FromRequestParts<S> for Viewer
where
    Access: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        Access::from_ref(state).admit(parts, Role::Viewer).await.map(|_| Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator
where
    Access: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        Access::from_ref(state).admit(parts, Role::Operator).await.map(Self)
    }
}

//! Opens the store or the mailer that a URL names.

use std::sync::Arc;

use riqle_jobs_core::{Error, ErrorKind, Memory, Store};

/// Opens the store that `url` names: `memory:`, `sqlite:PATH`, `postgres://…`, `redis://…`, `rediss://…` or
/// `redis-cluster://h1,h2`. The scheme may be in any case.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), riqle_jobs::Error> {
/// let store = riqle_jobs::connect("memory:").await?;
/// let jobs = riqle_jobs::Jobs::new(&store);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `Misconfigured` for a scheme that is unknown or not compiled in, for a file that can't be opened, and for a user or
/// database that the server refuses; `Unavailable`
/// for a store that can't be reached now.
pub async fn connect(url: &str) -> Result<Arc<dyn Store>, Error> {
    match scheme(url).as_deref() {
        Some("memory") => Ok(Arc::new(Memory::new())),
        #[cfg(feature = "sqlite")]
        Some("sqlite") => Ok(Arc::new(riqle_jobs_sqlite::Sqlite::connect(url).await?)),
        #[cfg(not(feature = "sqlite"))]
        Some("sqlite") => Err(not_compiled_in("connect", "sqlite", "sqlite")),
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => Ok(Arc::new(riqle_jobs_postgres::Postgres::connect(url).await?)),
        #[cfg(not(feature = "postgres"))]
        Some("postgres" | "postgresql") => Err(not_compiled_in("connect", "postgres", "postgres")),
        #[cfg(feature = "redis")]
        Some("redis" | "rediss" | "redis-cluster" | "rediss-cluster") => {
            Ok(Arc::new(riqle_jobs_redis::Redis::connect(url).await?))
        }
        #[cfg(not(feature = "redis"))]
        Some("redis" | "rediss" | "redis-cluster" | "rediss-cluster") => {
            Err(not_compiled_in("connect", "redis", "redis"))
        }
        _ => Err(unknown_scheme("connect", url, "memory:, sqlite:PATH, postgres://… or redis://…")),
    }
}

/// Opens the mailer that `url` names: `file:DIR`, `smtp://…`, `smtps://…` or `resend:`.
///
/// `resend:` takes the API key from the environment variable `RESEND_API_KEY` and, if set, a server other than
/// Resend's own from `RESEND_BASE_URL`; no other mailer reads the environment.
///
/// # Errors
/// `Misconfigured` for a scheme that is unknown or not compiled in, and for a URL that lacks something.
#[cfg(feature = "email")]
pub fn mailer(url: &str) -> Result<Arc<dyn riqle_jobs_core::Mailer>, Error> {
    match url.split_once(':') {
        Some((scheme, "")) if scheme.eq_ignore_ascii_case("resend") => resend(),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("resend") => {
            let line = "the mail URL is resend: and nothing more; put the key into RESEND_API_KEY";
            Err(Error::new(ErrorKind::Misconfigured, "mailer", line))
        }
        _ => riqle_jobs_email::mailer_from_url(url),
    }
}

#[cfg(feature = "resend")]
fn resend() -> Result<Arc<dyn riqle_jobs_core::Mailer>, Error> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let key = set("RESEND_API_KEY").ok_or_else(|| {
        Error::new(ErrorKind::Misconfigured, "mailer", "resend: needs an API key; set RESEND_API_KEY")
    })?;
    let mailer = riqle_jobs_email::ResendMailer::new(&key)?;
    Ok(Arc::new(match set("RESEND_BASE_URL") {
        Some(base) => mailer.base_url(&base)?,
        None => mailer,
    }))
}

#[cfg(all(feature = "email", not(feature = "resend")))]
fn resend() -> Result<Arc<dyn riqle_jobs_core::Mailer>, Error> {
    Err(not_compiled_in("mailer", "resend", "resend"))
}

/// In lower case: schemes are case-insensitive (RFC 3986, section 3.1).
fn scheme(url: &str) -> Option<String> {
    url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase())
}

#[cfg(any(
    not(feature = "sqlite"),
    not(feature = "postgres"),
    not(feature = "redis"),
    all(feature = "email", not(feature = "resend"))
))]
fn not_compiled_in(operation: &'static str, scheme: &str, feature: &str) -> Error {
    let message =
        format!("{scheme}: is not compiled in; add the feature {feature:?} to riqle-jobs in Cargo.toml");
    Error::new(ErrorKind::Misconfigured, operation, message)
}

/// Names only the scheme: the rest of a URL may contain a password.
fn unknown_scheme(operation: &'static str, url: &str, known: &str) -> Error {
    let message = match scheme(url) {
        Some(scheme) => format!("unknown scheme {scheme:?}; use {known}"),
        None => format!("not a URL; use {known}"),
    };
    Error::new(ErrorKind::Misconfigured, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scheme_is_known_in_any_case() {
        for url in ["memory:", "Memory:", "MEMORY:"] {
            assert!(connect(url).await.is_ok(), "{url}");
        }
        for url in ["SQLITE:", "SQLite:?mode=x", "Postgres://localhost:port", "POSTGRESQL://localhost:port"] {
            let line = connect(url).await.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!line.contains("unknown scheme"), "{line}");
        }
    }

    #[cfg(feature = "email")]
    #[test]
    fn a_mailer_s_scheme_is_known_in_any_case() {
        assert!(mailer("FILE:mail").is_ok());
        let line = mailer("RESEND:re_s3cret").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(line.contains("resend: and nothing more") && !line.contains("s3cret"), "{line}");
    }
}

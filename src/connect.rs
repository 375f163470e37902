use std::sync::Arc;

use riqle_jobs_core::{Error, ErrorKind, Memory, Store};

/// Opens the store that `url` names: `memory:` or `sqlite:PATH`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), riqle_jobs::Error> {
/// let store = riqle_jobs::connect("memory:").await?;
/// let jobs = riqle_jobs::Jobs::new(&store);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `Misconfigured` for a scheme that is unknown or not compiled in, and for a file that can't be opened; `Unavailable`
/// for a store that can't be reached now.
pub async fn connect(url: &str) -> Result<Arc<dyn Store>, Error> {
    match scheme(url) {
        Some("memory") => Ok(Arc::new(Memory::new())),
        #[cfg(feature = "sqlite")]
        Some("sqlite") => Ok(Arc::new(riqle_jobs_sqlite::Sqlite::connect(url).await?)),
        #[cfg(not(feature = "sqlite"))]
        Some("sqlite") => Err(not_compiled_in("connect", "sqlite", "sqlite")),
        _ => Err(unknown_scheme("connect", url, "memory: or sqlite:PATH")),
    }
}

/// Makes the mailer that `url` names: `file:DIR`, `smtp://…` or `smtps://…`.
///
/// # Errors
/// `Misconfigured` for a scheme that is unknown or not compiled in, and for a URL that lacks something.
#[cfg(feature = "email")]
pub fn mailer(url: &str) -> Result<Arc<dyn riqle_jobs_core::Mailer>, Error> {
    riqle_jobs_email::mailer_from_url(url)
}

fn scheme(url: &str) -> Option<&str> {
    url.split_once(':').map(|(scheme, _)| scheme)
}

#[cfg(not(feature = "sqlite"))]
fn not_compiled_in(operation: &'static str, scheme: &str, feature: &str) -> Error {
    let message =
        format!("{scheme}: is not compiled in; add the feature {feature:?} to riqle-jobs in Cargo.toml");
    Error::new(ErrorKind::Misconfigured, operation, message)
}

/// Names the scheme alone: the rest of a URL can hold a password.
fn unknown_scheme(operation: &'static str, url: &str, known: &str) -> Error {
    let message = match scheme(url) {
        Some(scheme) => format!("unknown scheme {scheme:?}; use {known}"),
        None => format!("not a URL; use {known}"),
    };
    Error::new(ErrorKind::Misconfigured, operation, message)
}

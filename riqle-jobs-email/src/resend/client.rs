//! The HTTP client for Resend: its API key, base URL, timeouts and trusted roots.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, header::HeaderValue, redirect, retry};
use riqle_jobs_core::{Error, ErrorKind};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use url::Url;

use super::ResendTimeouts;
use crate::tls::trusting;

/// A connection that waits longer for the next email is closed; servers and what is between them close earlier than they say.
const LONGEST_IDLE: Duration = Duration::from_secs(15);
/// Resend answers 403 if there is none.
const USER_AGENT: &str = concat!("riqle-jobs/", env!("CARGO_PKG_VERSION"));

/// An API key. Has no `Debug`.
#[derive(Clone)]
pub(super) struct ApiKey {
    pub(super) secret: Arc<str>,
    /// `Bearer …`, marked as sensitive.
    pub(super) header: HeaderValue,
}

impl ApiKey {
    pub(super) fn parse(key: &str) -> Result<Self, Error> {
        let key = key.trim();
        if key.is_empty() {
            return Err(misconfigured("the Resend API key is empty"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(misconfigured("the Resend API key holds spaces or other characters that no key has"));
        }
        let mut header = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| misconfigured("the Resend API key is not valid in a header"))?;
        header.set_sensitive(true);
        Ok(Self { secret: key.into(), header })
    }
}

/// The server, with a path that ends in a slash.
pub(super) fn base_url(text: &str) -> Result<Url, Error> {
    let wrong = || misconfigured("the Resend base URL is not of the form https://host:port/path");
    let mut url = Url::parse(text.trim()).map_err(|_| wrong())?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain || !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err(wrong());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// The certificates of a PEM text; at least one.
pub(super) fn root_certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let line = "the root certificate for Resend is not in PEM form";
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| misconfigured(line).caused_by(error))?;
    if certificates.is_empty() { Err(misconfigured(line)) } else { Ok(certificates) }
}

/// HTTP/1.1 over rustls with ring, whatever the process's default provider is: without retries, redirects and proxies.
pub(super) fn client(timeouts: ResendTimeouts, roots: &[CertificateDer<'static>]) -> Result<Client, Error> {
    Client::builder()
        .tls_backend_preconfigured(trusting(roots)?)
        .http1_only()
        .user_agent(USER_AGENT)
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total)
        .pool_idle_timeout(LONGEST_IDLE)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .build()
        .map_err(|error| misconfigured("the HTTP client for Resend can't be set up").caused_by(error))
}

pub(super) fn misconfigured(message: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, "mailer", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_ends_in_a_slash_and_holds_no_secret() {
        for (text, url) in [
            ("https://api.resend.com", "https://api.resend.com/"),
            ("http://127.0.0.1:4010/resend", "http://127.0.0.1:4010/resend/"),
            (" http://[::1]:4010/ ", "http://[::1]:4010/"),
        ] {
            assert_eq!(base_url(text).unwrap().as_str(), url);
        }
        for text in
            ["", "api.resend.com", "ftp://host", "https://", "https://u:s3cret@host", "https://host?k=s3cret"]
        {
            let error = base_url(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{text}");
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_being_shown() {
        assert_eq!(&*ApiKey::parse(" re_123\n").unwrap().secret, "re_123");
        for key in ["", " \n", "re_s3cret\r\nX: y", "re s3cret", "re_s3crét"] {
            let error = ApiKey::parse(key).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("s3cr"), "{error}");
        }
    }

    #[test]
    fn a_root_that_is_no_certificate_is_refused() {
        for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n"] {
            assert_eq!(root_certificates(pem).unwrap_err().kind(), ErrorKind::Misconfigured);
        }
    }
}

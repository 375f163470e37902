//! What the mailers share of TLS: rustls with ring, whatever the process's default provider is.

use std::{error::Error as StdError, io, sync::Arc};

use riqle_jobs_core::{Error, ErrorKind};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

/// TLS with one server.
#[cfg(feature = "smtp")]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: rustls::pki_types::ServerName<'static>,
}

/// Trusts the roots of webpki-roots, and these.
pub(crate) fn trusting(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, Error> {
    let misconfigured = |line: &str| Error::new(ErrorKind::Misconfigured, "mailer", line);
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in roots {
        let line = "a root certificate is not valid";
        store.add(root.clone()).map_err(|error| misconfigured(line).caused_by(error))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| misconfigured("TLS can't be set up").caused_by(error))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}

/// An error of TLS itself, not of the connection below it.
pub(crate) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // What an `io::Error` wraps, perhaps another one, is not among its sources.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

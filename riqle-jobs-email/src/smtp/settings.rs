//! An SMTP server's settings, read from its URL.

use std::{fs, sync::Arc};

use lettre::transport::smtp::authentication::Credentials;
use percent_encoding::percent_decode_str;
use riqle_jobs_core::{Error, ErrorKind};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use url::Url;

use crate::{
    dkim::DkimKey,
    dkim_query::DkimQuery,
    tls::{Tls, trusting},
};

/// The submission port, for STARTTLS (RFC 6409).
const PORT_STARTTLS: u16 = 587;
/// The port of SMTP over implicit TLS (RFC 8314).
const PORT_IMPLICIT_TLS: u16 = 465;
/// The relay port, for unencrypted servers (RFC 5321).
const PORT_PLAIN: u16 = 25;

/// How many connections any server should accept.
const CONNECTIONS: usize = 4;
const MOST_CONNECTIONS: usize = 1_000;

/// A server's settings from its URL. Holds secrets, so it has no `Debug`.
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) credentials: Option<Credentials>,
    /// Never shown in an error.
    pub(super) secret: Option<String>,
    /// The most connections at once.
    pub(super) connections: usize,
}

/// How a connection is encrypted.
pub(super) enum Encryption {
    /// It must be upgraded before anything else is sent (RFC 3207).
    StartTls(Tls),
    /// It starts with a TLS handshake (RFC 8314).
    Implicit(Tls),
    /// It is not encrypted.
    None,
}

impl Settings {
    /// With the signing key, if the URL names one.
    pub(super) fn parse(text: &str) -> Result<(Self, Option<DkimKey>), Error> {
        // No error quotes the URL: a password may be anywhere in one that is malformed.
        let url = Url::parse(text).map_err(|_| {
            misconfigured(
                "the SMTP URL can't be read; percent-encode special characters in user and password",
            )
        })?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(misconfigured(
                "the SMTP URL has a path; write / ? # in user and password as %2F %3F %23",
            ));
        }
        let host =
            url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(misconfigured("the SMTP URL names no host; write smtp://user:password@host:port"));
        }
        let query = Query::parse(&url)?;
        let tls = || tls_with(&host, query.ca.as_deref());
        let (encryption, port) = match (url.scheme(), query.plain) {
            ("smtp", false) => (Encryption::StartTls(tls()?), PORT_STARTTLS),
            ("smtp", true) => (Encryption::None, PORT_PLAIN),
            ("smtps", false) => (Encryption::Implicit(tls()?), PORT_IMPLICIT_TLS),
            ("smtps", true) => return Err(misconfigured("tls=none contradicts smtps:; write smtp:")),
            _ => return Err(misconfigured("the SMTP URL must start with smtp: or smtps:")),
        };
        let user = decoded(url.username())?;
        let password = url.password().map(decoded).transpose()?;
        let credentials = match (user.is_empty(), &password) {
            (true, None) => None,
            (false, Some(password)) => Some(Credentials::new(user, password.clone())),
            _ => return Err(misconfigured("the SMTP URL needs both user and password, or neither")),
        };
        let dkim = query.dkim.key()?;
        let port = url.port().unwrap_or(port);
        let connections = query.connections.unwrap_or(CONNECTIONS);
        Ok((Self { host, port, encryption, credentials, secret: password, connections }, dkim))
    }
}

#[derive(Default)]
struct Query {
    plain: bool,
    ca: Option<String>,
    connections: Option<usize>,
    dkim: DkimQuery,
}

impl Query {
    fn parse(url: &Url) -> Result<Self, Error> {
        let mut query = Self::default();
        for (name, value) in url.query_pairs() {
            match (&*name, &*value) {
                ("tls", "none") => query.plain = true,
                ("tls", "required") => {}
                ("tls", _) => return Err(misconfigured("tls= of the SMTP URL must be none or required")),
                ("ca", file) => query.ca = Some(file.to_owned()),
                ("connections", number) => match number.parse() {
                    Ok(number @ 1..=MOST_CONNECTIONS) => query.connections = Some(number),
                    _ => {
                        return Err(misconfigured("connections= of the SMTP URL must be 1 to 1000"));
                    }
                },
                _ if query.dkim.takes(&name, &value) => {}
                _ => {
                    let line = "the SMTP URL takes only tls=, ca=, connections=, dkim= and dkim_key=";
                    return Err(misconfigured(line));
                }
            }
        }
        Ok(query)
    }
}

/// TLS with a host, trusting one more root if a file is given.
fn tls_with(host: &str, ca: Option<&str>) -> Result<Tls, Error> {
    let mut roots = Vec::new();
    if let Some(file) = ca {
        let line = |what: &str| misconfigured(&format!("ca={file} of the SMTP URL {what}"));
        let pem = fs::read(file).map_err(|error| line("can't be read").caused_by(error))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        roots = certificates.map_err(|error| line("is not a PEM file").caused_by(error))?;
        if roots.is_empty() {
            return Err(line("holds no certificate in PEM form"));
        }
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| {
        misconfigured("the host of the SMTP URL is not a name that TLS knows").caused_by(error)
    })?;
    Ok(Tls { config: Arc::new(trusting(&roots)?), name })
}

fn decoded(part: &str) -> Result<String, Error> {
    let text = percent_decode_str(part)
        .decode_utf8()
        .map_err(|_| misconfigured("user or password of the SMTP URL is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(misconfigured("user or password of the SMTP URL contains a control character"));
    }
    Ok(text.into_owned())
}

fn misconfigured(message: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, "mailer", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_and_encryption() {
        for (url, host, port, encryption) in [
            ("smtp://mail.example.com", "mail.example.com", 587, "starttls"),
            ("smtp://u:p@mail.example.com:2525?tls=required", "mail.example.com", 2525, "starttls"),
            ("smtp://127.0.0.1?tls=none", "127.0.0.1", 25, "none"),
            ("smtps://u:p@mail.example.com", "mail.example.com", 465, "implicit"),
            ("smtps://[::1]:4465/", "::1", 4465, "implicit"),
        ] {
            let (settings, _) = Settings::parse(url).unwrap();
            let name = match settings.encryption {
                Encryption::StartTls(_) => "starttls",
                Encryption::Implicit(_) => "implicit",
                Encryption::None => "none",
            };
            assert_eq!((settings.host.as_str(), settings.port, name), (host, port, encryption), "{url}");
        }
    }

    #[test]
    fn user_and_password_are_percent_decoded() {
        let (settings, _) = Settings::parse("smtp://a%40b.de:p%2F%3A%C3%A4@mail.example.com").unwrap();
        let expected = Credentials::new("a@b.de".to_owned(), "p/:ä".to_owned());
        assert!(settings.credentials == Some(expected));
        assert!(Settings::parse("smtp://mail.example.com").unwrap().0.credentials.is_none());
    }

    #[test]
    fn a_url_that_is_none_is_one_clear_line_without_its_secrets() {
        for url in [
            "smtp:",
            "smtp://",
            "smtp://user:s3cret@",
            "smtp://user:12/s3cret@host",
            "smtp://user:s3cret/x@host",
            "smtp://user:12#s3cret@host",
            "smtp://user:12?s3cret@host",
            "smtp://user@host",
            "smtp://:s3cret@host",
            "smtp://user:s3cret%00@host",
            "smtp://user:s3cret%ff@host",
            "smtp://user:s3cret@host?tls=maybe",
            "smtps://user:s3cret@host?tls=none",
            "smtp://user:s3cret@host?connections=0",
            "smtp://user:s3cret@host?connections=many",
            "smtp://user:s3cret@host?ca=/no/such/file",
            "smtp://user:s3cret@host:99999",
        ] {
            let error = Settings::parse(url).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}");
            let line = format!("{error} {error:?}");
            assert!(!line.contains("s3cret") && !error.message().contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_root_that_is_no_certificate_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate").unwrap();
        let url = format!("smtp://host?ca={}", file.path().display());
        let error = Settings::parse(&url).err().unwrap();
        assert!(error.message().contains("holds no certificate"), "{error}");
    }
}

//! Keys that sign messages for a domain (DKIM, RFC 6376).

use std::{fmt, fs, path::Path, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use lettre::{
    Message,
    message::{
        dkim::{
            DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm, DkimSigningKey,
        },
        header::HeaderName,
    },
};
use riqle_jobs_core::{Error, ErrorKind};
use sha2::{Digest, Sha256};

use crate::compose::hex;

/// What is signed: the headers that every message has, each once (RFC 6376, section 5.4.1).
const SIGNED: [&str; 6] = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version"];
/// An RSA key of 1024 bits, the shortest that verifiers take (RFC 8301, section 3.2), has some 610 bytes as PKCS#1.
const SHORTEST_RSA_KEY: usize = 600;
/// An Ed25519 key as PKCS#8 (RFC 8410, section 7): these bytes behind length and version, then 32 of key.
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const ED25519_KEY: usize = 32;

/// A key that signs messages for a domain (DKIM, RFC 6376): relaxed/relaxed, over From, To, Subject, Date, Message-ID and
/// MIME-Version. For mail servers that do not sign themselves; Resend does.
///
/// Its public half is in DNS, as the TXT record `SELECTOR._domainkey.DOMAIN`.
#[derive(Clone)]
pub struct DkimKey {
    record: Arc<str>,
    digest: Arc<str>,
    config: Arc<DkimConfig>,
}

impl DkimKey {
    /// A key from its PEM text: RSA as PKCS#1 (`BEGIN RSA PRIVATE KEY`), or Ed25519 as PKCS#8 (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// `Misconfigured` for a domain or selector that can't be in DNS, and for a key in any other form; the line
    /// says how to convert it, and contains nothing of the key.
    pub fn new(domain: &str, selector: &str, pem: &str) -> Result<Self, Error> {
        if !is_dns_name(domain) || !domain.contains('.') {
            return Err(misconfigured("the DKIM domain is not a domain name in ASCII, such as example.com"));
        }
        if !is_dns_name(selector) {
            return Err(misconfigured("the DKIM selector is not a name for DNS, such as mail"));
        }
        let headers = SIGNED.into_iter().map(HeaderName::new_from_ascii_str).collect();
        let relaxed = DkimCanonicalizationType::Relaxed;
        let canonicalization = DkimCanonicalization { header: relaxed, body: relaxed };
        let key = signing_key(pem)?;
        let config = DkimConfig::new(selector.to_owned(), domain.to_owned(), key, headers, canonicalization);
        let record = record(domain, selector);
        let digest = hex(&Sha256::digest(format!("{record}\n{}", pem.trim())));
        Ok(Self { record: record.into(), digest: digest.into(), config: Arc::new(config) })
    }

    /// The name of the TXT record that holds the public key.
    pub fn record(&self) -> &str {
        &self.record
    }

    /// A key by the name of its record, `SELECTOR._domainkey.DOMAIN`, and its PEM file.
    pub(crate) fn from_file(record: &str, file: &Path) -> Result<Self, Error> {
        let (selector, domain) = record.split_once("._domainkey.").ok_or_else(|| {
            misconfigured("dkim= of the mail URL is not of the form SELECTOR._domainkey.DOMAIN")
        })?;
        let pem = fs::read_to_string(file).map_err(|error| {
            misconfigured(&format!("the DKIM key {} can't be read", file.display())).caused_by(error)
        })?;
        Self::new(domain, selector, &pem)
    }

    /// Of the key and its record.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn sign(&self, message: &mut Message) {
        message.sign(&self.config);
    }
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimKey").field("record", &self.record).finish_non_exhaustive()
    }
}

fn record(domain: &str, selector: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

fn signing_key(pem: &str) -> Result<DkimSigningKey, Error> {
    let (label, der) =
        decoded(pem).ok_or_else(|| misconfigured("the DKIM key is not a private key in PEM form"))?;
    let (text, algorithm) = match label {
        "RSA PRIVATE KEY" if der.len() < SHORTEST_RSA_KEY => {
            return Err(misconfigured("the DKIM key has fewer than 1024 bits, which mail servers reject"));
        }
        "RSA PRIVATE KEY" => (pem.to_owned(), DkimSigningAlgorithm::Rsa),
        "PRIVATE KEY" => {
            let key = ed25519(&der).ok_or_else(|| {
                misconfigured(
                    "the DKIM key is PKCS#8 and not Ed25519; an RSA key must be PKCS#1, as written by: openssl rsa \
                     -traditional -in KEY -out KEY.pkcs1",
                )
            })?;
            (BASE64_STANDARD.encode(key), DkimSigningAlgorithm::Ed25519)
        }
        "ENCRYPTED PRIVATE KEY" => {
            return Err(misconfigured("the DKIM key is encrypted; it must be readable without a password"));
        }
        _ => return Err(misconfigured("the DKIM key is neither RSA as PKCS#1 nor Ed25519 as PKCS#8")),
    };
    DkimSigningKey::new(&text, algorithm)
        .map_err(|_| misconfigured("the DKIM key is damaged: its PEM form holds no key"))
}

/// Label and content of the first PEM block (RFC 7468).
fn decoded(pem: &str) -> Option<(&str, Vec<u8>)> {
    let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let content = rest.split_once("-----END ")?.0;
    let content: String = content.split_whitespace().collect();
    Some((label, BASE64_STANDARD.decode(content).ok()?))
}

/// With or without the public key behind it (RFC 5958).
fn ed25519(der: &[u8]) -> Option<&[u8]> {
    const BEFORE: usize = 5;
    let rest = der.get(BEFORE..)?.strip_prefix(ED25519)?;
    rest.get(..ED25519_KEY)
}

/// Labels of letters, digits, `-` and `_`, joined by dots.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn misconfigured(message: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, "mailer", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{
        compose,
        tests::{email, identity},
    };

    const RSA: &str = include_str!("../tests/dkim/rsa.pem");
    const ED25519: &str = include_str!("../tests/dkim/ed25519.pem");

    fn line(domain: &str, selector: &str, pem: &str) -> String {
        let error = DkimKey::new(domain, selector, pem).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        format!("{error} {error:?}")
    }

    #[test]
    fn both_kinds_of_keys_sign_the_headers_that_every_message_has() {
        for (pem, algorithm) in [(RSA, "rsa-sha256"), (ED25519, "ed25519-sha256")] {
            let key = DkimKey::new("riqle.com", "mail", pem).unwrap();
            assert_eq!(format!("{key:?}"), r#"DkimKey { record: "mail._domainkey.riqle.com", .. }"#);
            let text = String::from_utf8(compose(&email(), &identity(), Some(&key)).unwrap()).unwrap();
            let unfolded = text.replace("\r\n ", " ");
            let header = unfolded.lines().find(|line| line.starts_with("DKIM-Signature: ")).unwrap();
            for tag in [
                "v=1",
                &format!("a={algorithm}"),
                "d=riqle.com",
                "s=mail",
                "c=relaxed/relaxed",
                "h=from:to:subject:date:message-id:mime-version",
            ] {
                assert!(header.contains(&format!("{tag};")), "{tag} in {header}");
            }
            assert!(text.split("\r\n").all(|line| line.len() <= 998));
        }
    }

    #[test]
    fn keys_in_other_forms_are_refused_with_the_way_out_and_not_shown() {
        let pkcs8 = include_str!("../tests/dkim/rsa-pkcs8.pem");
        let secret = pkcs8.lines().nth(1).unwrap();
        let error = line("riqle.com", "mail", pkcs8);
        assert!(error.contains("openssl rsa -traditional") && !error.contains(secret), "{error}");
        let half =
            RSA.lines().take(14).chain(["-----END RSA PRIVATE KEY-----"]).collect::<Vec<_>>().join("\n");
        for (pem, word) in [
            ("", "not a private key"),
            ("-----BEGIN RSA PRIVATE KEY-----\n%\n-----END RSA PRIVATE KEY-----", "not a private key"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "1024 bits"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", "encrypted"),
            ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----", "neither"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "PKCS#8"),
            (&half, "damaged"),
        ] {
            assert!(line("riqle.com", "mail", pem).contains(word), "{word}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for (domain, selector) in [
            ("", "mail"),
            ("riqle", "mail"),
            ("riqle.com; x=y", "mail"),
            ("büro.de", "mail"),
            ("riqle.com", ""),
        ] {
            assert!(line(domain, selector, RSA).contains("DKIM"), "{domain}");
        }
        let error = DkimKey::from_file("mail.riqle.com", Path::new("/no/such/file")).unwrap_err();
        assert!(error.message().contains("SELECTOR._domainkey.DOMAIN"), "{error}");
        let error = DkimKey::from_file("mail._domainkey.riqle.com", Path::new("/no/such/file")).unwrap_err();
        assert!(error.message().contains("/no/such/file can't be read"), "{error}");
    }
}

//! Checks and makes Stripe's signatures.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Event, WebhookError};
use crate::webhooks::TOLERANCE;

const HEADER: &str = "Stripe-Signature";

/// The secrets of a webhook route: more than one while a secret is being replaced.
#[derive(Clone)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Takes one or more secrets, `whsec_…`, each used as it is.
    ///
    /// # Errors
    /// `NoSecret` if there is none, or one is empty.
    pub fn new<S: Into<String>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, WebhookError> {
        let secrets: Vec<String> = secrets.into_iter().map(Into::into).collect();
        if secrets.is_empty() || secrets.iter().any(String::is_empty) {
            return Err(WebhookError::NoSecret);
        }
        Ok(Self(secrets))
    }

    /// Checks the signature of a raw body and reads the event.
    ///
    /// `header` is `Stripe-Signature`; `now` the time in seconds since 1970. A signature is the HMAC-SHA256 of
    /// `{t}.{body}` in hex (<https://docs.stripe.com/webhooks#verify-manually>); any `v1` may fit any secret, and
    /// is compared in constant time.
    ///
    /// # Errors
    /// What is wrong with header, time, signature or body, in this order.
    pub fn verify(&self, header: Option<&str>, body: &[u8], now: i64) -> Result<Event, WebhookError> {
        let header = Header::parse(header.ok_or(WebhookError::NoSignature(HEADER))?)?;
        let off_by = now.abs_diff(header.time);
        if off_by > TOLERANCE {
            return Err(WebhookError::Stale { off_by, tolerance: TOLERANCE });
        }
        let fits = |secret: &String| {
            let mac = mac(secret, header.time_text, body);
            header.signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
        };
        if !self.0.iter().any(fits) {
            return Err(WebhookError::WrongSignature);
        }
        serde_json::from_slice(body).map_err(|error| {
            WebhookError::NoEvent(format!("line {}, column {}", error.line(), error.column()))
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Makes the header for a body, as Stripe does: for tests and demos. `time` is in seconds since 1970.
pub fn sign(secret: &str, time: i64, body: &[u8]) -> String {
    use fmt::Write;
    let signature = mac(secret, &time.to_string(), body).finalize().into_bytes();
    signature.iter().fold(format!("t={time},v1="), |mut header, byte| {
        let _ = write!(header, "{byte:02x}");
        header
    })
}

fn mac(secret: &str, time: &str, body: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length, so this can't fail; an empty key never fits a signature.
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

struct Header<'a> {
    time: i64,
    /// As signed.
    time_text: &'a str,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Header<'a> {
    /// Reads `t=…,v1=…,v1=…`; other schemes (`v0`) are ignored.
    fn parse(header: &'a str) -> Result<Self, WebhookError> {
        let mut time_text = None;
        let mut signatures = Vec::new();
        for part in header.split(',') {
            match part.trim().split_once('=') {
                Some(("t", time)) => time_text = Some(time),
                Some(("v1", signature)) => signatures.extend(from_hex(signature)),
                _ => {}
            }
        }
        match time_text.map(|text| (text, text.parse())) {
            Some((time_text, Ok(time))) if !signatures.is_empty() => Ok(Self { time, time_text, signatures }),
            _ => Err(WebhookError::MalformedSignature { header: HEADER, form: "t=…,v1=…" }),
        }
    }
}

/// Bytes of lower-case hex; `None` for anything else.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

//! Checks and makes Resend's signatures.

use std::fmt;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Report;
use crate::webhooks::{TOLERANCE, WebhookError};

/// With or without padding, as it comes.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secrets of a webhook route: more than one while a secret is being replaced.
#[derive(Clone)]
pub struct Secrets(Vec<Vec<u8>>);

/// The headers of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// `svix-id`: the same in each delivery of the event.
    pub id: &'a str,
    /// `svix-timestamp`, in seconds since 1970.
    pub timestamp: &'a str,
    /// `svix-signature`: one or more of `v1,` and base64, with spaces between.
    pub signature: &'a str,
}

impl Secrets {
    /// Takes one or more secrets, `whsec_` and base64.
    ///
    /// # Errors
    /// `NoSecret` if there is none, or one is empty; `MalformedSecret`.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, WebhookError> {
        let secrets =
            secrets.into_iter().map(|secret| key(secret.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() { Err(WebhookError::NoSecret) } else { Ok(Self(secrets)) }
    }

    /// Checks the signature of a raw body and reads what it reports; `now` is the time in seconds since 1970.
    ///
    /// A signature is the HMAC-SHA256 of `{id}.{timestamp}.{body}` (<https://docs.svix.com/receiving/verifying-payloads/how-manual>);
    /// any `v1` may fit any secret, and is compared in constant time.
    ///
    /// # Errors
    /// What is wrong with headers (`None`: one is missing), time, signature or body, in this order.
    pub fn verify(
        &self,
        delivery: Option<Delivery<'_>>,
        body: &[u8],
        now: i64,
    ) -> Result<Report, WebhookError> {
        let delivery =
            delivery.ok_or(WebhookError::NoSignature("svix-id, svix-timestamp or svix-signature"))?;
        let malformed = |header, form| WebhookError::MalformedSignature { header, form };
        let signed_at: i64 = delivery
            .timestamp
            .parse()
            .map_err(|_| malformed("svix-timestamp", "whole seconds since 1970"))?;
        let versions = delivery.signature.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let signatures: Vec<Vec<u8>> = versions.filter_map(|one| BASE64.decode(one).ok()).collect();
        if signatures.is_empty() {
            return Err(malformed("svix-signature", "v1,…"));
        }
        let off_by = now.abs_diff(signed_at);
        if off_by > TOLERANCE {
            return Err(WebhookError::Stale { off_by, tolerance: TOLERANCE });
        }
        let fits = |key: &Vec<u8>| {
            let mac = mac(key, delivery.id, delivery.timestamp, body);
            signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
        };
        if !self.0.iter().any(fits) {
            return Err(WebhookError::WrongSignature);
        }
        Report::read(body, delivery.id, signed_at)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Makes the header `svix-signature` of a body, as Resend does: for tests and demos. `timestamp` is in seconds since 1970.
///
/// # Errors
/// `NoSecret`, `MalformedSecret`.
pub fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Result<String, WebhookError> {
    let signature = mac(&key(secret)?, id, &timestamp.to_string(), body).finalize().into_bytes();
    Ok(format!("v1,{}", BASE64.encode(signature)))
}

fn key(secret: &str) -> Result<Vec<u8>, WebhookError> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    match BASE64.decode(encoded) {
        Ok(key) if key.is_empty() => Err(WebhookError::NoSecret),
        Ok(key) => Ok(key),
        Err(_) => Err(WebhookError::MalformedSecret),
    }
}

fn mac(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length, so this can't fail; an empty key never fits a signature.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

//! A secret that is kept as a digest and compared in constant time.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A secret, kept as its SHA-256: digests have one length, so that the time of a comparison reveals nothing
/// about it.
#[derive(Clone)]
pub(crate) struct Secret([u8; 32]);

impl Secret {
    pub(crate) fn new(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    pub(crate) fn fits(&self, given: &str) -> bool {
        self.0[..].ct_eq(&Self::new(given).0[..]).into()
    }
}

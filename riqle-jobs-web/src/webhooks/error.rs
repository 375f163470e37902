//! Why a webhook is refused as not genuine.

/// Why a webhook was refused as not genuine. Each is answered with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// No secret to check with.
    #[error("no webhook secret is configured")]
    NoSecret,
    /// A secret is not of the form that the service gives.
    #[error("a webhook secret must be whsec_ followed by base64")]
    MalformedSecret,
    /// A header is missing.
    #[error("the header {0} is missing")]
    NoSignature(&'static str),
    /// A header is not of the required form.
    #[error("the header {header} must be {form}")]
    MalformedSignature {
        /// Its name.
        header: &'static str,
        /// Such as `t=…,v1=…`.
        form: &'static str,
    },
    /// Signed too long ago, or in the future.
    #[error("the signature is {off_by} s off this clock; the limit is {tolerance} s")]
    Stale {
        /// How far, in seconds.
        off_by: u64,
        /// How far is allowed, in seconds.
        tolerance: u64,
    },
    /// No signature matches any secret.
    #[error("the signature does not match: wrong secret, or a changed body")]
    WrongSignature,
    /// The body is not an event.
    #[error("the body is not an event: {0}")]
    NoEvent(String),
}

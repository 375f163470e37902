//! Resend over HTTPS (<https://resend.com/docs/api-reference/emails/send-email>).

mod answer;
mod body;
mod client;
#[cfg(test)]
mod fuzz;
mod pace;
mod transmitted;

use std::{
    borrow::Cow,
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{Client, Response, header};
use riqle_jobs_core::{
    Email, Error, Mailer, async_trait,
    email::{Deferral, MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use url::Url;

use self::{
    answer::{Answer, without},
    client::{ApiKey, base_url, client, root_certificates},
    pace::Pace,
    transmitted::{Progress, Transmitted},
};
use crate::{compose::hex, tls::tls_error};

/// Resend keeps a key for 24 h; an hour less, for clocks that differ and for a send that lasts.
const KEY_IS_KEPT: Duration = Duration::from_secs(23 * 60 * 60);
/// Resend's limit.
const LONGEST_KEY: usize = 256;
/// More of an answer is not read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Hands emails to Resend. Clones share connections and what is known of the rate limit.
///
/// What a send returns, and so what happens to the run:
///
/// | seen | [`SendOutcome`] |
/// |---|---|
/// | 2xx with an id | `Accepted`, with Resend's id |
/// | no connection, before the body | `Away` |
/// | a certificate that is not trusted or for another host, no TLS on that port | `Misconfigured` |
/// | 409 `concurrent_idempotent_requests` | `Retry` after `retry-after`, else `ratelimit-reset` |
/// | 429 of the rate | `Deferred`, load: after `retry-after`, else `ratelimit-reset`, without counting a failure |
/// | 429 of the daily or monthly quota | `Deferred`, quota: tries again later without counting a failure, alerts |
/// | 401, 402, 403, 451; 400 about the key; a redirect | `Misconfigured` |
/// | any other 4xx, such as 400, 404, 405, 413, 422 | `Rejected` |
/// | 409 `invalid_idempotent_request`: the key was used with another content | `Unknown` |
/// | 5xx, 408, 2xx without an id; silence, a cut connection from the first byte of the body on | `Unknown` |
///
/// `Unknown` is sent again with the same key and the same bytes, which Resend drops for 24 h if it had accepted
/// the first. The mailer itself retries nothing, redirects are not followed, and no proxy is read from the
/// environment.
///
/// The rate limit in Resend's answers is respected: an email beyond it waits for its turn, in order, for at
/// most a minute ([`ResendTimeouts::turn`]), and is deferred if it would be longer. Waiting does not count as
/// an attempt.
///
/// Neither errors nor `Debug` ever contain the API key.
#[derive(Clone)]
pub struct ResendMailer {
    key: ApiKey,
    base: Url,
    timeouts: ResendTimeouts,
    roots: Vec<CertificateDer<'static>>,
    client: Client,
    pace: Arc<Mutex<Pace>>,
}

/// How long to wait for Resend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResendTimeouts {
    /// For the connection with its TLS handshake. Default 10 s.
    pub connect: Duration,
    /// For all of a request, from the connection to the last byte of the answer. Default 60 s.
    pub total: Duration,
    /// For an email's turn under the rate limit, before the request. Default 60 s.
    pub turn: Duration,
}

impl Default for ResendTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(60),
            turn: Duration::from_secs(60),
        }
    }
}

impl ResendMailer {
    /// A mailer for an API key, over <https://api.resend.com>. Connects at the first send.
    ///
    /// TLS is rustls with ring and the roots of webpki-roots; the process's default provider is neither used nor set.
    ///
    /// # Errors
    /// `Misconfigured` for a key that is empty or not valid in a header.
    pub fn new(key: &str) -> Result<Self, Error> {
        let timeouts = ResendTimeouts::default();
        Ok(Self {
            key: ApiKey::parse(key)?,
            base: base_url("https://api.resend.com")?,
            timeouts,
            roots: Vec::new(),
            client: client(timeouts, &[])?,
            pace: Arc::default(),
        })
    }

    /// Sends to another server, such as a double in tests; `http:` sends the key in the clear.
    ///
    /// # Errors
    /// `Misconfigured` for a URL other than `https:` or `http:`, and for one with user, query or fragment.
    pub fn base_url(mut self, url: &str) -> Result<Self, Error> {
        self.base = base_url(url)?;
        Ok(self)
    }

    /// Trusts the certificates of a PEM text, beside the public roots.
    ///
    /// # Errors
    /// `Misconfigured` if the text holds no certificate.
    pub fn root_certificate(mut self, pem: &str) -> Result<Self, Error> {
        self.roots.extend(root_certificates(pem)?);
        self.client = client(self.timeouts, &self.roots)?;
        Ok(self)
    }

    /// Sets the timeouts.
    ///
    /// # Errors
    /// `Misconfigured` if the HTTP client can't be set up.
    pub fn timeouts(mut self, timeouts: ResendTimeouts) -> Result<Self, Error> {
        self.client = client(timeouts, &self.roots)?;
        self.timeouts = timeouts;
        Ok(self)
    }

    async fn deliver(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        if let Err(after) = self.wait_for_turn().await {
            let error = "Resend: the rate limit is used up for now".to_owned();
            return SendOutcome::Deferred { by: Deferral::Load, error, after: Some(after) };
        }
        let url = match self.base.join("emails") {
            Ok(url) => url,
            Err(error) => return SendOutcome::Misconfigured { error: format!("Resend: base URL: {error}") },
        };
        let progress = Progress::default();
        let bytes = Bytes::copy_from_slice(&message.bytes);
        let body = Transmitted::new(bytes, transmission.clone(), progress.clone());
        let request = self
            .client
            .post(url)
            .header(header::AUTHORIZATION, self.key.header.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", &*idempotency_key(&message.key))
            .body(reqwest::Body::wrap(body));
        match request.send().await {
            Ok(response) => self.read(response).await,
            Err(error) => self.failed(error, &progress),
        }
    }

    /// Waits until the rate limit lets the next email through; the wait if that is too long.
    async fn wait_for_turn(&self) -> Result<(), Duration> {
        let wait = self.pace().take(Instant::now(), self.timeouts.turn)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Asks for something other than an email; the error is a line without secrets.
    #[cfg(feature = "doctor")]
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let url = self.base.join(path).map_err(|error| format!("Resend: base URL: {error}"))?;
        let request = self.client.get(url).header(header::AUTHORIZATION, self.key.header.clone());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.line("no answer", &innermost(&error.without_url()))),
        };
        let body = whole_body(&mut response).await;
        match (response.status().is_success(), body) {
            (true, Some(body)) => Ok(body),
            (true, None) => Err("Resend: the answer was cut off".to_owned()),
            (false, body) => {
                let (status, headers) = (response.status(), response.headers());
                Err(Answer { status, headers, body: body.as_deref() }.error(&self.key.secret))
            }
        }
    }

    async fn read(&self, mut response: Response) -> SendOutcome {
        self.pace().learn(Instant::now(), response.headers());
        let body = whole_body(&mut response).await;
        let (status, headers) = (response.status(), response.headers());
        let answer = Answer { status, headers, body: body.as_deref() };
        let outcome = answer.outcome(&self.key.secret);
        match &outcome {
            SendOutcome::Deferred { by: Deferral::Load, after, .. } => {
                self.pace().refused(Instant::now(), after.unwrap_or_default());
            }
            SendOutcome::Accepted { .. } | SendOutcome::Rejected { .. } => self.pace().judged(Instant::now()),
            _ => {}
        }
        outcome
    }

    /// No answer came.
    fn failed(&self, error: reqwest::Error, progress: &Progress) -> SendOutcome {
        let begun = match progress.begun() {
            Ok(begun) => begun,
            Err(reason) => {
                let error = format!("Resend: nothing was sent: {reason}");
                return SendOutcome::Retry { error, after: None };
            }
        };
        let error = error.without_url();
        let silent = error.is_timeout();
        let innermost = innermost(&error);
        match (begun, tls_error(&error)) {
            (true, _) if silent => {
                let error = format!("Resend: no answer within {:?}", self.timeouts.total);
                SendOutcome::Unknown { error }
            }
            (true, _) => SendOutcome::Unknown { error: self.line("no answer", &innermost) },
            (false, Some(tls)) => {
                SendOutcome::Misconfigured { error: self.line("no secure connection", &tls.to_string()) }
            }
            (false, None) if silent => {
                let error = format!("Resend: no connection within {:?}", self.timeouts.connect);
                SendOutcome::Away { error }
            }
            (false, None) => SendOutcome::Away { error: self.line("no connection", &innermost) },
        }
    }

    fn line(&self, what: &str, text: &str) -> String {
        format!("Resend: {what}: {}", without(text, &self.key.secret))
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` if it breaks off, or is longer than any answer of Resend's.
async fn whole_body(response: &mut Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// The cause of all; the errors around it say only where they were.
fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn StdError = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// A key with other than visible ASCII can't be in a header; its hash can, and is the same each time.
fn idempotency_key(key: &str) -> Cow<'_, str> {
    let legal = (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if legal {
        return Cow::Borrowed(key);
    }
    Cow::Owned(format!("sha256-{}", hex(&Sha256::digest(key))))
}

#[async_trait]
impl Mailer for ResendMailer {
    fn provider(&self) -> &'static str {
        "resend"
    }

    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
        body::compose(email, identity)
    }

    fn repeat_is_safe_for(&self) -> Duration {
        KEY_IS_KEPT
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        self.deliver(message, transmission).await
    }
}

impl fmt::Debug for ResendMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResendMailer")
            .field("base", &self.base.as_str())
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::{Deferral, Email, EmailLog, MessageIdentity};
use crate::{EmailId, Error};

/// What SMTP gives the final reply (RFC 5321, section 4.5.3.2.6), and a minute for the log.
const LONGEST_SEND: Duration = Duration::from_secs(11 * 60);

/// Hands an email to a provider: once, without retrying inside; the durable run does that.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Mailer: Send + Sync {
    /// A short name for the log, such as `smtp`.
    fn provider(&self) -> &'static str;

    /// The bytes to send: a pure function, called once an email. The log keeps them, and every send of the
    /// email sends them.
    ///
    /// # Errors
    /// `Rejected` where the email can't be written in this provider's form.
    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error>;

    /// A digest of the key that it signs emails with; `None`, as by default, where it signs none. An email whose bytes are not
    /// final is composed again once that has changed. A mailer that wraps another hands this on.
    fn signing_key(&self) -> Option<String> {
        None
    }

    /// For how long after a first send the provider drops a second one with the same key; zero where a
    /// second one is delivered again.
    fn repeat_is_safe_for(&self) -> Duration;

    /// How long a body is on its way at most: from [`Transmission::body_begins`] until its outcome is recorded.
    /// So long nobody but the run itself sends the email again, unless the provider drops repeats. By default 11
    /// minutes.
    fn longest_send(&self) -> Duration {
        LONGEST_SEND
    }

    /// Sends. Calls [`Transmission::body_begins`] just before the first byte of the body goes out, and sends
    /// nothing where that fails.
    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome;
}

/// What a mailer sends: the stored bytes with their envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The envelope's sender address.
    pub from: String,
    /// The envelope's recipient address.
    pub to: String,
    /// The idempotency key.
    pub key: String,
    /// The Message-ID header.
    pub message_id: String,
    /// What [`Mailer::compose`] made.
    pub bytes: Vec<u8>,
}

/// Records how far a send has come.
#[derive(Clone)]
pub struct Transmission {
    record: Option<Record>,
}

#[derive(Clone)]
struct Record {
    log: Arc<dyn EmailLog>,
    email: EmailId,
    sender: Uuid,
    /// With this one.
    sends: u32,
}

impl Transmission {
    /// Records nothing: for a mailer's own tests.
    pub fn unrecorded() -> Self {
        Self { record: None }
    }

    pub(crate) fn recorded(log: Arc<dyn EmailLog>, email: EmailId, sender: Uuid, sends: u32) -> Self {
        Self { record: Some(Record { log, email, sender, sends }) }
    }

    /// From here on the email may have left. To be called before the first byte of the body goes out; a second call
    /// of the same send changes nothing.
    ///
    /// # Errors
    /// Where it can't be recorded, or another sender has taken the email over: don't send.
    pub async fn body_begins(&self) -> Result<(), Error> {
        match &self.record {
            Some(Record { log, email, sender, sends }) => {
                log.email_body_begins(*email, *sender, *sends).await
            }
            None => Ok(()),
        }
    }
}

/// How a send ended. With fewer outcomes a mailer would have to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The provider has taken it.
    Accepted {
        /// The provider's id of the message; of SMTP our Message-ID.
        message_id: String,
        /// The provider's last words.
        reply: String,
    },
    /// Permanently refused, for this email.
    Rejected {
        /// Why; no body, no secrets.
        error: String,
        /// The recipient does not exist: a candidate for the suppression list.
        recipient_unknown: bool,
    },
    /// Certainly not sent: the provider could not be reached, or went away before it had judged the email. Charged to the run.
    Away {
        /// What was seen.
        error: String,
    },
    /// Certainly not sent: the provider has a trouble of its own, or with this email. Charged to the run.
    Retry {
        /// Why.
        error: String,
        /// When the provider wants to see it again; otherwise by the job's policy.
        after: Option<Duration>,
    },
    /// Certainly not sent, and put off through no fault of this email. Not charged to the run.
    Deferred {
        /// What puts it off.
        by: Deferral,
        /// What the provider said.
        error: String,
        /// When to try again; otherwise as usual for what puts it off.
        after: Option<Duration>,
    },
    /// Certainly not sent, and nothing will be until somebody acts: key, sender, domain, certificate.
    Misconfigured {
        /// What is wrong.
        error: String,
    },
    /// It may have been sent.
    Unknown {
        /// What was seen.
        error: String,
    },
}

//! What hands an email to a provider, and what can come of a send.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::{Deferral, Email, EmailLog, MessageIdentity};
use crate::{EmailId, Error, RunContext};

/// The time SMTP allows for the final reply (RFC 5321, section 4.5.3.2.6), plus a minute for the log.
const LONGEST_SEND: Duration = Duration::from_secs(11 * 60);

/// Hands an email to a provider: once, without retrying inside; the durable run does that.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Mailer: Send + Sync {
    /// A short name for the log, such as `smtp`.
    fn provider(&self) -> &'static str;

    /// The bytes to send: a pure function, called once per email. The log keeps them, and every send of the
    /// email sends them.
    ///
    /// # Errors
    /// `Rejected` if the email can't be written in this provider's format.
    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error>;

    /// A digest of the key that it signs emails with; `None` (the default) if it signs none. An email whose
    /// bytes are not final is composed again after this changes. A mailer that wraps another passes this
    /// through.
    fn signing_key(&self) -> Option<String> {
        None
    }

    /// How long after a first send the provider drops a second one with the same key; zero if a second one is
    /// delivered again.
    fn repeat_is_safe_for(&self) -> Duration;

    /// The longest time a send can be in flight: from [`Transmission::body_begins`] until its outcome is
    /// recorded. Until it has passed, only the run itself sends the email again, unless the provider drops
    /// repeats. Default 11 minutes.
    fn longest_send(&self) -> Duration {
        LONGEST_SEND
    }

    /// Sends. Calls [`Transmission::body_begins`] just before the first byte of the body goes out, and sends
    /// nothing if that fails.
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

/// Records the progress of a send.
#[derive(Clone)]
pub struct Transmission {
    record: Option<Record>,
}

#[derive(Clone)]
struct Record {
    log: Arc<dyn EmailLog>,
    email: EmailId,
    sender: Uuid,
    /// Including this one.
    sends: u32,
    /// The run that sends it.
    run: Option<RunContext>,
}

impl Transmission {
    /// Records nothing: for a mailer's own tests.
    pub fn unrecorded() -> Self {
        Self { record: None }
    }

    pub(crate) fn recorded(
        log: Arc<dyn EmailLog>,
        email: EmailId,
        sender: Uuid,
        sends: u32,
        run: Option<RunContext>,
    ) -> Self {
        Self { record: Some(Record { log, email, sender, sends, run }) }
    }

    /// From here on the email may have left. Call it before the first byte of the body goes out; a second call
    /// in the same send changes nothing.
    ///
    /// # Errors
    /// If it can't be recorded, another sender has taken over the email, or the process has slept past its run's lease, so
    /// that another may have: don't send.
    pub async fn body_begins(&self) -> Result<(), Error> {
        match &self.record {
            Some(Record { log, email, sender, sends, run }) => {
                log.email_body_begins(*email, *sender, *sends).await?;
                match run {
                    Some(run) => run.check_holds("email_body_begins").await,
                    None => Ok(()),
                }
            }
            None => Ok(()),
        }
    }
}

/// How a send ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The provider accepted it.
    Accepted {
        /// The provider's id of the message; for SMTP our Message-ID.
        message_id: String,
        /// The provider's final reply.
        reply: String,
    },
    /// This email was permanently refused.
    Rejected {
        /// Why; without body or secrets.
        error: String,
        /// The recipient does not exist: a candidate for the suppression list.
        recipient_unknown: bool,
    },
    /// Certainly not sent: the provider could not be reached, or disconnected before it had judged the email.
    /// Counts as a failure of the run.
    Away {
        /// What was seen.
        error: String,
    },
    /// Certainly not sent: the provider has a problem of its own, or with this email. Counts as a failure of
    /// the run.
    Retry {
        /// Why.
        error: String,
        /// When the provider asks for it again; otherwise by the job's policy.
        after: Option<Duration>,
    },
    /// Certainly not sent, and deferred through no fault of this email. Does not count as a failure of the run.
    Deferred {
        /// What defers it.
        by: Deferral,
        /// What the provider said.
        error: String,
        /// When to try again; otherwise as usual for what defers it.
        after: Option<Duration>,
    },
    /// Certainly not sent, and nothing will be until the configuration is fixed: key, sender, domain,
    /// certificate.
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

impl SendOutcome {
    /// Its name, as metrics have it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            SendOutcome::Accepted { .. } => "accepted",
            SendOutcome::Rejected { .. } => "rejected",
            SendOutcome::Away { .. } => "away",
            SendOutcome::Retry { .. } => "retry",
            SendOutcome::Deferred { .. } => "deferred",
            SendOutcome::Misconfigured { .. } => "misconfigured",
            SendOutcome::Unknown { .. } => "unknown",
        }
    }
}

//! Why an email was not sent, or not for certain, and what that makes of the run.

use std::time::Duration;

use super::Deferral;
use crate::{Error, JobError};

/// The error kind of an attempt whose provider was unreachable: [`JobError::kind`]. Its dead letters form one
/// group per job, whatever the last message.
pub const PROVIDER_AWAY: &str = "provider-away";

/// Why an email was not sent, or not for certain. In a body, `?` turns it into what happens next: dead, retry
/// or snooze.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// This execution of a step has sent another email under the same key: step, template and recipient are the
    /// same.
    #[error(
        "another email of template {template:?} was sent to the same address in this step: send it in a step of its \
         own, `run.keyed(…).step(…)`, or give it a key with Email::idempotency_key"
    )]
    OtherEmail {
        /// The email's template.
        template: String,
    },
    /// Outside a step, an email needs a key of its own.
    #[error("no idempotency key: send inside a step, or give one with Email::idempotency_key")]
    NoKey,
    /// Refused for good: by the provider, or because it can't be composed.
    #[error("email rejected: {0}")]
    Rejected(String),
    /// The recipient is on the suppression list.
    #[error("email not sent: the recipient is on the suppression list ({0})")]
    Suppressed(String),
    /// Certainly not sent: the provider could not be reached, or disconnected before it had judged the email.
    /// The attempt's error is of kind [`PROVIDER_AWAY`].
    #[error("email not sent yet: {0}")]
    Away(String),
    /// Certainly not sent; may go later.
    #[error("email not sent yet: {error}")]
    Retry {
        /// Why.
        error: String,
        /// When the provider asks for it again.
        after: Option<Duration>,
    },
    /// Certainly not sent, and deferred through no fault of the email. Tried again after `after`, without
    /// counting a failure.
    #[error("email not sent yet: {error}")]
    Deferred {
        /// What defers it.
        by: Deferral,
        /// Until when, and what the provider said.
        error: String,
        /// When to try again; `None` if it has lasted too long.
        after: Option<Duration>,
        /// Whether to alert a human.
        alert: bool,
    },
    /// Nothing goes out until the configuration is fixed. Tried again after `after`, without counting a
    /// failure.
    #[error("email not sent, the mailer needs attention: {error}")]
    Misconfigured {
        /// What is wrong.
        error: String,
        /// When to look again; `None` after a day of looking.
        after: Option<Duration>,
    },
    /// Another sender is sending the same email, or died while sending it. Checked again after `after`, without
    /// counting a failure; sent again only once the other can no longer be sending.
    #[error("another sender is sending this email")]
    OnItsWay {
        /// When to look again.
        after: Duration,
    },
    /// It may have been sent, and is sent again with the same key.
    #[error("email may have been sent: {0}")]
    Unknown(String),
    /// It may have been sent, and is held for an operator or a delivery event.
    #[error("email may have been sent, held for an operator: {0}")]
    Held(String),
    /// The email log could not be read or written.
    #[error("email log: {0}")]
    Log(#[from] Error),
}

impl SendError {
    pub(crate) fn to_job_error(&self, message: String) -> JobError {
        match self {
            SendError::NoKey
            | SendError::OtherEmail { .. }
            | SendError::Rejected(_)
            | SendError::Suppressed(_) => JobError::dead(message),
            SendError::Held(_)
            | SendError::Misconfigured { after: None, .. }
            | SendError::Deferred { after: None, .. } => JobError::dead(message).alert(),
            SendError::Misconfigured { after: Some(after), .. } => JobError::snooze(*after, message).alert(),
            SendError::Deferred { after: Some(after), alert: true, .. } => {
                JobError::snooze(*after, message).alert()
            }
            SendError::OnItsWay { after } | SendError::Deferred { after: Some(after), .. } => {
                JobError::snooze(*after, message)
            }
            SendError::Away(_) => JobError::retry(message).kind(PROVIDER_AWAY),
            SendError::Retry { after: Some(after), .. } => JobError::retry_after(*after, message),
            SendError::Retry { after: None, .. } | SendError::Unknown(_) | SendError::Log(_) => {
                JobError::retry(message)
            }
        }
    }
}

//! The email log that a store keeps: its trait, its records and events, and the suppression list.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{EmailFilter, EmailStart, NewEmailEvent, OnUnknown, RecordedEmailEvent, Rendered, Resolution};
use crate::{
    EmailId, Error, RunId,
    limits::{ERROR_BYTES, KEY_BYTES, clean_text, plain_text},
    state::closed_set,
};

/// What was sent to whom, and how it ended; it decides whether an email may go out again.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EmailLog: Send + Sync {
    /// Records the intent to send, as a pending row under a unique idempotency key; if the key exists already,
    /// returns that row and changes nothing.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error>;

    /// Takes an unsent row for one send, away from any earlier sender: sets status `pending`, detail `sending`,
    /// phase `started`, and the run, attempt and (if given) the composed message. A row in phase `body` stays
    /// there: that the body may have left is forgotten only once an outcome is known. Returns the row as it was
    /// before, and the store's time. A sent row is left as is, and so is one that the start waits for
    /// ([`EmailStart::waits_for`]).
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn start_email(&self, id: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error>;

    /// Sets phase `body`, detail `sending` and the count of sends, and notes the time of the first. `sends` is
    /// one more than the row had when `sender` took it, so a repeated call counts once.
    ///
    /// # Errors
    /// `LeaseLost` if another sender has taken the row, its run has given up or it is sent; `Unavailable`:
    /// don't send.
    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error>;

    /// Records how a send ended. `Sent` is a fact and is always recorded, the first one for good; any other
    /// ending only while `sender` still has the row and it is not sent; otherwise nothing changes. An ending
    /// with detail `unknown` also appends an event, once for the same sender and count of sends.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error>;

    /// The run has given up: its pending rows become failed, with this error, and are taken from their sender.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn fail_emails_of_run(&self, run: RunId, error: &str) -> Result<(), Error>;

    /// Appends a provider's event to its email, once per event id and email, and changes the row as
    /// [`NewEmailEvent::apply_to`] says.
    ///
    /// # Errors
    /// `NotFound` if there is no such email; `Rejected` as [`NewEmailEvent::checked`]; `Unavailable`; repeating
    /// is safe.
    async fn record_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error>;

    /// Resolves an unknown outcome for an operator, as [`Resolution::apply_to`] says, and appends an event that
    /// names them. A row resolved as not sent is taken from its sender.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` if the outcome is not in question; `Unavailable`; repeating is safe.
    async fn resolve_email(&self, id: EmailId, resolution: Resolution, by: &str) -> Result<(), Error>;

    /// One row.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn email(&self, id: EmailId) -> Result<Option<EmailRecord>, Error>;

    /// Rows, newest id first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn emails(&self, filter: EmailFilter) -> Result<Vec<EmailRecord>, Error>;

    /// What happened to an email, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn email_events(&self, id: EmailId) -> Result<Vec<EmailEvent>, Error>;

    /// Puts an address (by its [canonical form](super::canonical_address)) on the suppression list; a second reason changes nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn suppress(&self, address: &str, reason: &str) -> Result<(), Error>;

    /// Takes an address off the suppression list.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn unsuppress(&self, address: &str) -> Result<(), Error>;

    /// Why an address is on the suppression list, if it is.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn suppression(&self, address: &str) -> Result<Option<String>, Error>;

    /// The suppression list in order of address: at most `limit`, starting after `after`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn suppressions(&self, limit: usize, after: Option<String>) -> Result<Vec<Suppression>, Error>;
}

closed_set! {
    /// The product's contract: the status of an email.
    EmailStatus {
        /// The provider accepted it.
        Sent = "sent",
        /// Given up.
        Failed = "failed",
        /// Not yet one or the other.
        Pending = "pending",
    }
}

closed_set! {
    /// The status of an email, in detail.
    EmailDetail {
        /// The intent is recorded.
        Queued = "queued",
        /// A send is in flight.
        Sending = "sending",
        /// Certainly not sent; the run will retry.
        Retry = "retry",
        /// It may have been sent; the policy decides.
        Unknown = "unknown",
        /// It may have been sent; an operator or a delivery event decides.
        Held = "held",
        /// The provider accepts no more for now; the run waits.
        Throttled = "throttled",
        /// The recipient's server refuses every first try; the run waits.
        Greylisted = "greylisted",
        /// The account's quota for the day or month is used up; the run waits.
        QuotaUsedUp = "quota-used-up",
        /// Nothing is sent until the configuration is fixed.
        Misconfigured = "misconfigured",
        /// The recipient is on the suppression list.
        Suppressed = "suppressed",
        /// The provider refused it for good.
        Rejected = "rejected",
        /// The provider accepted it.
        Accepted = "accepted",
        /// Delivered to the recipient's server.
        Delivered = "delivered",
        /// The recipient's server refused it.
        Bounced = "bounced",
        /// The recipient reported it as spam.
        Complained = "complained",
    }
}

closed_set! {
    /// How far the current or last send got.
    SendPhase {
        /// No send yet.
        Queued = "queued",
        /// A sender has the row; nothing of the body has left.
        Started = "started",
        /// The body may have left.
        Body = "body",
        /// The send has ended with a known outcome.
        Ended = "ended",
    }
}

/// An email to be recorded before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEmail {
    /// Its row's id.
    pub id: EmailId,
    /// Unique.
    pub idempotency_key: String,
    /// What is to be sent.
    pub rendered: Rendered,
    /// Recipient's address.
    pub to: String,
    /// Kind of email.
    pub template: String,
    /// The application's own name for what it is about.
    pub reference: Option<String>,
    /// The run that sends it.
    pub run_id: Option<RunId>,
    /// The step that sends it.
    pub step: Option<String>,
    /// The attempt that sends it.
    pub attempt: u32,
    /// What to do with an unknown outcome.
    pub on_unknown: OnUnknown,
}

/// How a send ended, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailEnding {
    /// Status `sent`, detail `accepted`, phase `ended`.
    Sent {
        /// The provider's id.
        message_id: String,
        /// The provider's final reply.
        reply: String,
    },
    /// Status `failed` or still `pending`.
    NotSent {
        /// `Failed` if nothing will try again, else `Pending`.
        status: EmailStatus,
        /// In detail.
        detail: EmailDetail,
        /// Whether this send or one before it may have left: then the phase is `body`, else it becomes `ended`.
        may_have_left: bool,
        /// Since when the run has been deferred by the same cause; `None` keeps what the row says.
        deferred_since: Option<Timestamp>,
        /// What went wrong.
        error: String,
    },
}

impl EmailEnding {
    /// With texts that every store can hold.
    pub(crate) fn clean(self) -> Self {
        match self {
            EmailEnding::Sent { message_id, reply } => EmailEnding::Sent {
                message_id: clean_text(&message_id, KEY_BYTES),
                reply: clean_text(&reply, ERROR_BYTES),
            },
            EmailEnding::NotSent { status, detail, may_have_left, deferred_since, error } => {
                let error = clean_text(&error, ERROR_BYTES);
                EmailEnding::NotSent { status, detail, may_have_left, deferred_since, error }
            }
        }
    }

    /// Without the texts that a store refused, saying so.
    pub(crate) fn without_text(self, refusal: &Error) -> Self {
        let refused = |what| format!("(the store refused the {what}: {})", plain_text(refusal.message()));
        match self {
            EmailEnding::Sent { message_id, .. } => {
                EmailEnding::Sent { message_id: plain_text(&message_id), reply: refused("reply") }
            }
            EmailEnding::NotSent { status, detail, may_have_left, deferred_since, .. } => {
                let error = refused("text of the error");
                EmailEnding::NotSent { status, detail, may_have_left, deferred_since, error }
            }
        }
    }
}

/// A row of the email log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailRecord {
    /// Its id.
    pub id: EmailId,
    /// The product's contract: how it stands.
    pub status: EmailStatus,
    /// In detail.
    pub detail: EmailDetail,
    /// Who was to send it.
    pub provider: String,
    /// The provider's id of the message, once accepted.
    pub message_id: Option<String>,
    /// The newest error; kept when a later send succeeds.
    pub error: Option<String>,
    /// When the intent was recorded.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
    /// When the provider took it.
    pub sent_at: Option<Timestamp>,
    /// When the body first may have left.
    pub first_send_at: Option<Timestamp>,
    /// How often the body may have left.
    pub sends: u32,
    /// Since when the run that sent it last has been deferred, without an attempt being counted.
    pub deferred_since: Option<Timestamp>,
    /// How far the current or last send got.
    pub phase: SendPhase,
    /// Unique.
    pub idempotency_key: String,
    /// How often it was rendered again after the provider had seen and refused a body of it: part of the key
    /// that the provider is given.
    pub generation: u32,
    /// The Message-ID header.
    pub header_message_id: String,
    /// From, with display name.
    pub from: String,
    /// Recipient's address.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// A digest of what was rendered, which tells a changed content.
    pub content: String,
    /// Kind of email.
    pub template: String,
    /// The application's own name for what it is about.
    pub reference: Option<String>,
    /// The run that sent it last.
    pub run_id: Option<RunId>,
    /// The step that sends it.
    pub step: Option<String>,
    /// The attempt that sent it last.
    pub attempt: u32,
    /// What to do with an unknown outcome.
    pub on_unknown: OnUnknown,
    /// The provider's final reply.
    pub reply: Option<String>,
    /// The bytes to send.
    pub message: Vec<u8>,
}

impl EmailRecord {
    /// The idempotency key that the provider is given: providers bind a key to its bytes.
    pub fn provider_key(&self) -> String {
        match self.generation {
            0 => self.idempotency_key.clone(),
            generation => format!("{}-{generation}", self.idempotency_key),
        }
    }
}

/// Something that happened to an email; never changed or deleted before its email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailEvent {
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub detail: EmailDetail,
    /// More of it.
    pub text: Option<String>,
    /// When it happened, by the provider's clock, if a provider reported it.
    pub occurred_at: Option<Timestamp>,
    /// The provider's id of the event; unique.
    pub provider_event_id: Option<String>,
}

/// An address to which nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// In its canonical form ([`canonical_address`](super::canonical_address)).
    pub address: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Email, EmailDetail, EmailEnding, EmailFilter, EmailLog, EmailRecord, EmailStart, EmailStatus, Mailbox,
    Mailer, MessageIdentity, NewEmail, OnUnknown, OutgoingMessage, SendOutcome, SendPhase, Transmission,
    canonical_address, sha256_hex,
};
use crate::{AsStore, EmailId, Error, ErrorKind, JobError, backoff::Backoff, context::CurrentStep};

/// Sends an email effectively once, over a mailer and the email log.
///
/// Inside a step the idempotency key comes from the run's `root`, the step, the template and the recipient: never
/// from the attempt, and the same for every replay. Elsewhere give one by [`Email::idempotency_key`].
#[derive(Clone)]
pub struct Sender {
    log: Arc<dyn EmailLog>,
    mailer: Arc<dyn Mailer>,
}

/// An email that the provider has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The row of the email log.
    pub email_id: EmailId,
    /// Who took it.
    pub provider: String,
    /// The provider's id of the message.
    pub message_id: String,
}

/// Why an email was not sent, or not for certain. In a body, `?` turns it into what is to happen: dead, retry or
/// snooze.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// This execution of a step has sent another email under the same key: the step's, the template and the recipient are
    /// the same.
    #[error(
        "another email of template {template:?} was sent to the same address in this step: send it in a step of its \
         own, `run.keyed(…).step(…)`, or give it a key by Email::idempotency_key"
    )]
    OtherEmail {
        /// The email's template.
        template: String,
    },
    /// Outside a step an email needs its own key.
    #[error("no idempotency key: send inside a step, or give one by Email::idempotency_key")]
    NoKey,
    /// Refused for good: by the provider, or since it can't be written.
    #[error("email rejected: {0}")]
    Rejected(String),
    /// The recipient is on the suppression list.
    #[error("email not sent: the recipient is on the suppression list ({0})")]
    Suppressed(String),
    /// Certainly not sent; may go later.
    #[error("email not sent yet: {error}")]
    Retry {
        /// Why.
        error: String,
        /// When the provider wants to see it again.
        after: Option<Duration>,
    },
    /// Nothing goes out until somebody acts. Tried again after `after`, at no charge.
    #[error("email not sent, the mailer needs attention: {error}")]
    Misconfigured {
        /// What is wrong.
        error: String,
        /// When to look again; `None` after a day of looking.
        after: Option<Duration>,
    },
    /// Another sender is sending the same email, or died while sending it. Looked at again after `after`, at no
    /// charge; sent again only once the other can't be at it any more.
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
            SendError::Held(_) | SendError::Misconfigured { after: None, .. } => {
                JobError::dead(message).alert()
            }
            SendError::Misconfigured { after: Some(after), .. } => JobError::snooze(*after, message).alert(),
            SendError::OnItsWay { after } => JobError::snooze(*after, message),
            SendError::Retry { after: Some(after), .. } => JobError::retry_after(*after, message),
            SendError::Retry { after: None, .. } | SendError::Unknown(_) | SendError::Log(_) => {
                JobError::retry(message)
            }
        }
    }
}

const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);
const SIX_HOURS: Duration = Duration::from_secs(6 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Sender {
    /// Sends over `mailer` and keeps the log in `store`.
    pub fn new(store: &impl AsStore, mailer: Arc<dyn Mailer>) -> Self {
        Self::with_log(store.as_store(), mailer)
    }

    /// Sends over `mailer` and keeps any log.
    pub fn with_log(log: Arc<dyn EmailLog>, mailer: Arc<dyn Mailer>) -> Self {
        Self { log, mailer }
    }

    /// Sends `email`, unless it was sent before.
    ///
    /// The intent and the composed bytes are recorded first, then those bytes are sent, in this and every later
    /// attempt. An email that a crash left half sent goes out again only where the provider drops the repeat,
    /// nothing of the body had left, or its policy says so; and from elsewhere than the same run only after
    /// [`Mailer::longest_send`], since the sender may not have crashed at all.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, email: &Email) -> Result<Receipt, SendError> {
        let step = CurrentStep::get();
        let key = match (&email.idempotency_key, &step) {
            (Some(key), _) => key.clone(),
            (None, Some(step)) => derived_key(&email.template, &email.to, email.generation, step),
            (None, None) => return Err(SendError::NoKey),
        };
        let Some(step) = step else { return self.send_keyed(key, email, None).await };
        let sending = step.run().sending(&key);
        let _alone = sending.lock().await;
        if step.sent_other_than(&key, email) {
            return Err(SendError::OtherEmail { template: email.template.clone() });
        }
        email.check().map_err(|error| SendError::Rejected(error.message().to_owned()))?;
        // Before the first call of the log: it may take the email, and its answer be lost.
        step.note_email(&key, email);
        let receipt = self.send_keyed(key.clone(), email, Some(&step)).await?;
        step.note_receipt(&key);
        Ok(receipt)
    }

    async fn send_keyed(
        &self,
        key: String,
        email: &Email,
        step: Option<&CurrentStep>,
    ) -> Result<Receipt, SendError> {
        match self.recorded(&key).await? {
            Some(row) if self.can_send_as_it_is(&row) => self.deliver(row, None, step).await,
            _ => self.intend_and_deliver(key, email, step).await,
        }
    }

    /// As [`send`](Self::send), rendering the email only where it was not recorded before: a later attempt and a
    /// replay send the recorded message, and render nothing. Only inside a step.
    ///
    /// ```
    /// # use riqle_jobs_core::{Email, JobError, Mailbox, Receipt, Sender};
    /// # async fn body(sender: &Sender, from: Mailbox, to: Mailbox) -> Result<Receipt, JobError> {
    /// sender.send_rendered("welcome", &to, || {
    ///     let text = "Hello!".to_owned();
    ///     Ok(Email::new("welcome", from, to.clone(), "Welcome", format!("<p>{text}</p>"), text))
    /// }).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `render` returns; else as [`send`](Self::send). Dead where `render` makes another template or recipient.
    pub async fn send_rendered(
        &self,
        template: &str,
        to: &Mailbox,
        render: impl FnOnce() -> Result<Email, JobError> + Send,
    ) -> Result<Receipt, JobError> {
        let Some(step) = CurrentStep::get() else { return Err(SendError::NoKey.into()) };
        let key = derived_key(template, to, 0, &step);
        let sending = step.run().sending(&key);
        let _alone = sending.lock().await;
        if step.has_receipt(&key) {
            return Err(SendError::OtherEmail { template: template.to_owned() }.into());
        }
        let receipt = self.send_rendered_once(template, to, &key, &step, render).await?;
        step.note_receipt(&key);
        Ok(receipt)
    }

    async fn send_rendered_once(
        &self,
        template: &str,
        to: &Mailbox,
        key: &str,
        step: &CurrentStep,
        render: impl FnOnce() -> Result<Email, JobError> + Send,
    ) -> Result<Receipt, JobError> {
        let row = self.recorded(key).await.map_err(SendError::from)?;
        if let Some(row) = row.filter(|row| self.can_send_as_it_is(row)) {
            return Ok(self.deliver(row, None, Some(step)).await?);
        }
        let email = render()?;
        if email.template != template || email.to.address != to.address {
            return Err(JobError::dead("the rendered email has another template or recipient than was said"));
        }
        Ok(self.intend_and_deliver(key.to_owned(), &email, Some(step)).await?)
    }

    async fn recorded(&self, key: &str) -> Result<Option<EmailRecord>, Error> {
        let filter = EmailFilter { idempotency_key: Some(key.to_owned()), ..EmailFilter::default() };
        Ok(self.log.emails(filter).await?.pop())
    }

    /// The stored bytes are in the form of this mailer's provider.
    fn can_send_as_it_is(&self, row: &EmailRecord) -> bool {
        row.status == EmailStatus::Sent || row.provider == self.mailer.provider()
    }

    async fn intend_and_deliver(
        &self,
        key: String,
        email: &Email,
        step: Option<&CurrentStep>,
    ) -> Result<Receipt, SendError> {
        email.check().map_err(|error| SendError::Rejected(error.message().to_owned()))?;
        let row = self.intend(key, email, step).await?;
        let recomposed = if self.can_send_as_it_is(&row) {
            None
        } else {
            let identity = MessageIdentity {
                key: row.idempotency_key.clone(),
                message_id: row.header_message_id.clone(),
                date: row.created_at,
            };
            Some((email.from.address.clone(), self.compose(email, &identity)?))
        };
        self.deliver(row, recomposed, step).await
    }

    /// Sends a row: its stored bytes under its stored sender, whatever a deploy has made of the email since; or sender
    /// and bytes `recomposed` for another provider.
    async fn deliver(
        &self,
        row: EmailRecord,
        recomposed: Option<(String, Vec<u8>)>,
        step: Option<&CurrentStep>,
    ) -> Result<Receipt, SendError> {
        if row.status == EmailStatus::Sent {
            return Ok(receipt(row));
        }
        let sender = Uuid::new_v4();
        let provider = self.mailer.provider().to_owned();
        let start = EmailStart {
            sender,
            run_id: step.map(|step| step.run().id()),
            attempt: step.map_or(row.attempt, |step| step.run().attempt()),
            recomposed: recomposed.as_ref().map(|(_, bytes)| (provider, bytes.clone())),
            longest_send: self.longest_send(recomposed.is_some()),
        };
        let (before, now) = self.log.start_email(row.id, start.clone()).await?;
        if before.status == EmailStatus::Sent {
            return Ok(receipt(before));
        }
        if let Some(left) = start.waits_for(&before, now) {
            return Err(SendError::OnItsWay { after: next_look_for_another(&start, left) });
        }
        let send = OneSend { sender: self, row: &before, id: sender, now };
        send.check_suppression().await?;
        send.check_repeat(recomposed.is_some()).await?;
        let (from, bytes) =
            recomposed.unwrap_or_else(|| (stored_address(&before.from), before.message.clone()));
        send.transmit(from, bytes).await
    }

    /// Nobody waits where a repeat is dropped; but no provider drops what another one has.
    fn longest_send(&self, other_provider: bool) -> Duration {
        let is_dropped = !other_provider && !self.mailer.repeat_is_safe_for().is_zero();
        if is_dropped { Duration::ZERO } else { self.mailer.longest_send() }
    }

    async fn intend(
        &self,
        key: String,
        email: &Email,
        step: Option<&CurrentStep>,
    ) -> Result<EmailRecord, SendError> {
        let date = step.map_or_else(Timestamp::now, |step| step.run().date());
        let identity = MessageIdentity::new(key, &email.from, date);
        let message = self.compose(email, &identity)?;
        let intent = NewEmail {
            id: EmailId::new(),
            idempotency_key: identity.key,
            provider: self.mailer.provider().to_owned(),
            header_message_id: identity.message_id,
            from: email.from.to_string(),
            to: email.to.address.clone(),
            subject: email.subject.clone(),
            template: email.template.clone(),
            reference: email.reference.clone().or_else(|| step?.run().reference().map(str::to_owned)),
            run_id: step.map(|step| step.run().id()),
            step: step.map(|step| step.path().as_str().to_owned()),
            attempt: step.map_or(1, |step| step.run().attempt()),
            on_unknown: email.on_unknown,
            message,
        };
        Ok(self.log.intend_email(intent).await?)
    }

    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, SendError> {
        self.mailer.compose(email, identity).map_err(|error| SendError::Rejected(error.message().to_owned()))
    }
}

fn derived_key(template: &str, to: &Mailbox, generation: u32, step: &CurrentStep) -> String {
    let (root, path) = (step.run().root(), step.path());
    let line = format!("{root}\n{path}\n{template}\n{}\n{generation}", canonical_address(&to.address));
    format!("riqle-{root}-{}", &sha256_hex(line.as_bytes())[..32])
}

fn stored_address(from: &str) -> String {
    Mailbox::parse(from).map_or_else(|_| from.to_owned(), |from| from.address)
}

fn receipt(row: EmailRecord) -> Receipt {
    Receipt {
        email_id: row.id,
        provider: row.provider,
        message_id: row.message_id.unwrap_or(row.header_message_id),
    }
}

/// One send of one row.
struct OneSend<'a> {
    sender: &'a Sender,
    /// As it was before this send took it.
    row: &'a EmailRecord,
    id: Uuid,
    now: Timestamp,
}

impl OneSend<'_> {
    async fn check_suppression(&self) -> Result<(), SendError> {
        let Some(reason) = self.sender.log.suppression(&self.row.to).await? else { return Ok(()) };
        let error = format!("on the suppression list: {reason}");
        self.end(EmailStatus::Failed, EmailDetail::Suppressed, &error).await?;
        Err(SendError::Suppressed(reason))
    }

    /// An earlier send that reached the body and has no known outcome: may this one go out?
    async fn check_repeat(&self, other_provider: bool) -> Result<(), SendError> {
        if self.row.phase != SendPhase::Body {
            return Ok(());
        }
        if !other_provider && self.row.first_send_at.is_some() && self.repeat_is_dropped() {
            return Ok(());
        }
        let error =
            self.row.error.clone().unwrap_or_else(|| "the sender died while it was sending".to_owned());
        match self.row.on_unknown {
            // Noted when the outcome was seen; only a crash leaves it to be noted here.
            OnUnknown::SendAgain if self.row.detail == EmailDetail::Unknown => Ok(()),
            // The event says that this row went out twice, perhaps.
            OnUnknown::SendAgain => self.end(EmailStatus::Pending, EmailDetail::Unknown, &error).await,
            OnUnknown::Hold => {
                self.end(EmailStatus::Pending, EmailDetail::Held, &error).await?;
                Err(SendError::Held(error))
            }
        }
    }

    /// The provider still drops a repeat of the first send that may have left.
    fn repeat_is_dropped(&self) -> bool {
        let since = self.row.first_send_at.map_or(Duration::ZERO, |first| self.time_since(first));
        since < self.sender.mailer.repeat_is_safe_for()
    }

    async fn transmit(&self, from: String, bytes: Vec<u8>) -> Result<Receipt, SendError> {
        let message = OutgoingMessage {
            from,
            to: self.row.to.clone(),
            key: self.row.idempotency_key.clone(),
            message_id: self.row.header_message_id.clone(),
            bytes,
        };
        let log = Arc::clone(&self.sender.log);
        let sends = self.row.sends.saturating_add(1);
        let transmission = Transmission::recorded(log, self.row.id, self.id, sends);
        match self.sender.mailer.send(&message, &transmission).await {
            SendOutcome::Accepted { message_id, reply } => {
                let ending = EmailEnding::Sent { message_id: message_id.clone(), reply };
                self.record(ending).await?;
                Ok(Receipt {
                    email_id: self.row.id,
                    provider: self.sender.mailer.provider().to_owned(),
                    message_id,
                })
            }
            SendOutcome::Rejected { error, .. } => {
                self.end(EmailStatus::Failed, EmailDetail::Rejected, &error).await?;
                Err(SendError::Rejected(error))
            }
            SendOutcome::Retry { error, after } => {
                self.not_sent(EmailDetail::Retry, &error).await?;
                Err(SendError::Retry { error, after })
            }
            SendOutcome::Misconfigured { error } => {
                self.not_sent(EmailDetail::Misconfigured, &error).await?;
                Err(SendError::Misconfigured {
                    error,
                    after: next_look(self.time_since(self.row.created_at)),
                })
            }
            SendOutcome::Unknown { error } => {
                if self.row.on_unknown == OnUnknown::SendAgain || self.repeat_is_dropped() {
                    self.end(EmailStatus::Pending, EmailDetail::Unknown, &error).await?;
                    return Err(SendError::Unknown(error));
                }
                self.end(EmailStatus::Pending, EmailDetail::Held, &error).await?;
                Err(SendError::Held(error))
            }
        }
    }

    /// Certainly not sent this time; where an earlier send may have left, the row goes on saying so.
    async fn not_sent(&self, detail: EmailDetail, error: &str) -> Result<(), SendError> {
        let detail = if self.row.phase == SendPhase::Body { EmailDetail::Unknown } else { detail };
        self.end(EmailStatus::Pending, detail, error).await
    }

    async fn end(&self, status: EmailStatus, detail: EmailDetail, error: &str) -> Result<(), SendError> {
        self.record(EmailEnding::NotSent { status, detail, error: error.to_owned() }).await
    }

    /// Once the provider has answered, the record is repeated, not the send.
    async fn record(&self, ending: EmailEnding) -> Result<(), SendError> {
        let mut ending = ending.clean();
        let mut is_plain = false;
        let mut backoff = Backoff::new(self.row.id.as_uuid().as_u64_pair().1);
        loop {
            match self.sender.log.end_email(self.row.id, self.id, ending.clone()).await {
                Err(error) if backoff.outlasts(&error) => {
                    tracing::warn!(email = %self.row.id, %error, "can't record an email's outcome; will retry");
                    backoff.wait().await;
                }
                // It has happened all the same.
                Err(error)
                    if !is_plain && matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Corrupt) =>
                {
                    tracing::error!(email = %self.row.id, %error, "an outcome was refused; recording it without its text");
                    ending = ending.without_text(&error);
                    is_plain = true;
                }
                other => return Ok(other?),
            }
        }
    }

    fn time_since(&self, earlier: Timestamp) -> Duration {
        Duration::try_from(self.now.duration_since(earlier)).unwrap_or(Duration::ZERO)
    }
}

/// A second at first, then as long as the other has been at it, and no longer than it may be.
fn next_look_for_another(start: &EmailStart, left: Duration) -> Duration {
    start.longest_send.saturating_sub(left).max(Duration::from_secs(1)).min(left)
}

/// A quarter of an hour at first, then as long as it has lasted, at most 6 h; `None` after a day.
fn next_look(lasted: Duration) -> Option<Duration> {
    (lasted < DAY).then(|| lasted.clamp(QUARTER_HOUR, SIX_HOURS))
}

//! Sends an email effectively once: its idempotency key, its row in the log, and its receipt.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Email, EmailFilter, EmailLog, EmailRecord, EmailStart, EmailStatus, Mailbox, Mailer, MessageIdentity,
    NewEmail, Rendered, SendError, SendPhase, canonical_address, deferral::DAY, one_send::OneSend,
    overload::Overload, sha256_hex,
};
use crate::{AsStore, EmailId, Error, JobError, outside::random_id, run::CurrentStep, store::Repeated};

/// Sends an email effectively once, over a mailer and the email log.
///
/// Inside a step the idempotency key comes from the run's `root`, the step, the template and the recipient:
/// never from the attempt, and the same for every replay. Elsewhere set one with [`Email::idempotency_key`].
#[derive(Clone)]
pub struct Sender {
    pub(super) log: Arc<dyn EmailLog>,
    pub(super) mailer: Arc<dyn Mailer>,
    pub(super) overload: Arc<Overload>,
    /// Emails that are put off.
    pub(super) deferred: Arc<Repeated>,
    /// For a provider that accepts no more for now.
    pub(super) patience: Duration,
}

/// An email that the provider accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The row of the email log.
    pub email_id: EmailId,
    /// Who accepted it.
    pub provider: String,
    /// The provider's id of the message.
    pub message_id: String,
}

impl Sender {
    /// Sends over `mailer` and keeps the log in `store`.
    pub fn new(store: &impl AsStore, mailer: Arc<dyn Mailer>) -> Self {
        Self::with_log(store.as_store(), mailer)
    }

    /// Sends over `mailer` and keeps any log.
    pub fn with_log(log: Arc<dyn EmailLog>, mailer: Arc<dyn Mailer>) -> Self {
        Self { log, mailer, overload: Arc::default(), deferred: Arc::default(), patience: DAY }
    }

    /// How long a run waits, without counting failures, for a provider that accepts no more for now
    /// ([`Deferral::Load`](super::Deferral)), from its first refusal; then it is dead. Default 1 day. A
    /// greylisting server is awaited for 1 day, a quota for 3, a misconfigured mailer for 1.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends `email`, unless it was sent before.
    ///
    /// The intent and the composed bytes are recorded first, then those bytes are sent. Once a body may have
    /// left they are final, in this and every later attempt, until it is known whether it was accepted. Before
    /// that, and after the provider has refused them, a later attempt sends what it is given, so a corrected
    /// sender takes effect. An email that a crash left half sent goes out again only if the provider drops the
    /// repeat, nothing of the body had left, or its policy says so; outside the same run only after
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
            Some(row) if self.is_final(&row) => self.deliver(row, None, step).await,
            row => self.render_and_deliver(row, key, email, step).await,
        }
    }

    /// Like [`send`](Self::send), but renders the email only if its bytes are not final: an attempt or a replay
    /// after one whose body may have left sends the recorded message and renders nothing. Only inside a step.
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
    /// What `render` returns; else as [`send`](Self::send). Dead if `render` returns another template or
    /// recipient.
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
        if let Some(row) = row.clone().filter(|row| self.is_final(row)) {
            return Ok(self.deliver(row, None, Some(step)).await?);
        }
        let email = render()?;
        let is_to_another = canonical_address(&email.to.address) != canonical_address(&to.address);
        if email.template != template || is_to_another {
            return Err(JobError::dead(
                "the rendered email's template or recipient is not the one that was given",
            ));
        }
        Ok(self.render_and_deliver(row, key.to_owned(), &email, Some(step)).await?)
    }

    async fn recorded(&self, key: &str) -> Result<Option<EmailRecord>, Error> {
        let filter = EmailFilter::all().idempotency_key(key.to_owned());
        Ok(self.log.emails(filter).await?.pop())
    }

    /// Whether the recorded bytes are sent, even if a deploy has changed the email since.
    fn is_final(&self, row: &EmailRecord) -> bool {
        let may_have_left = row.phase == SendPhase::Body;
        row.status == EmailStatus::Sent || (may_have_left && row.provider == self.mailer.provider())
    }

    async fn render_and_deliver(
        &self,
        row: Option<EmailRecord>,
        key: String,
        email: &Email,
        step: Option<&CurrentStep>,
    ) -> Result<Receipt, SendError> {
        email.check().map_err(|error| SendError::Rejected(error.message().to_owned()))?;
        let date = step.map_or_else(Timestamp::now, |step| step.run().date());
        let row = match row {
            Some(row) => row,
            None => {
                let rendered = self.render(email, &MessageIdentity::new(key.clone(), &email.from, date))?;
                self.log.intend_email(self.intent(key, email, rendered, step)).await?
            }
        };
        let is_recorded = row.content == self.content(email) && row.provider == self.mailer.provider();
        if is_recorded || self.is_final(&row) {
            return self.deliver(row, None, step).await;
        }
        let identity = if row.phase == SendPhase::Body {
            // Another provider's form of what may have left.
            MessageIdentity {
                key: row.idempotency_key.clone(),
                message_id: row.header_message_id.clone(),
                date: row.created_at,
            }
        } else {
            MessageIdentity::new(row.idempotency_key.clone(), &email.from, date)
        };
        let rendered = self.render(email, &identity)?;
        self.deliver(row, Some(rendered), step).await
    }

    /// Sends a row: its stored bytes, or what was `rendered` if those are not final.
    async fn deliver(
        &self,
        row: EmailRecord,
        rendered: Option<Rendered>,
        step: Option<&CurrentStep>,
    ) -> Result<Receipt, SendError> {
        if row.status == EmailStatus::Sent {
            return Ok(receipt(row));
        }
        let is_other_provider = rendered.as_ref().is_some_and(|rendered| rendered.provider != row.provider);
        let start = EmailStart {
            sender: random_id(),
            run_id: step.map(|step| step.run().id()),
            attempt: step.map_or(row.attempt, |step| step.run().attempt()),
            rendered,
            longest_send: self.longest_send(is_other_provider),
        };
        let (before, now) = self.log.start_email(row.id, start.clone()).await?;
        if before.status == EmailStatus::Sent {
            return Ok(receipt(before));
        }
        if let Some(left) = start.waits_for(&before, now) {
            return Err(SendError::OnItsWay { after: next_look_for_another(&start, left) });
        }
        OneSend::new(self, start, before, now, step).run().await
    }

    /// No wait is needed if a repeat is dropped; but no provider drops what another one has.
    fn longest_send(&self, other_provider: bool) -> Duration {
        let is_dropped = !other_provider && !self.mailer.repeat_is_safe_for().is_zero();
        if is_dropped { Duration::ZERO } else { self.mailer.longest_send() }
    }

    fn render(&self, email: &Email, identity: &MessageIdentity) -> Result<Rendered, SendError> {
        let composed = self.mailer.compose(email, identity);
        Ok(Rendered {
            provider: self.mailer.provider().to_owned(),
            header_message_id: identity.message_id.clone(),
            from: email.from.to_string(),
            subject: email.subject.clone(),
            content: self.content(email),
            message: composed.map_err(|error| SendError::Rejected(error.message().to_owned()))?,
        })
    }

    fn content(&self, email: &Email) -> String {
        email.digest(self.mailer.signing_key())
    }

    fn intent(&self, key: String, email: &Email, rendered: Rendered, step: Option<&CurrentStep>) -> NewEmail {
        NewEmail {
            id: EmailId::new(),
            idempotency_key: key,
            rendered,
            to: email.to.address.clone(),
            template: email.template.clone(),
            reference: email.reference.clone().or_else(|| step?.run().reference().map(str::to_owned)),
            run_id: step.map(|step| step.run().id()),
            step: step.map(|step| step.path().as_str().to_owned()),
            attempt: step.map_or(1, |step| step.run().attempt()),
            on_unknown: email.on_unknown,
        }
    }
}

fn derived_key(template: &str, to: &Mailbox, generation: u32, step: &CurrentStep) -> String {
    let (root, path) = (step.run().root(), step.path());
    let line = format!("{root}\n{path}\n{template}\n{}\n{generation}", canonical_address(&to.address));
    format!("riqle-{root}-{}", &sha256_hex(line.as_bytes())[..32])
}

fn receipt(row: EmailRecord) -> Receipt {
    Receipt {
        email_id: row.id,
        provider: row.provider,
        message_id: row.message_id.unwrap_or(row.header_message_id),
    }
}

/// One second at first, then as long as the other has been sending, and no longer than a send may take.
fn next_look_for_another(start: &EmailStart, left: Duration) -> Duration {
    start.longest_send.saturating_sub(left).max(Duration::from_secs(1)).min(left)
}

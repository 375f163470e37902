//! One send of one email: may it go out, how does it go out, and what is recorded of it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    Deferral, EmailDetail, EmailEnding, EmailRecord, EmailStart, EmailStatus, Mailbox, OnUnknown,
    OutgoingMessage, Receipt, SendError, SendOutcome, SendPhase, Sender, Transmission, deferral::next_look,
};
use crate::{
    ErrorKind, backoff::Backoff, clock, process_metrics, run::CurrentStep, store::TroubleKind, trace::spans,
};

/// One send of one row.
pub(super) struct OneSend<'a> {
    sender: &'a Sender,
    step: Option<&'a CurrentStep>,
    start: EmailStart,
    /// As the row was before this send took it.
    before: EmailRecord,
    /// As it is now.
    row: EmailRecord,
    now: Timestamp,
}

impl<'a> OneSend<'a> {
    pub(super) fn new(
        sender: &'a Sender,
        start: EmailStart,
        before: EmailRecord,
        now: Timestamp,
        step: Option<&'a CurrentStep>,
    ) -> Self {
        let mut row = before.clone();
        start.apply_to(&mut row, now);
        Self { sender, step, start, before, row, now }
    }

    pub(super) async fn run(self) -> Result<Receipt, SendError> {
        self.check_suppression().await?;
        self.check_repeat().await?;
        self.transmit().await
    }

    async fn check_suppression(&self) -> Result<(), SendError> {
        let Some(reason) = self.sender.log.suppression(&self.row.to).await? else { return Ok(()) };
        let error = format!("on the suppression list: {reason}");
        self.end(EmailStatus::Failed, EmailDetail::Suppressed, &error).await?;
        Err(SendError::Suppressed(reason))
    }

    /// An earlier send that reached the body and has no known outcome: may this one go out?
    async fn check_repeat(&self) -> Result<(), SendError> {
        if !self.an_earlier_one_may_have_left() {
            return Ok(());
        }
        let is_same_provider = self.before.provider == self.row.provider;
        if is_same_provider && self.row.first_send_at.is_some() && self.repeat_is_dropped() {
            return Ok(());
        }
        let error =
            self.before.error.clone().unwrap_or_else(|| "the sender died while it was sending".to_owned());
        match self.row.on_unknown {
            // Noted when the outcome was seen; only a crash leaves it to be noted here.
            OnUnknown::SendAgain if self.before.detail == EmailDetail::Unknown => Ok(()),
            // The event says that this row went out twice, perhaps.
            OnUnknown::SendAgain => self.end(EmailStatus::Pending, EmailDetail::Unknown, &error).await,
            OnUnknown::Hold => {
                self.end(EmailStatus::Pending, EmailDetail::Held, &error).await?;
                Err(SendError::Held(error))
            }
        }
    }

    fn an_earlier_one_may_have_left(&self) -> bool {
        self.before.phase == SendPhase::Body
    }

    /// The provider still drops a repeat of the first send that may have left.
    fn repeat_is_dropped(&self) -> bool {
        let since = self.row.first_send_at.map_or(Duration::ZERO, |first| self.time_since(first));
        since < self.sender.mailer.repeat_is_safe_for()
    }

    async fn transmit(&self) -> Result<Receipt, SendError> {
        let Sender { log, mailer, .. } = self.sender;
        let message = OutgoingMessage {
            from: Mailbox::parse(&self.row.from).map_or_else(|_| self.row.from.clone(), |from| from.address),
            to: self.row.to.clone(),
            key: self.row.provider_key(),
            message_id: self.row.header_message_id.clone(),
            bytes: self.row.message.clone(),
        };
        let sends = self.row.sends.saturating_add(1);
        let run = self.step.map(|step| step.run().clone());
        let transmission =
            Transmission::recorded(Arc::clone(log), self.row.id, self.start.sender, sends, run);
        let span = spans::email(mailer.provider(), self.row.id);
        let outcome = mailer.send(&message, &transmission).instrument(span.clone()).await;
        spans::sent(&span, &outcome);
        drop(span);
        process_metrics::email(mailer.provider(), outcome.as_str());
        match outcome {
            SendOutcome::Accepted { message_id, reply } => {
                self.is_judged();
                let ending = EmailEnding::Sent { message_id: message_id.clone(), reply };
                self.record(ending).await?;
                let provider = mailer.provider().to_owned();
                Ok(Receipt { email_id: self.row.id, provider, message_id })
            }
            SendOutcome::Rejected { error, .. } => {
                self.is_judged();
                self.end(EmailStatus::Failed, EmailDetail::Rejected, &error).await?;
                Err(SendError::Rejected(error))
            }
            SendOutcome::Away { error } => {
                self.not_sent(EmailDetail::Retry, &error).await?;
                Err(SendError::Away(error))
            }
            SendOutcome::Retry { error, after } => {
                self.not_sent(EmailDetail::Retry, &error).await?;
                Err(SendError::Retry { error, after })
            }
            SendOutcome::Deferred { by, error, after } => self.put_off(by, error, after).await,
            SendOutcome::Misconfigured { error } => {
                self.report(TroubleKind::MailerSetup, Instant::now(), &error);
                self.not_sent(EmailDetail::Misconfigured, &error).await?;
                let lasted = self.deferred_for(EmailDetail::Misconfigured);
                Err(SendError::Misconfigured { error, after: next_look(lasted) })
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

    /// It waits at no charge, for as long as is usual.
    async fn put_off(
        &self,
        by: Deferral,
        error: String,
        asked: Option<Duration>,
    ) -> Result<Receipt, SendError> {
        let lasted = self.deferred_for(by.detail());
        let seed = self.row.id.as_uuid().as_u64_pair().1;
        let after = (lasted < by.patience(self.sender.patience)).then(|| by.pause(lasted, asked, seed));
        let (told, provider) = (by.told(), self.sender.mailer.provider());
        let error = match after {
            // In whole seconds, as people read it.
            Some(after) => format!("{told}, again at {:.0}: {error}", clock::later(self.now, after)),
            None => format!("{told} for too long: {error}"),
        };
        let alert = match by {
            Deferral::Load => {
                let (since, is_to_be_told) = self.sender.overload.goes_on();
                self.report(TroubleKind::Mailer, since, &error);
                is_to_be_told
            }
            Deferral::Greylisting => {
                self.is_judged();
                false
            }
            Deferral::Quota => true,
        };
        if let Some(times) = self.sender.deferred.happened() {
            tracing::info!(email = %self.row.id, provider, error, times, "an email is deferred");
        }
        self.not_sent(by.detail(), &error).await?;
        Err(SendError::Deferred { by, error, after, alert })
    }

    /// The provider is there, and has judged the email.
    fn is_judged(&self) {
        self.sender.overload.ends();
        if let Some(step) = self.step {
            step.run().mailers().accepts(self.sender.mailer.provider());
        }
    }

    /// Reports with the worker since when the provider takes nothing, and why.
    fn report(&self, kind: TroubleKind, since: Instant, error: &str) {
        if let Some(step) = self.step {
            step.run().mailers().refuses(self.sender.mailer.provider(), kind, since, error);
        }
    }

    /// Certainly not sent this time; if it does not count against the run, it is deferred.
    async fn not_sent(&self, detail: EmailDetail, error: &str) -> Result<(), SendError> {
        let deferred_since = (detail != EmailDetail::Retry).then(|| self.deferred_since(detail));
        self.record(self.ending(EmailStatus::Pending, detail, deferred_since, error)).await
    }

    async fn end(&self, status: EmailStatus, detail: EmailDetail, error: &str) -> Result<(), SendError> {
        self.record(self.ending(status, detail, None, error)).await
    }

    /// If an earlier send may have left, the row keeps saying so.
    fn ending(
        &self,
        status: EmailStatus,
        detail: EmailDetail,
        deferred_since: Option<Timestamp>,
        error: &str,
    ) -> EmailEnding {
        let is_open = matches!(detail, EmailDetail::Unknown | EmailDetail::Held);
        let may_have_left = is_open || self.an_earlier_one_may_have_left();
        let detail = if may_have_left && !is_open { EmailDetail::Unknown } else { detail };
        EmailEnding::NotSent { status, detail, may_have_left, deferred_since, error: error.to_owned() }
    }

    /// Once the provider has answered, the record is repeated, not the send.
    async fn record(&self, ending: EmailEnding) -> Result<(), SendError> {
        let mut ending = ending.clean();
        let mut is_plain = false;
        let mut backoff = Backoff::new(self.row.id.as_uuid().as_u64_pair().1);
        loop {
            match self.sender.log.end_email(self.row.id, self.start.sender, ending.clone()).await {
                Err(error) if backoff.outlasts(&error) => {
                    backoff.log("record an email's outcome", None, &error);
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

    /// For how long this run has been put off by the same.
    fn deferred_for(&self, detail: EmailDetail) -> Duration {
        self.time_since(self.deferred_since(detail))
    }

    /// Since when this run is put off by the same. A row that says `unknown` does not say by what.
    fn deferred_since(&self, detail: EmailDetail) -> Timestamp {
        let is_same = self.before.detail == detail || self.before.detail == EmailDetail::Unknown;
        self.row.deferred_since.filter(|_| is_same).unwrap_or(self.now)
    }

    fn time_since(&self, earlier: Timestamp) -> Duration {
        Duration::try_from(self.now.duration_since(earlier)).unwrap_or(Duration::ZERO)
    }
}

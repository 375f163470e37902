use std::sync::{Arc, Mutex};
use std::time::Duration;

use riqle_jobs_core::{
    Email, EmailLog, Error, Mailbox, Mailer, Memory, Receipt, SendError, Sender, async_trait,
    email::{
        EmailFilter, EmailRecord, MessageIdentity, OnUnknown, OutgoingMessage, SendOutcome, Transmission,
    },
};
#[cfg(feature = "smtp")]
use riqle_jobs_email::{SmtpMailer, SmtpTimeouts};

/// A sender over a mailer and an email log in memory, whose mailer's answers are kept.
#[derive(Clone)]
pub struct Outbox {
    pub store: Memory,
    pub sender: Sender,
    mailer: Arc<Spy>,
}

struct Spy {
    mailer: Box<dyn Mailer>,
    outcomes: Mutex<Vec<SendOutcome>>,
}

#[cfg(feature = "smtp")]
impl Outbox {
    /// Waits 20 seconds for any answer.
    pub fn new(url: &str) -> Self {
        Self::over(&Memory::new(), url)
    }

    /// Waits one second for any answer.
    pub fn impatient(url: &str) -> Self {
        Self::waiting(&Memory::new(), url, Duration::from_secs(1))
    }

    /// Another process on the same store.
    pub fn over(store: &Memory, url: &str) -> Self {
        Self::waiting(store, url, Duration::from_secs(20))
    }

    fn waiting(store: &Memory, url: &str, limit: Duration) -> Self {
        let timeouts = SmtpTimeouts { turn: limit, connect: limit, command: limit, body: limit };
        let smtp = SmtpMailer::from_url(url).unwrap().timeouts(timeouts);
        Self::with(store, smtp)
    }
}

impl Outbox {
    /// A process of its own, on this store.
    pub fn with(store: &Memory, mailer: impl Mailer + 'static) -> Self {
        let mailer = Arc::new(Spy { mailer: Box::new(mailer), outcomes: Mutex::default() });
        Self { store: store.clone(), sender: Sender::new(store, mailer.clone()), mailer }
    }

    pub async fn send(&self, email: &Email) -> Result<Receipt, SendError> {
        self.sender.send(email).await
    }

    /// Sends an email to a recipient: what the mailer answers, and how often the body may have left.
    pub async fn try_to(&self, recipient: &str) -> (SendOutcome, u32) {
        let _ = self.send(&email(recipient)).await;
        let outcome = self.mailer.outcomes.lock().unwrap().last().cloned().expect("an outcome");
        (outcome, self.row().await.sends)
    }

    /// The newest row of the log.
    pub async fn row(&self) -> EmailRecord {
        self.store.emails(EmailFilter::default()).await.unwrap().remove(0)
    }
}

#[async_trait]
impl Mailer for Spy {
    fn provider(&self) -> &'static str {
        self.mailer.provider()
    }

    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
        self.mailer.compose(email, identity)
    }

    fn signing_key(&self) -> Option<String> {
        self.mailer.signing_key()
    }

    fn repeat_is_safe_for(&self) -> Duration {
        self.mailer.repeat_is_safe_for()
    }

    fn longest_send(&self) -> Duration {
        self.mailer.longest_send()
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        let outcome = self.mailer.send(message, transmission).await;
        self.outcomes.lock().unwrap().push(outcome.clone());
        outcome
    }
}

/// A short email, keyed by its recipient.
pub fn email(recipient: &str) -> Email {
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let text = "Hello\n.\n..two dots\nGrüße\n".to_owned();
    let html = "<p>Hello</p>\n".to_owned();
    Email::new("note", mailbox("Riqle <orders@riqle.com>"), mailbox(recipient), "A note", html, text)
        .idempotency_key(format!("note to {recipient}"))
        .on_unknown(OnUnknown::SendAgain)
}

//! SMTP (RFC 5321), phase by phase.

mod connection;
mod failure;
mod line_wise;
mod settings;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lettre::transport::smtp::extension::ClientId;
use riqle_jobs_core::{
    Email, Error, Mailer, async_trait,
    email::{MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
};

use self::{
    connection::Connection,
    failure::{Failure, without},
    settings::{Encryption, Settings},
};
use crate::{
    compose::{address, compose},
    dkim::DkimKey,
};

/// At most so many connections wait for the next email.
const IDLE_CONNECTIONS: usize = 8;
/// Servers may close after 5 minutes (RFC 5321, section 4.5.3.2.7); this one asks first, and asks no ghosts.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// Hands emails to an SMTP server. Clones share their idle connections.
///
/// What it answers, and so what becomes of the run that sends:
///
/// | seen | [`SendOutcome`] |
/// |---|---|
/// | 2xx to the body | `Accepted`, with our Message-ID and the server's last words |
/// | no connection, I/O error, silence, 4xx: before the body | `Retry` |
/// | 450, 451 from RCPT on (greylisting, RFC 6647) | `Retry` after 6 minutes |
/// | a certificate that is not trusted or for another host, no TLS on that port, no STARTTLS where it is required | `Misconfigured` |
/// | no AUTH PLAIN or LOGIN where there is a password; 530, 534, 535, 538; 5xx before MAIL; a refused sender | `Misconfigured` |
/// | RCPT 550, 551, 553 or 5.1.x | `Rejected`, recipient unknown |
/// | any other 5xx from MAIL on | `Rejected` |
/// | I/O error or silence from the first byte of the body to the final reply | `Unknown` |
///
/// The error line names the phase, as in `SMTP RCPT TO: 550 5.1.1 no such user` or `SMTP connect: no private
/// connection: invalid peer certificate: UnknownIssuer`. Neither it nor `Debug` ever holds user or password.
///
/// Nothing is retried inside; only an idle connection that has gone is replaced, before anything is said on it.
#[derive(Clone)]
pub struct SmtpMailer {
    inner: Arc<Inner>,
    timeouts: SmtpTimeouts,
    dkim: Option<DkimKey>,
}

struct Inner {
    settings: Settings,
    hello: ClientId,
    idle: Mutex<Vec<Connection>>,
}

/// How long to wait for a server in each phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmtpTimeouts {
    /// For the connection, and for each of its addresses. Default 30 s.
    pub connect: Duration,
    /// For the answer to a command. Default 60 s.
    pub command: Duration,
    /// From the first byte of the body to the final reply. Given up too early, an email is sent twice: 10 minutes by
    /// default (RFC 5321, section 4.5.3.2.6), and not less than 2 but in tests.
    pub body: Duration,
}

impl Default for SmtpTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            command: Duration::from_secs(60),
            body: Duration::from_secs(10 * 60),
        }
    }
}

impl SmtpMailer {
    /// A mailer for the server of a URL, as [`mailer_from_url`](crate::mailer_from_url) describes it. Connects at the
    /// first send.
    ///
    /// # Errors
    /// `Misconfigured` for what is no such URL, and for a root certificate that can't be read.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let (settings, dkim) = Settings::parse(url)?;
        let inner = Inner { settings, hello: ClientId::default(), idle: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), timeouts: SmtpTimeouts::default(), dkim })
    }

    /// Signs the messages with this key, rather than with that of the URL.
    #[cfg(feature = "dkim")]
    #[must_use]
    pub fn dkim(mut self, key: DkimKey) -> Self {
        self.dkim = Some(key);
        self
    }

    /// Waits so long, from the next connection on.
    #[must_use]
    pub fn timeouts(mut self, timeouts: SmtpTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The record of the key that it signs with.
    #[cfg(all(feature = "doctor", feature = "dkim"))]
    pub(crate) fn dkim_record(&self) -> Option<&str> {
        self.dkim.as_ref().map(DkimKey::record)
    }

    #[cfg(feature = "doctor")]
    pub(crate) fn host(&self) -> &str {
        &self.inner.settings.host
    }

    #[cfg(feature = "doctor")]
    pub(crate) fn is_private(&self) -> bool {
        !matches!(self.inner.settings.encryption, Encryption::None)
    }

    /// Connects, encrypts and logs in: what the server says that it can do, or what a send would answer.
    #[cfg(feature = "doctor")]
    pub(crate) async fn offers(&self) -> Result<String, SendOutcome> {
        let settings = &self.inner.settings;
        let opened = Connection::open(settings, &self.inner.hello, self.timeouts).await;
        let connection = opened.map_err(|failure| failure.outcome(settings.secret.as_deref()))?;
        let login = if settings.credentials.is_some() { "takes user and password" } else { "no login" };
        let privacy =
            if self.is_private() { "encrypted, the certificate is trusted" } else { "not encrypted" };
        let offers = format!("{}; {privacy}; {login}", connection.name());
        self.keep(connection);
        Ok(without(&offers, settings.secret.as_deref()))
    }

    async fn deliver(
        &self,
        message: &OutgoingMessage,
        transmission: &Transmission,
    ) -> Result<SendOutcome, Failure> {
        let (from, to) = match (address(&message.from), address(&message.to)) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(error), _) | (_, Err(error)) => {
                let error = error.message().to_owned();
                return Ok(SendOutcome::Rejected { error, recipient_unknown: false });
            }
        };
        let mut connection = self.connection().await?;
        let answer = connection.deliver(from, to, &message.bytes, transmission).await;
        if answer.as_ref().map_or_else(Failure::leaves_connection, |_| true) {
            self.keep(connection);
        }
        let answer = answer?;
        let words: Vec<&str> = answer.message().collect();
        let reply = without(&words.join(" "), self.inner.settings.secret.as_deref());
        Ok(SendOutcome::Accepted {
            message_id: message.message_id.clone(),
            reply: format!("{} {reply}", answer.code()),
        })
    }

    /// An idle connection that still answers, else a new one.
    async fn connection(&self) -> Result<Connection, Failure> {
        while let Some(mut connection) = self.take_idle() {
            if connection.idle_for() < LONGEST_IDLE && connection.is_ready().await {
                return Ok(connection);
            }
        }
        Connection::open(&self.inner.settings, &self.inner.hello, self.timeouts).await
    }

    fn take_idle(&self) -> Option<Connection> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, mut connection: Connection) {
        connection.rest();
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    fn provider(&self) -> &'static str {
        "smtp"
    }

    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
        compose(email, identity, self.dkim.as_ref())
    }

    /// A server delivers whatever it takes.
    fn repeat_is_safe_for(&self) -> Duration {
        Duration::ZERO
    }

    /// What the body may take, and as much as an answer to a command for the log.
    fn longest_send(&self) -> Duration {
        self.timeouts.body.saturating_add(self.timeouts.command)
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        match self.deliver(message, transmission).await {
            Ok(outcome) => outcome,
            Err(failure) => failure.outcome(self.inner.settings.secret.as_deref()),
        }
    }
}

impl fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.inner.settings;
        let encryption = match settings.encryption {
            Encryption::StartTls(_) => "STARTTLS",
            Encryption::Implicit(_) => "implicit TLS",
            Encryption::None => "none",
        };
        f.debug_struct("SmtpMailer")
            .field("host", &settings.host)
            .field("port", &settings.port)
            .field("encryption", &encryption)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_server_and_neither_user_nor_password() {
        let mailer = SmtpMailer::from_url("smtp://us3r:s3cret@mail.example.com").unwrap();
        let shown = format!("{mailer:?}");
        assert_eq!(
            shown,
            r#"SmtpMailer { host: "mail.example.com", port: 587, encryption: "STARTTLS", .. }"#
        );
    }
}

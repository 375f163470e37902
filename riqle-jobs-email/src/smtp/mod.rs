//! SMTP (RFC 5321), phase by phase.

mod connection;
mod failure;
mod flow;
#[cfg(test)]
mod fuzz;
mod places;
mod refusal;
mod settings;
mod wire;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use lettre::transport::smtp::extension::ClientId;
use riqle_jobs_core::{
    Email, Error, Mailer, async_trait,
    email::{Deferral, MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
};

use self::{
    connection::Connection,
    failure::{Failure, without},
    flow::{Flow, NoTurn, Turn},
    places::LONGEST_IDLE,
    settings::{Encryption, Settings},
};
use crate::{
    compose::{address, compose},
    dkim::DkimKey,
};

/// Hands emails to an SMTP server. Clones share their connections, of which there are at most four
/// (`?connections=` of the URL).
///
/// What a send returns, and so what happens to the run:
///
/// | seen | [`SendOutcome`] | counts against |
/// |---|---|---|
/// | 2xx to the body | `Accepted`, with our Message-ID and the server's final reply | |
/// | no connection, I/O error, silence: before the body | `Away` | the run |
/// | 421 up to MAIL; 4.3.2; 4xx that says "too many", "rate limit", "server busy" and the like, but for 4.1.x and 4.2.x of a mailbox | `Deferred`, load | nothing |
/// | 452 to MAIL, but for 4.3.1, on a connection that has delivered | `Deferred`, load | nothing |
/// | no connection, or one that is closed before its greeting, while another is open | `Deferred`, load | nothing |
/// | 450, 451 from RCPT on with 4.7.x, 4.2.0 or no enhanced code (RFC 6647), but for those above and below | `Deferred`, greylisting | nothing |
/// | 5.4.5, 5.1.90, 5.7.232, 5.7.233, 5.7.705; "sending limit", "daily quota" and the like, not of a mailbox | `Deferred`, quota | nothing |
/// | any other 4xx | `Retry` | the run |
/// | a certificate that is not trusted or for another host, no TLS on that port, no STARTTLS where it is required | `Misconfigured` | nothing |
/// | no AUTH PLAIN or LOGIN where there is a password; 530, 534, 535, 538; 5xx before MAIL | `Misconfigured` | nothing |
/// | 5xx to MAIL, but for 552, 5.3.4 and 5.2.3 (the email's size) | `Misconfigured` | nothing |
/// | 4xx, 5xx with a code that says both (none, x.0.0, x.1.0, x.2.0, x.7.0, x.7.1) and the words "relay", "sender rejected", "not owned", "not verified", "send as", "DMARC" and the like; "Helo command rejected"; 5.1.7, 5.1.8, 5.2.252, 5.7.23 to 27, 57, 60, 64, 501 to 503, 509, 606 and 7xx | `Misconfigured` | nothing |
/// | RCPT 550, 551, 553 or 5.1.x | `Rejected`, recipient unknown | the email |
/// | any other 5xx from RCPT on | `Rejected` | the email |
/// | I/O error or silence from the first byte of the body to the final reply | `Unknown` | the run |
///
#[doc = include_str!("answers.md")]
///
/// Refusals for load are the mailer's affair, not the email's. A server that accepts no more emails on a
/// connection gets another connection at once, and its limit is remembered for an hour; one that accepts no
/// more connections keeps those that it has, and emails wait only for one of them; one that accepts none at
/// all, or no email for its rate, is tried again, by one email first, after pauses that grow from a second to
/// five minutes.
///
/// The error line names the phase, as in `SMTP RCPT TO: 550 5.1.1 no such user` or
/// `SMTP connect: no secure connection: invalid peer certificate: UnknownIssuer`. Neither it nor `Debug` ever
/// contains user or password.
///
/// The mailer itself sends nothing twice; it replaces a connection only if nothing of the email was accepted on
/// it.
#[derive(Clone)]
pub struct SmtpMailer {
    inner: Arc<Inner>,
    timeouts: SmtpTimeouts,
    dkim: Option<DkimKey>,
}

struct Inner {
    settings: Settings,
    hello: ClientId,
    flow: Arc<Flow<Connection>>,
}

/// How long to wait for a server in each phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmtpTimeouts {
    /// For one of the connections to become free. Default 30 s; then the email is deferred, without counting a
    /// failure.
    pub turn: Duration,
    /// For the connection. Default 30 s.
    pub connect: Duration,
    /// For the answer to a command. Default 60 s.
    pub command: Duration,
    /// From the first byte of the body to the final reply. Too short a limit sends an email twice: default 10
    /// minutes (RFC 5321, section 4.5.3.2.6), and not less than 2 except in tests.
    pub body: Duration,
}

impl Default for SmtpTimeouts {
    fn default() -> Self {
        Self {
            turn: Duration::from_secs(30),
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
    /// `Misconfigured` for any other URL, and for a root certificate that can't be read.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let (settings, dkim) = Settings::parse(url)?;
        let flow = Flow::new(settings.connections);
        let inner = Inner { settings, hello: ClientId::default(), flow };
        Ok(Self { inner: Arc::new(inner), timeouts: SmtpTimeouts::default(), dkim })
    }

    /// Signs the messages with this key instead of the URL's.
    #[cfg(feature = "dkim")]
    #[must_use]
    pub fn dkim(mut self, key: DkimKey) -> Self {
        self.dkim = Some(key);
        self
    }

    /// Sets the timeouts, from the next connection on.
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

    /// Connects, encrypts and logs in: returns what the server offers, or what a send would return.
    #[cfg(feature = "doctor")]
    pub(crate) async fn offers(&self) -> Result<String, SendOutcome> {
        let settings = &self.inner.settings;
        let connection = self.connection(Instant::now() + self.timeouts.turn).await?;
        let login = if settings.credentials.is_some() { "accepts user and password" } else { "no login" };
        let privacy =
            if self.is_private() { "encrypted, the certificate is trusted" } else { "not encrypted" };
        let offers = format!("{}; {privacy}; {login}", connection.name());
        self.keep(connection);
        Ok(without(&offers, self.secret()))
    }

    async fn deliver(
        &self,
        message: &OutgoingMessage,
        transmission: &Transmission,
    ) -> Result<SendOutcome, SendOutcome> {
        let (from, to) = match (address(&message.from), address(&message.to)) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(error), _) | (_, Err(error)) => {
                let error = error.message().to_owned();
                return Err(SendOutcome::Rejected { error, recipient_unknown: false });
            }
        };
        let flow = &self.inner.flow;
        let deadline = Instant::now() + self.timeouts.turn;
        // After how many emails the connection before this one was refused another.
        let mut refused_after = None;
        loop {
            let mut connection = self.connection(deadline).await?;
            let emails = connection.emails();
            let delivered = connection.deliver(from.clone(), to.clone(), &message.bytes, transmission).await;
            if let Some(most) = refused_after.take_if(|_| connection.emails() > emails) {
                // A new connection takes the same email: that was a limit of the connection.
                flow.takes_no_more_than(most, Instant::now());
            }
            let failure = match delivered {
                Ok(answer) => {
                    connection.serves();
                    self.keep(connection);
                    let words: Vec<&str> = answer.message().collect();
                    let reply = without(&words.join(" "), self.secret());
                    return Ok(SendOutcome::Accepted {
                        message_id: message.message_id.clone(),
                        reply: format!("{} {reply}", answer.code()),
                    });
                }
                Err(failure) => failure,
            };
            if !failure.is_load_of_the_connection(emails) {
                let outcome = failure.outcome(self.secret());
                let is_load = matches!(outcome, SendOutcome::Deferred { by: Deferral::Load, .. });
                if !is_load {
                    connection.serves();
                }
                if failure.leaves_connection() {
                    self.keep(connection);
                }
                // Its rate is everybody's.
                return Err(match is_load {
                    true => self.put_off(&failure, flow.pause(Instant::now())),
                    false => outcome,
                });
            }
            let number = connection.number();
            connection.close().await;
            if emails > 0 {
                refused_after = Some(emails);
            } else if !flow.one_too_many(number, Instant::now()) {
                return Err(self.put_off(&failure, flow.pause(Instant::now())));
            }
        }
    }

    /// An idle connection that still answers, else a new one.
    async fn connection(&self, deadline: Instant) -> Result<Connection, SendOutcome> {
        let Inner { settings, hello, flow } = &*self.inner;
        loop {
            let place = match flow.turn(deadline).await {
                Ok(Turn::Idle(mut connection)) => {
                    if connection.idle_for() < LONGEST_IDLE && connection.is_ready().await {
                        return Ok(connection);
                    }
                    continue;
                }
                Ok(Turn::Open(place)) => place,
                Err(NoTurn::Away) => {
                    let error = format!("SMTP connect: no connection within {:?}", self.timeouts.turn);
                    return Err(SendOutcome::Away { error });
                }
                Err(NoTurn::Later(after)) => {
                    let error = "SMTP: no connection became free in time".to_owned();
                    return Err(SendOutcome::Deferred { by: Deferral::Load, error, after: Some(after) });
                }
            };
            let number = place.number();
            let opened = Connection::open(settings, hello, self.timeouts, Arc::clone(&place)).await;
            let failure = match opened {
                Ok(connection) => return Ok(connection),
                Err(failure) => failure,
            };
            let is_load = failure.is_load_of_the_connection(0);
            if is_load || failure.is_no_connection() {
                flow.failed(number, deadline).await;
                if flow.one_too_many(number, Instant::now()) {
                    continue;
                }
            }
            if is_load {
                return Err(self.put_off(&failure, flow.pause(Instant::now())));
            }
            // Away, or misconfigured: that is no load.
            flow.resume();
            return Err(failure.outcome(self.secret()));
        }
    }

    fn put_off(&self, failure: &Failure, after: Duration) -> SendOutcome {
        match failure.outcome(self.secret()) {
            SendOutcome::Deferred { by, error, .. } => {
                SendOutcome::Deferred { by, error, after: Some(after) }
            }
            other => other,
        }
    }

    /// Keeps a connection for the next email, unless the server would refuse that.
    fn keep(&self, mut connection: Connection) {
        let flow = &self.inner.flow;
        if !connection.is_quiet() {
            // What was said out of turn would be taken for the next answer.
        } else if flow.is_used_up(connection.emails(), Instant::now()) {
            // Nobody waits for that: the email is taken, and that must be recorded.
            tokio::spawn(connection.close());
        } else {
            connection.rest();
            flow.keep(connection);
        }
    }

    fn secret(&self) -> Option<&str> {
        self.inner.settings.secret.as_deref()
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

    fn signing_key(&self) -> Option<String> {
        self.dkim.as_ref().map(|key| key.digest().to_owned())
    }

    /// A server delivers whatever it accepts, repeats included.
    fn repeat_is_safe_for(&self) -> Duration {
        Duration::ZERO
    }

    /// The time for the body, plus that of one command for the log.
    fn longest_send(&self) -> Duration {
        self.timeouts.body.saturating_add(self.timeouts.command)
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        self.deliver(message, transmission).await.unwrap_or_else(|outcome| outcome)
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

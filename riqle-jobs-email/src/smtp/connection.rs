//! A conversation with an SMTP server: opened, used for one email after another, closed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lettre::{
    Address,
    transport::smtp::{
        self,
        authentication::Mechanism,
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt, Rset, Starttls},
        extension::ClientId,
        response::{Response, Severity},
    },
};
use riqle_jobs_core::{email::Transmission, first_to_answer};
use tokio::net::TcpStream;

use super::{
    SmtpTimeouts,
    failure::{Failure, Phase, What},
    flow::Place,
    settings::{Encryption, Settings},
    wire::Wire,
};
use crate::tls::{Tls, tls_error};

/// In order of preference; XOAUTH2 takes tokens that a URL can't hold.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// A conversation with a server, between two emails.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    wire: Wire,
    timeouts: SmtpTimeouts,
    /// How many emails the server has judged on it.
    emails: u32,
    idle_since: Instant,
    /// The last to be dropped: only then the connection is closed.
    place: Arc<Place<Connection>>,
}

impl Connection {
    /// Connects, encrypts and authenticates as the settings say.
    pub(super) async fn open(
        settings: &Settings,
        hello: &ClientId,
        timeouts: SmtpTimeouts,
        place: Arc<Place<Connection>>,
    ) -> Result<Self, Failure> {
        let wire = Wire::new(connect(settings, timeouts.connect).await?);
        if let Encryption::Implicit(tls) = &settings.encryption {
            encrypt(Phase::Connect, &wire, tls, timeouts.connect).await?;
        }
        let mut smtp = greet(&wire, hello, timeouts.command).await?;
        place.accepted();
        if let Encryption::StartTls(tls) = &settings.encryption {
            if !smtp.can_starttls() {
                return Err(lacks(Phase::StartTls, "STARTTLS, which the settings require"));
            }
            within(Phase::StartTls, timeouts.command, smtp.command(Starttls)).await?;
            if wire.has_unread() {
                let what = What::NotPrivate(
                    "the server sent data between STARTTLS and the TLS handshake".to_owned(),
                );
                return Err(Failure { phase: Phase::StartTls, what });
            }
            encrypt(Phase::StartTls, &wire, tls, timeouts.connect).await?;
            wire.greets_again();
            smtp = greet(&wire, hello, timeouts.command).await?;
        }
        let idle_since = Instant::now();
        let mut connection = Self { smtp, wire, timeouts, emails: 0, idle_since, place };
        connection.authenticate(settings).await?;
        Ok(connection)
    }

    async fn authenticate(&mut self, settings: &Settings) -> Result<(), Failure> {
        let Some(credentials) = &settings.credentials else { return Ok(()) };
        if self.smtp.server_info().get_auth_mechanism(&MECHANISMS).is_none() {
            return Err(lacks(Phase::Auth, "AUTH PLAIN or LOGIN, which user and password need"));
        }
        within(Phase::Auth, self.timeouts.command, self.smtp.auth(&MECHANISMS, credentials)).await?;
        Ok(())
    }

    /// What the server calls itself.
    #[cfg(feature = "doctor")]
    pub(super) fn name(&self) -> &str {
        self.smtp.server_info().name()
    }

    /// From now on it waits for the next email.
    pub(super) fn rest(&mut self) {
        self.idle_since = Instant::now();
    }

    /// How long it has waited.
    pub(super) fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }

    /// How many emails the server has judged on it.
    pub(super) fn emails(&self) -> u32 {
        self.emails
    }

    /// The server has judged an email, and not put it off for its load.
    pub(super) fn serves(&self) {
        self.place.serves(Instant::now());
    }

    /// That of its place.
    pub(super) fn number(&self) -> u64 {
        self.place.number()
    }

    /// Whether the server is there, and has sent nothing unasked.
    pub(super) fn is_quiet(&self) -> bool {
        self.wire.is_quiet()
    }

    /// Whether the server is still there and ready for a new email (RFC 5321, section 4.1.1.5).
    pub(super) async fn is_ready(&mut self) -> bool {
        let limit = self.timeouts.command.min(Duration::from_secs(5));
        self.is_quiet() && within(Phase::MailFrom, limit, self.smtp.command(Rset)).await.is_ok_and(is_done)
    }

    /// Takes leave, and waits until the server has closed: until then it counts the connection.
    pub(super) async fn close(mut self) {
        let leave = async {
            let _ = self.smtp.quit().await;
            self.wire.until_closed().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), leave).await;
    }

    /// Hands over one email; returns the server's last words.
    pub(super) async fn deliver(
        &mut self,
        from: Address,
        to: Address,
        bytes: &[u8],
        transmission: &Transmission,
    ) -> Result<Response, Failure> {
        // Addresses and body are ASCII, so neither SMTPUTF8 nor 8BITMIME is needed.
        let mail = self.say(Phase::MailFrom, Mail::new(Some(from), vec![])).await?;
        expect(Phase::MailFrom, &mail, Severity::PositiveCompletion)?;
        self.emails = self.emails.saturating_add(1);
        let rcpt = self.say(Phase::RcptTo, Rcpt::new(to, vec![])).await?;
        expect(Phase::RcptTo, &rcpt, Severity::PositiveCompletion)?;
        let data = self.say(Phase::Data, Data).await?;
        expect(Phase::Data, &data, Severity::PositiveIntermediate)?;

        check_quiet(Phase::Data, self.is_quiet())?;
        transmission
            .body_begins()
            .await
            .map_err(|error| Failure { phase: Phase::Data, what: What::Held(error.to_string()) })?;
        // Recording took a while, and nothing has been sent yet.
        check_quiet(Phase::Data, self.is_quiet())?;
        // lettre ends the last line itself.
        let body = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
        let answer = within(Phase::Body, self.timeouts.body, self.smtp.message(body)).await?;
        expect(Phase::Body, &answer, Severity::PositiveCompletion)?;
        Ok(answer)
    }

    async fn say(&mut self, phase: Phase, command: impl std::fmt::Display) -> Result<Response, Failure> {
        check_quiet(phase, self.is_quiet())?;
        within(phase, self.timeouts.command, self.smtp.command(command)).await
    }
}

async fn connect(settings: &Settings, limit: Duration) -> Result<TcpStream, Failure> {
    let failed = |what| Failure { phase: Phase::Connect, what };
    let stream = tokio::time::timeout(limit, first_to_answer::connect(&settings.host, settings.port))
        .await
        .map_err(|_| failed(What::Silent(limit)))?
        .map_err(|error| failed(What::Broken(error.to_string())))?;
    // A conversation of short lines; without it each would wait for the one before to be acknowledged.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn encrypt(phase: Phase, wire: &Wire, tls: &Tls, limit: Duration) -> Result<(), Failure> {
    let what = match tokio::time::timeout(limit, wire.encrypt(tls)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => match tls_error(&error) {
            Some(error) => What::NotPrivate(error.to_string()),
            None => What::Broken(error.to_string()),
        },
        Err(_) => What::Silent(limit),
    };
    Err(Failure { phase, what })
}

/// Reads the server's greeting and says EHLO.
async fn greet(wire: &Wire, hello: &ClientId, limit: Duration) -> Result<AsyncSmtpConnection, Failure> {
    let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(wire.clone()), hello);
    within(Phase::Greeting, limit, greeting).await
}

async fn within<T>(
    phase: Phase,
    limit: Duration,
    work: impl Future<Output = Result<T, smtp::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|error| Failure::of(phase, &error)),
        Err(_) => Err(Failure { phase, what: What::Silent(limit) }),
    }
}

/// A positive answer of the wrong kind: the two sides no longer speak of the same thing.
fn expect(phase: Phase, answer: &Response, severity: Severity) -> Result<(), Failure> {
    if answer.code().severity == severity {
        return Ok(());
    }
    Err(Failure { phase, what: What::Broken(format!("the server answered {} out of turn", answer.code())) })
}

/// One that talks out of turn, or has closed, would answer each command with what belongs to another.
fn check_quiet(phase: Phase, is_quiet: bool) -> Result<(), Failure> {
    if is_quiet {
        return Ok(());
    }
    let what = What::Broken("the server closed the connection, or spoke out of turn".to_owned());
    Err(Failure { phase, what })
}

fn is_done(answer: Response) -> bool {
    answer.code().severity == Severity::PositiveCompletion
}

fn lacks(phase: Phase, ability: &'static str) -> Failure {
    Failure { phase, what: What::Lacks(ability) }
}

use std::time::{Duration, Instant};

use lettre::{
    Address,
    transport::smtp::{
        self,
        authentication::Mechanism,
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::ClientId,
        response::{Response, Severity},
    },
};
use riqle_jobs_core::email::Transmission;
use tokio::net::TcpStream;

use super::{
    SmtpTimeouts,
    failure::{Failure, Phase, What},
    line_wise::LineWise,
    settings::{Encryption, Settings},
};

/// In order of preference; XOAUTH2 takes tokens that a URL can't hold.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// A conversation with a server, between two emails.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    timeouts: SmtpTimeouts,
    idle_since: Instant,
}

impl Connection {
    /// Connects, encrypts and authenticates as the settings say.
    pub(super) async fn open(
        settings: &Settings,
        hello: &ClientId,
        timeouts: SmtpTimeouts,
    ) -> Result<Self, Failure> {
        let smtp = match &settings.encryption {
            Encryption::Implicit(tls) => connect_with_tls(settings, tls, hello, timeouts).await?,
            Encryption::StartTls(tls) => {
                let mut smtp = connect(settings, hello, timeouts).await?;
                if !smtp.can_starttls() {
                    return Err(lacks(Phase::StartTls, "STARTTLS, which the settings require"));
                }
                within(Phase::StartTls, timeouts.command, smtp.starttls(tls.clone(), hello)).await?;
                smtp
            }
            Encryption::None => connect(settings, hello, timeouts).await?,
        };
        let mut connection = Self { smtp, timeouts, idle_since: Instant::now() };
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

    /// Whether the server is still there and ready for a new email (RFC 5321, section 4.1.1.5).
    pub(super) async fn is_ready(&mut self) -> bool {
        let limit = self.timeouts.command.min(Duration::from_secs(5));
        let reset = within(Phase::MailFrom, limit, self.smtp.command(Rset)).await;
        reset.is_ok_and(|answer| answer.code().severity == Severity::PositiveCompletion)
    }

    /// Hands over one email; answers with the server's last words.
    pub(super) async fn deliver(
        &mut self,
        from: Address,
        to: Address,
        bytes: &[u8],
        transmission: &Transmission,
    ) -> Result<Response, Failure> {
        let limit = self.timeouts.command;
        // Addresses and body are ASCII, so neither SMTPUTF8 nor 8BITMIME is needed.
        let mail = within(Phase::MailFrom, limit, self.smtp.command(Mail::new(Some(from), vec![]))).await?;
        expect(Phase::MailFrom, &mail, Severity::PositiveCompletion)?;
        let rcpt = within(Phase::RcptTo, limit, self.smtp.command(Rcpt::new(to, vec![]))).await?;
        expect(Phase::RcptTo, &rcpt, Severity::PositiveCompletion)?;
        let data = within(Phase::Data, limit, self.smtp.command(Data)).await?;
        expect(Phase::Data, &data, Severity::PositiveIntermediate)?;

        transmission
            .body_begins()
            .await
            .map_err(|error| Failure { phase: Phase::Data, what: What::Held(error.to_string()) })?;
        // lettre ends the last line itself.
        let body = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
        let answer = within(Phase::Body, self.timeouts.body, self.smtp.message(body)).await?;
        expect(Phase::Body, &answer, Severity::PositiveCompletion)?;
        Ok(answer)
    }
}

async fn connect(
    settings: &Settings,
    hello: &ClientId,
    timeouts: SmtpTimeouts,
) -> Result<AsyncSmtpConnection, Failure> {
    let server = (settings.host.as_str(), settings.port);
    let failed = |what| Failure { phase: Phase::Connect, what };
    let stream = tokio::time::timeout(timeouts.connect, TcpStream::connect(server))
        .await
        .map_err(|_| failed(What::Silent(timeouts.connect)))?
        .map_err(|error| failed(What::Broken(error.to_string())))?;
    // A conversation of short lines; without it each would wait for the one before to be acknowledged.
    let _ = stream.set_nodelay(true);
    let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(LineWise::new(stream)), hello);
    within(Phase::Greeting, timeouts.command, greeting).await
}

/// lettre connects, shakes hands and says EHLO in one; which of them failed is told by the error.
async fn connect_with_tls(
    settings: &Settings,
    tls: &TlsParameters,
    hello: &ClientId,
    timeouts: SmtpTimeouts,
) -> Result<AsyncSmtpConnection, Failure> {
    let server = (settings.host.as_str(), settings.port);
    let (limit, tls) = (Some(timeouts.connect), Some(tls.clone()));
    let connect = AsyncSmtpConnection::connect_tokio1(server, limit, hello, tls, None);
    within(Phase::Connect, timeouts.connect.saturating_add(timeouts.command), connect).await.map_err(
        |failure| match failure.what {
            What::Refused(..) => Failure { phase: Phase::Greeting, ..failure },
            _ => failure,
        },
    )
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
    Err(Failure { phase, what: What::Broken(format!("the server answers {} out of turn", answer.code())) })
}

fn lacks(phase: Phase, ability: &'static str) -> Failure {
    Failure { phase, what: What::Lacks(ability) }
}

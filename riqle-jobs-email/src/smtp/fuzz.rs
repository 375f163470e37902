//! What must hold for any words of a server (`cargo xtask fuzz`).

use std::time::Duration;

use lettre::transport::smtp::response::Response;
use riqle_jobs_conformance::fuzz;
use riqle_jobs_core::{
    Mailer,
    email::{OutgoingMessage, SendOutcome, Transmission},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

use super::{
    SmtpMailer, SmtpTimeouts,
    failure::{Failure, Phase, What},
    wire::take_reply,
};

const PASSWORD: &str = "s3cret";

/// The code of a reply of one line or more, by the grammar (RFC 5321, section 4.2).
fn code_of(reply: &str) -> Option<u16> {
    let lines: Vec<&str> = reply.strip_suffix("\r\n")?.split("\r\n").collect();
    let (last, before) = lines.split_last()?;
    let code =
        last.get(..3).filter(|code| matches!(code.as_bytes(), [b'2'..=b'5', b'0'..=b'5', b'0'..=b'9']))?;
    let ends = last.len() == 3 || last.as_bytes().get(3) == Some(&b' ');
    let goes_on = |line: &&str| line.starts_with(code) && line.as_bytes().get(3) == Some(&b'-');
    (ends && before.iter().all(goes_on)).then(|| code.parse().ok())?
}

#[test]
fn a_reply_that_the_grammar_allows_is_read_by_its_code_and_no_other_is() {
    fuzz!(|bytes| {
        let mut ahead = bytes.to_vec();
        let Ok(Some(reply)) = take_reply(&mut ahead) else { return };
        assert!(bytes.ends_with(&ahead) && ahead.len() < bytes.len());
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.ends_with("\r\n") && reply.len() <= 100 * 1_000, "{reply:?}");
        let read = reply.parse::<Response>();
        let taken = &bytes[..bytes.len() - ahead.len()];
        let sent = String::from_utf8_lossy(taken).replace("\r\n", "\n").replace('\n', "\r\n");
        assert_eq!(read.ok().map(|read| u16::from(read.code())), code_of(&sent), "{sent:?} as {reply:?}");
    });
}

#[test]
fn a_refusal_is_no_success_and_its_line_shows_no_password() {
    fuzz!(|bytes| {
        let [phase, high, low, text @ ..] = bytes else { return };
        let phase = Phase::ALL[usize::from(*phase) % Phase::ALL.len()];
        let code = 400 + (u16::from(*high) * 256 + u16::from(*low)) % 200;
        let text = String::from_utf8_lossy(text);
        let outcome = Failure { phase, what: What::Refused(code, text.to_string()) }.outcome(Some(PASSWORD));
        let error = match &outcome {
            SendOutcome::Accepted { .. } | SendOutcome::Unknown { .. } | SendOutcome::Away { .. } => {
                panic!("{code} in {phase} is {outcome:?}")
            }
            SendOutcome::Rejected { error, .. } => {
                assert!(code >= 500 && phase >= Phase::MailFrom, "{code} in {phase} is {outcome:?}");
                error
            }
            SendOutcome::Misconfigured { error }
            | SendOutcome::Deferred { error, .. }
            | SendOutcome::Retry { error, .. } => error,
        };
        assert!(error.starts_with(&phase.to_string()) && !error.contains(PASSWORD), "{error}");
        assert!(!error.contains(char::is_control) && error.chars().count() < 300, "{error}");
    });
}

/// How a conversation went, as the server saw it.
#[derive(Default)]
struct Seen {
    /// The body came, whole.
    has_body: bool,
    /// The code of what was answered to that, and whether nothing was behind it.
    answer: Option<u16>,
    is_alone: bool,
}

/// Says its lines, one for each of the client's, and leaves after the last, or where its line is no whole reply.
async fn serve<'a>(
    stream: TcpStream,
    says: &mut impl Iterator<Item = &'a [u8]>,
    seen: &mut Seen,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut is_body) = (Vec::new(), false);
    loop {
        let said = says.next()?;
        stream.write_all(said).await.ok()?;
        if line == b".\r\n" && is_body {
            is_body = false;
            seen.has_body = true;
            let mut ahead = said.to_vec();
            let reply = take_reply(&mut ahead).ok().flatten().and_then(|reply| String::from_utf8(reply).ok());
            seen.answer = reply.and_then(|reply| code_of(&reply));
            seen.is_alone = ahead.is_empty();
        }
        is_body |= line.eq_ignore_ascii_case(b"data\r\n") && said.first() == Some(&b'3');
        let _whole = take_reply(&mut said.to_vec()).ok()??;
        loop {
            line.clear();
            if stream.read_until(b'\n', &mut line).await.ok()? == 0 || line.starts_with(b"QUIT") {
                return None;
            }
            if !is_body || line == b".\r\n" {
                break;
            }
        }
    }
}

#[test]
fn no_conversation_ends_with_an_email_that_is_taken_and_counts_as_refused_nor_the_other_way_round() {
    fuzz!(|bytes| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let limit = Duration::from_secs(2);
        let timeouts =
            SmtpTimeouts { turn: Duration::from_millis(20), connect: limit, command: limit, body: limit };
        let mailer = SmtpMailer::from_url(&format!("smtp://user:{PASSWORD}@127.0.0.1:{port}?tls=none"));
        let mailer = mailer.unwrap().timeouts(timeouts);
        let message = OutgoingMessage {
            from: "orders@riqle.com".to_owned(),
            to: "ada@example.com".to_owned(),
            key: "key-1".to_owned(),
            message_id: "<1@riqle.com>".to_owned(),
            bytes: b"Subject: Hello\r\n\r\n.\r\nHello\r\n".to_vec(),
        };
        let mut says = bytes.split(|byte| *byte == b'|');
        let mut seen = Seen::default();
        let outcome = runtime.block_on(async {
            let served = async {
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    serve(stream, &mut says, &mut seen).await;
                }
            };
            tokio::select! {
                biased;
                outcome = async { mailer.send(&message, &Transmission::unrecorded()).await } => outcome,
                () = served => unreachable!("it serves without end"),
            }
        });
        let error = match &outcome {
            SendOutcome::Accepted { reply, .. } => {
                assert!(seen.has_body && matches!(seen.answer, Some(200..=299)), "{outcome:?}");
                reply
            }
            SendOutcome::Unknown { error } => error,
            SendOutcome::Rejected { error, .. }
            | SendOutcome::Misconfigured { error }
            | SendOutcome::Deferred { error, .. }
            | SendOutcome::Retry { error, .. }
            | SendOutcome::Away { error } => {
                assert!(!seen.is_alone || !matches!(seen.answer, Some(200..=299)), "{outcome:?}");
                error
            }
        };
        assert!(!error.contains(PASSWORD) && !error.contains(char::is_control), "{error}");
    });
}

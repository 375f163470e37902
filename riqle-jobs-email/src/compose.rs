//! Writes an email as a message of RFC 5322.

use std::time::{Duration, UNIX_EPOCH};

use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Mailbox as LettreMailbox, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use riqle_jobs_core::{
    Email, Error, ErrorKind, Mailbox,
    email::{MessageIdentity, ascii_address, visible_text},
};
use sha2::{Digest, Sha256};

use crate::dkim::DkimKey;

/// A header line holds at most 998 characters (RFC 5322, section 2.1.1); a value without spaces can't be folded.
const LONGEST_HEADER_VALUE: usize = 900;

/// Writes an email as a message of RFC 5322 with both parts as multipart/alternative (RFC 2046, section 5.1.4),
/// 7-bit, lines ended by CRLF. A pure function: equal arguments give equal bytes.
///
/// With a key it is signed; the signature tells the time at which that was done, so the bytes differ then.
///
/// # Errors
/// `Rejected` for an address or a header that can't be written.
pub(crate) fn compose(
    email: &Email,
    identity: &MessageIdentity,
    dkim: Option<&DkimKey>,
) -> Result<Vec<u8>, Error> {
    // lettre panics on years before 1970 and after 9999; the latest timestamp is in 9999.
    let seconds = u64::try_from(identity.date.as_second()).unwrap_or(0);
    let (from, to) = (mailbox(&email.from)?, mailbox(&email.to)?);
    // lettre would read the addresses from the headers again, by its own notion of them.
    let envelope = Envelope::new(Some(from.email.clone()), vec![to.email.clone()])
        .map_err(|error| rejected("an address is not valid").caused_by(error))?;
    let mut builder = Message::builder()
        .envelope(envelope)
        .from(from)
        .to(to)
        .subject(plain(&email.subject))
        .date(UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(message_id(identity)?))
        // RFC 3834: so that out-of-office replies and the like leave it alone.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(reply_to) = &email.reply_to {
        builder = builder.reply_to(mailbox(reply_to)?);
    }
    for (name, value) in &email.headers {
        builder = builder.raw_header(header(name, value)?);
    }
    let body = MultiPart::alternative()
        .boundary(boundary(identity))
        .singlepart(part(ContentType::TEXT_PLAIN, &email.text))
        .singlepart(part(ContentType::TEXT_HTML, &email.html));
    let mut message =
        builder.multipart(body).map_err(|error| rejected("the email is incomplete").caused_by(error))?;
    if let Some(key) = dkim {
        key.sign(&mut message);
    }
    Ok(message.formatted())
}

/// An address for an envelope or a header, as [`ascii_address`] says. lettre's own check is not asked: it knows no address
/// such as `""@example.com`.
///
/// # Errors
/// `Rejected` if it is none, or if the part before the `@` is not ASCII (that takes SMTPUTF8, RFC 6531).
pub(crate) fn address(address: &str) -> Result<Address, Error> {
    let address = ascii_address(address)?;
    let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
    Ok(Address::new_dangerous(local, domain))
}

pub(crate) fn mailbox(mailbox: &Mailbox) -> Result<LettreMailbox, Error> {
    // lettre panics on control characters in a name.
    let name = mailbox.name.as_deref().map(plain).filter(|name| !name.is_empty());
    Ok(LettreMailbox::new(name, address(&mailbox.address)?))
}

/// Text of a user that a header shows as it is: a reader would decode what begins as an encoded word (RFC 2047), and show
/// what [`visible_text`] drops.
pub(crate) fn plain(text: &str) -> String {
    visible_text(text).replace("=?", "= ?")
}

fn message_id(identity: &MessageIdentity) -> Result<String, Error> {
    let inner = identity.message_id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or_default();
    let legal = inner.len() <= 250
        && inner.contains('@')
        && inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>');
    if !legal {
        return Err(rejected("the Message-ID is not of the form <id@domain> in ASCII"));
    }
    Ok(identity.message_id.clone())
}

/// One of the email's own headers. lettre would take line ends in a name, which injects headers.
pub(crate) fn header(name: &str, value: &str) -> Result<HeaderValue, Error> {
    let lower = name.to_ascii_lowercase();
    let ours = [
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "auto-submitted",
        "return-path",
        "received",
        "dkim-signature",
        // By this an email is found again whose id at Resend never came.
        "x-entity-ref-id",
    ];
    if ours.contains(&&*lower) || lower.starts_with("content-") || lower.starts_with("resent-") {
        return Err(rejected(&format!("header {name:?} can't be set")));
    }
    let illegal = || rejected(&format!("header {name:?} is not valid"));
    let legal_name = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !legal_name || value.len() > LONGEST_HEADER_VALUE || value.chars().any(char::is_control) {
        return Err(illegal());
    }
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| illegal())?;
    Ok(HeaderValue::new(name, value.to_owned()))
}

/// `=_` is in no line of quoted-printable text (RFC 2045, section 6.7), so no body can hold it.
fn boundary(identity: &MessageIdentity) -> String {
    format!("=_riqle_{}", &hex(&Sha256::digest(format!("boundary {}", identity.key)))[..32])
}

fn part(content_type: ContentType, text: &str) -> SinglePart {
    SinglePart::builder()
        .header(content_type)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(text.to_owned())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn rejected(message: &str) -> Error {
    Error::new(ErrorKind::Rejected, "compose", message)
}

#[cfg(test)]
pub(crate) mod tests {
    use riqle_jobs_core::from_millis;

    use super::*;

    pub(crate) fn email() -> Email {
        let mailbox = |text| Mailbox::parse(text).unwrap();
        let (html, text) = ("<p>Grüße</p>\n".to_owned(), "Grüße\n.\nFrom here\n".to_owned());
        Email::new(
            "note",
            mailbox("Riqle <orders@riqle.com>"),
            mailbox("ada@example.com"),
            "Héllo",
            html,
            text,
        )
    }

    pub(crate) fn identity() -> MessageIdentity {
        let date = from_millis(1_790_000_000_123);
        MessageIdentity::new("key-1".to_owned(), &email().from, date)
    }

    fn text(email: &Email) -> String {
        String::from_utf8(compose(email, &identity(), None).unwrap()).unwrap()
    }

    #[test]
    fn a_message_is_the_same_to_the_byte_each_time() {
        let mut email = email();
        email.reply_to = Some(Mailbox::parse("Help <help@riqle.com>").unwrap());
        email.headers.insert("List-Unsubscribe".to_owned(), "<https://riqle.com/u/1>".to_owned());
        assert_eq!(
            text(&email),
            "From: Riqle <orders@riqle.com>\r\n\
             To: ada@example.com\r\n\
             Subject: =?utf-8?b?SMOpbGxv?=\r\n\
             Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n\
             Message-ID: <be2974546978e3739e6d6da85c4be9f3@riqle.com>\r\n\
             Auto-Submitted: auto-generated\r\n\
             Reply-To: Help <help@riqle.com>\r\n\
             List-Unsubscribe: <https://riqle.com/u/1>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/alternative;\r\n \
             boundary=\"=_riqle_670a70a8398d79bf42eb049f7138cc0d\"\r\n\
             \r\n\
             --=_riqle_670a70a8398d79bf42eb049f7138cc0d\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\
             \r\n\
             Gr=C3=BC=C3=9Fe\r\n\
             .\r\n\
             From here\r\n\
             \r\n\
             --=_riqle_670a70a8398d79bf42eb049f7138cc0d\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\
             \r\n\
             <p>Gr=C3=BC=C3=9Fe</p>\r\n\
             \r\n\
             --=_riqle_670a70a8398d79bf42eb049f7138cc0d--\r\n"
        );
    }

    #[test]
    fn line_ends_in_names_and_subjects_inject_no_header() {
        let mut email = email();
        email.to.name = Some("x\r\nBcc: eve@example.com".to_owned());
        email.subject = "x\r\nBcc: eve@example.com".to_owned();
        email.from.name = Some("\u{0}\u{202e}".to_owned());
        let text = text(&email);
        assert!(!text.contains("\nBcc"), "{text}");
        assert!(text.contains("Subject: x Bcc: eve@example.com\r\n"));
        assert!(text.starts_with("From: orders@riqle.com\r\n"));
    }

    #[test]
    fn an_encoded_word_of_a_user_is_not_decoded() {
        let mut email = email();
        email.subject = "=?utf-8?q?=E2=80=AEx?= ==?y".to_owned();
        email.to.name = Some("=?utf-8?b?QWRh?=".to_owned());
        let text = text(&email);
        assert!(text.contains("\r\nSubject: = ?utf-8?q?=E2=80=AEx?= == ?y\r\n"), "{text}");
        // As lettre writes `= ?utf-8?b?QWRh?=`.
        assert!(
            text.contains("\r\nTo: =?utf-8?b?PSA/dXRmLTg/Yj9RV1JoPz0=?= <ada@example.com>\r\n"),
            "{text}"
        );
    }

    #[test]
    fn headers_and_addresses_that_could_inject_are_refused() {
        let long = "x".repeat(1000);
        for (name, value) in [
            ("X-A\r\nBcc: eve@example.com\r\nX-B", "1"),
            ("X-A", "1\r\nBcc: eve@example.com"),
            ("X A", "1"),
            ("X:A", "1"),
            ("", "1"),
            ("X-Ä", "1"),
            ("Bcc", "eve@example.com"),
            ("content-TYPE", "text/plain"),
            ("X-A", &long),
        ] {
            let mut email = email();
            email.headers.insert(name.to_owned(), value.to_owned());
            assert_eq!(
                compose(&email, &identity(), None).unwrap_err().kind(),
                ErrorKind::Rejected,
                "{name:?}"
            );
        }
        for address in
            ["a@b\r\nBcc: eve@example.com", "a b@c.de", "a@", "@b.de", "ä@b.de", "a@b.de>", "ab.de"]
        {
            let mut email = email();
            email.to.address = address.to_owned();
            assert_eq!(
                compose(&email, &identity(), None).unwrap_err().kind(),
                ErrorKind::Rejected,
                "{address:?}"
            );
        }
        for id in ["", "<a>", "a@b", "<a@b>\r\nBcc: x", "<a @b>", "<a@ä>"] {
            let identity = MessageIdentity { message_id: id.to_owned(), ..identity() };
            assert_eq!(compose(&email(), &identity, None).unwrap_err().kind(), ErrorKind::Rejected, "{id:?}");
        }
    }

    #[test]
    fn a_domain_of_other_letters_is_written_in_ascii() {
        let mut email = email();
        email.to.address = "ada@bücher.example".to_owned();
        assert!(text(&email).contains("\r\nTo: ada@xn--bcher-kva.example\r\n"));
    }

    #[test]
    fn dates_beyond_what_a_header_holds_are_bounded() {
        for (date, shown) in [
            (jiff::Timestamp::MIN, "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"),
            (jiff::Timestamp::MAX, "Date: Thu, 30 Dec 9999 22:00:00 +0000\r\n"),
        ] {
            let identity = MessageIdentity { date, ..identity() };
            let bytes = compose(&email(), &identity, None).unwrap();
            assert!(String::from_utf8(bytes).unwrap().contains(shown), "{shown}");
        }
    }

    #[test]
    fn every_line_is_short_seven_bit_and_ended_by_crlf() {
        let mut email = email();
        email.html = "<td>ä</td>".repeat(5000);
        email.text = "x".repeat(5000);
        let text = text(&email);
        assert!(text.is_ascii());
        assert!(text.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])));
    }
}

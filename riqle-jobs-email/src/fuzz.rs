//! What must hold for any email, and for any URL of a mailer (`cargo xtask fuzz`).

use std::error::Error as StdError;

use mail_parser::MessageParser;
use riqle_jobs_conformance::fuzz;
use riqle_jobs_core::{Email, ErrorKind, Mailbox};

use crate::{
    compose::{compose, plain, tests::identity},
    mailer_from_url,
};

const HEADERS: &[&str] = &[
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
];

/// An email of these lines: subject, names of sender, recipient and who is replied to, address, header, then the body.
fn email(text: &str) -> Email {
    let mut lines = text.splitn(8, '|');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (subject, from, to, reply_to, address) = (line(), line(), line(), line(), line());
    let mailbox = |name: String, address: &str| Mailbox { name: Some(name), address: address.to_owned() };
    let (name, value, body) = (line(), line(), line());
    let (from, to) = (mailbox(from, "orders@riqle.com"), mailbox(to, &address));
    let mut email = Email::new("note", from, to, "", body.clone(), body);
    email.subject = subject;
    email.reply_to = Some(mailbox(reply_to, "help@riqle.com"));
    if !name.is_empty() {
        email.headers.insert(name, value);
    }
    email
}

#[test]
fn a_message_says_what_the_email_says_in_short_lines_and_holds_no_header_of_others() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let email = email(&text);
        let message = match compose(&email, &identity(), None) {
            Ok(message) => message,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Rejected),
        };
        assert_eq!(compose(&email, &identity(), None).unwrap(), message);
        let written = std::str::from_utf8(&message).unwrap();
        assert!(written.is_ascii());
        for line in written.split("\r\n") {
            assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']), "{line:?}");
        }
        let (head, _) = written.split_once("\r\n\r\n").unwrap();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", "\t");
        let own = email.headers.iter().next();
        for line in unfolded.split("\r\n") {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} in {head}"));
            let is_own = own.is_some_and(|(own, _)| own == name);
            assert!(HEADERS.contains(&name) || is_own, "{name:?}");
            if let Some((_, said)) = own.filter(|(_, said)| is_own && said.is_ascii() && !said.contains("=?"))
            {
                assert_eq!(value.trim_end(), said.trim_end(), "{head}");
            }
        }

        let message = MessageParser::default().parse(&message).unwrap();
        assert_eq!(message.subject().unwrap_or_default(), plain(&email.subject));
        let named = |address: Option<&mail_parser::Address<'_>>, of: &Mailbox| {
            let addresses = address.unwrap().clone().into_list();
            let [address] = &addresses[..] else { panic!("{addresses:?}") };
            let expected = of.name.as_deref().map(plain).unwrap_or_default();
            assert_eq!(address.name.as_deref().unwrap_or_default(), expected, "{head}");
        };
        named(message.from(), &email.from);
        // This reader decodes what is in an address, too.
        if !email.to.address.contains("=?") {
            named(message.to(), &email.to);
        }
        named(message.reply_to(), email.reply_to.as_ref().unwrap());
        let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").trim_end().to_owned();
        assert_eq!(lines(&message.body_text(0).unwrap_or_default()), lines(&email.text));
    });
}

#[test]
fn an_error_about_a_mail_url_shows_no_password() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let reads_files = ["ca=", "dkim"].iter().any(|parameter| text.contains(parameter));
        if reads_files {
            return;
        }
        match mailer_from_url(&text) {
            Ok(mailer) => assert!(["file", "smtp"].contains(&mailer.provider())),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Misconfigured);
                let cause = error.source().map(|cause| cause.to_string());
                let line = format!("{error} {error:?} {cause:?}");
                assert!(!line.contains("s3cret") && !error.message().contains('\n'), "{line}");
            }
        }
    });
}

//! The body of a request to Resend, the same to the byte each time.

use resend_rs::types::{CreateEmailBaseOptions, Tag};
use riqle_jobs_core::{Email, Error, ErrorKind, Mailbox, email::MessageIdentity};
use serde_json::Value;

use crate::compose::{header, mailbox, plain};

/// Resend's limit of a tag's value.
const LONGEST_TAG: usize = 256;

/// Writes an email as the JSON of `POST /emails`, its properties sorted at every depth: equal arguments give equal
/// bytes, in every build. Otherwise a repeat with the same idempotency key could be refused as another email.
///
/// Resend sets `Date` and `Message-ID` itself; `X-Entity-Ref-ID` carries our Message-ID's first part, so that mail
/// clients do not fold equal subjects into one conversation.
///
/// # Errors
/// `Rejected` for an address or a header that can't be written.
pub(super) fn compose(email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
    let subject = plain(&email.subject);
    let mut body =
        CreateEmailBaseOptions::new(written(&email.from)?, [written(&email.to)?], subject.as_str())
            .with_html(&email.html)
            .with_text(&email.text)
            .with_tag(Tag::new("template", &tag_value(&email.template)))
            // RFC 3834: so that out-of-office replies and the like leave it alone.
            .with_header("Auto-Submitted", "auto-generated")
            .with_header("X-Entity-Ref-ID", entity(&identity.message_id));
    if let Some(reply_to) = &email.reply_to {
        body = body.with_reply(&written(reply_to)?);
    }
    if let Some(reference) = email.reference.as_deref().filter(|reference| is_tag_value(reference)) {
        body = body.with_tag(Tag::new("reference", reference));
    }
    for (name, value) in &email.headers {
        header(name, value)?;
        body = body.with_header(name, value);
    }
    let mut body = serde_json::to_value(&body).map_err(unwritable)?;
    sort(&mut body);
    serde_json::to_vec(&body).map_err(unwritable)
}

/// A name and an address as in `"Doe, Jane" <jane@example.com>`.
fn written(address: &Mailbox) -> Result<String, Error> {
    Ok(mailbox(address)?.to_string())
}

/// The part of a Message-ID before the `@`.
fn entity(message_id: &str) -> &str {
    message_id.trim_start_matches('<').split('@').next().unwrap_or_default()
}

/// Tags take ASCII letters, digits, `_` and `-` alone.
fn is_tag_value(text: &str) -> bool {
    (1..=LONGEST_TAG).contains(&text.len()) && text.chars().all(is_tag_char)
}

fn tag_value(text: &str) -> String {
    text.chars().map(|c| if is_tag_char(c) { c } else { '_' }).take(LONGEST_TAG).collect()
}

fn is_tag_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Objects of `serde_json` keep the order of insertion where any crate of the build asks for that.
fn sort(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let mut sorted: Vec<(String, Value)> = std::mem::take(object).into_iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, mut value) in sorted {
                sort(&mut value);
                object.insert(name, value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Rejected, "compose", "the email can't be written as JSON").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::tests::{email, identity};

    fn json(email: &Email) -> String {
        String::from_utf8(compose(email, &identity()).unwrap()).unwrap()
    }

    #[test]
    fn a_body_is_the_same_to_the_byte_each_time() {
        let mut email = email();
        email.to = Mailbox::parse("Ada <ada@example.com>").unwrap();
        email.reply_to = Some(Mailbox::parse("Help <help@riqle.com>").unwrap());
        email.reference = Some("order-1001".to_owned());
        for name in ["X-B", "X-A", "List-Unsubscribe"] {
            email.headers.insert(name.to_owned(), "<https://riqle.com/u/1>".to_owned());
        }
        let expected = concat!(
            r#"{"from":"Riqle <orders@riqle.com>","headers":{"Auto-Submitted":"auto-generated","#,
            r#""List-Unsubscribe":"<https://riqle.com/u/1>","X-A":"<https://riqle.com/u/1>","#,
            r#""X-B":"<https://riqle.com/u/1>","X-Entity-Ref-ID":"be2974546978e3739e6d6da85c4be9f3"},"#,
            r#""html":"<p>Grüße</p>\n","reply_to":["Help <help@riqle.com>"],"subject":"Héllo","#,
            r#""tags":[{"name":"template","value":"note"},{"name":"reference","value":"order-1001"}],"#,
            r#""text":"Grüße\n.\nFrom here\n","to":["Ada <ada@example.com>"]}"#
        );
        for _ in 0..50 {
            assert_eq!(json(&email), expected);
        }
    }

    #[test]
    fn tags_hold_legal_characters_alone() {
        let mut email = email();
        email.template = "welcome.v2:é".to_owned();
        email.reference = Some("order/1001".to_owned());
        let json = json(&email);
        assert!(json.contains(r#""tags":[{"name":"template","value":"welcome_v2__"}]"#), "{json}");
    }

    #[test]
    fn names_are_quoted_and_inject_nothing() {
        let mut email = email();
        email.to.name = Some("Doe, \"Jane\" <eve@example.com>\r\nBcc: x".to_owned());
        let value: Value = serde_json::from_str(&json(&email)).unwrap();
        let to = value["to"][0].as_str().unwrap();
        assert!(to.starts_with('"') && to.ends_with(" <ada@example.com>") && !to.contains('\n'), "{to}");
        assert_eq!(value["to"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn headers_and_addresses_that_could_inject_are_refused() {
        for (name, value) in [
            ("Bcc", "eve@example.com"),
            ("X-A", "1\r\nBcc: eve@example.com"),
            ("X A", "1"),
            ("x-entity-ref-id", "1"),
        ] {
            let mut email = email();
            email.headers.insert(name.to_owned(), value.to_owned());
            assert_eq!(compose(&email, &identity()).unwrap_err().kind(), ErrorKind::Rejected, "{name}");
        }
        let mut email = email();
        email.to.address = "a@b.de, eve@example.com".to_owned();
        assert_eq!(compose(&email, &identity()).unwrap_err().kind(), ErrorKind::Rejected);
    }
}

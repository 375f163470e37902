//! Signatures are verified by dkimpy, which nobody here has written. Needs the feature `real-servers`, and a Python with
//! dkimpy and pynacl: `RIQLE_TEST_PYTHON`, else `python3`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use riqle_jobs_core::{Email, Timestamp, email::MessageIdentity};
use riqle_jobs_email::mailer_from_url;

use self::support::outbox::email;

const RECORD: &str = "mail._domainkey.riqle.com";

/// The mail URLs of both kinds of keys, with what stands in DNS for them.
fn keys() -> Vec<(String, &'static str)> {
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dkim").join(name);
    let (rsa, ed25519) = (include_str!("dkim/rsa.txt"), include_str!("dkim/ed25519.txt"));
    let mut keys = Vec::new();
    for (pem, text) in [("rsa.pem", rsa), ("ed25519.pem", ed25519)] {
        let query = format!("?dkim={RECORD}&dkim_key={}", file(pem).display());
        keys.push((format!("file:target/mail{query}"), text));
        keys.push((format!("smtp://127.0.0.1{query}&tls=none"), text));
    }
    keys
}

fn compose(url: &str, email: &Email) -> Vec<u8> {
    let identity = MessageIdentity::new("key-1".to_owned(), &email.from, Timestamp::now());
    mailer_from_url(url).unwrap().compose(email, &identity).unwrap()
}

fn verdict(message: &[u8], text: &str) -> String {
    let python = std::env::var("RIQLE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dkim_verify.py");
    let mut process = Command::new(&python)
        .arg(script)
        .args([RECORD, text])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{python} can't be started, set RIQLE_TEST_PYTHON: {error}"));
    // Where Python has ended already, its reason is in what it wrote.
    let _ = process.stdin.take().unwrap().write_all(message);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn signatures_are_valid_and_hold_headers_and_body_together() {
    let mut email = email("\"Łódź, Ada\" <ada@example.com>");
    email.subject =
        "Größe 🎉 of your order, told at such a length that the header is folded twice".to_owned();
    email.html = format!("<p>{}</p>\n\n\n", "two  spaces \t ".repeat(200));
    for (url, text) in keys() {
        let message = compose(&url, &email);
        assert_eq!(verdict(&message, text), "valid", "{url}");
        let message = String::from_utf8(message).unwrap();
        for (header, other) in [
            ("From: Riqle", "From: Rogue"),
            ("Subject: ", "Subject: Re: "),
            ("Message-ID: <", "Message-ID: <0"),
            ("Hello", "Hallo"),
        ] {
            let changed = message.replacen(header, other, 1);
            assert_ne!(changed, message);
            assert_eq!(verdict(changed.as_bytes(), text), "invalid", "{other}");
        }
    }
}

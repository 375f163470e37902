//! What an email address is (RFC 5321, section 4.1.2), and when two are equal.

use std::net::{Ipv4Addr, Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::{Error, ErrorKind};

/// RFC 5321, section 4.5.3.1.1.
const LONGEST_LOCAL_PART: usize = 64;
/// A path is at most 256 bytes with its angle brackets (RFC 5321, section 4.5.3.1.3).
const LONGEST_ADDRESS: usize = 254;

/// An address taken apart.
pub(super) struct Address {
    /// The part before the `@`, in its shortest spelling: quoted only where it must be.
    pub(super) local: String,
    /// Lower case, in ASCII (RFC 5890), or an address literal such as `[192.0.2.1]`.
    pub(super) domain: String,
}

impl Address {
    /// Reads an address as people and programs write it: invisible characters are left out, full-width
    /// characters become ASCII.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (local, domain) = split(text).ok_or(NOT_AN_ADDRESS)?;
        let (local, domain) = (local_part(&legible(local))?, domain_part(domain)?);
        if local.len() + 1 + domain.len() > LONGEST_ADDRESS {
            return Err("the address is longer than 254 bytes");
        }
        Ok(Self { local, domain })
    }
}

/// The form in which two addresses are compared, and under which the suppression list keeps them: letters in
/// lower case, the domain in ASCII (so `Ada@Bücher.example` is `ada@xn--bcher-kva.example`), no unneeded
/// quotes, no invisible characters, full-width characters as ASCII. Text that is not an address is changed in
/// the same way as far as possible.
///
/// Two addresses that differ only in case before the `@` are the same here, as for every large provider, though
/// RFC 5321 leaves that to the recipient's server.
///
/// ```
/// # use riqle_jobs_core::email::canonical_address;
/// assert_eq!(canonical_address("Ada＠Bücher．example"), "ada@xn--bcher-kva.example");
/// ```
pub fn canonical_address(address: &str) -> String {
    let is_around = |c: char| c.is_whitespace() || is_invisible(c);
    let address = address.trim_matches(is_around);
    let Some((local, domain)) = split(address) else { return legible(address).to_lowercase() };
    let local = legible(local).to_lowercase();
    let local = local_part(&local).unwrap_or(local);
    let domain = domain.trim_end_matches(|c| in_ascii(c) == '.' || is_around(c));
    let domain = domain_part(domain).unwrap_or_else(|_| legible(domain).to_lowercase());
    format!("{local}@{domain}")
}

/// The address as handed to a provider: the domain in ASCII and lower case, the part before the `@` in its
/// shortest spelling, its case kept.
///
/// # Errors
/// `Rejected`, as [`Mailbox::parse`](super::Mailbox::parse).
pub fn ascii_address(address: &str) -> Result<String, Error> {
    let address = Address::parse(address).map_err(rejected)?;
    Ok(format!("{}@{}", address.local, address.domain))
}

pub(super) fn rejected(message: &str) -> Error {
    Error::new(ErrorKind::Rejected, "address", message).permanent()
}

/// At the last `@`, however it is written: one before it can only be quoted.
fn split(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(is_at)
}

/// Without invisible characters, and with full-width ones as ASCII.
pub(super) fn legible(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).map(in_ascii).collect()
}

pub(super) fn is_at(c: char) -> bool {
    in_ascii(c) == '@'
}

/// Full-width and small forms of ASCII signs (the compatibility mappings of Unicode).
pub(super) fn in_ascii(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{fe6b}' => '@',
        c => c,
    }
}

/// Unicode's default-ignorable code points.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A sign of an atom (RFC 5322, section 3.2.3).
pub(super) fn is_of_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

/// Checks the part before the `@` and returns its shortest spelling.
fn local_part(text: &str) -> Result<String, &'static str> {
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let meaning = match quoted {
        Some(quoted) => unescaped(quoted)?,
        None => unquoted(text)?.to_owned(),
    };
    let spelling = match unquoted(&meaning) {
        Ok(_) => meaning,
        Err(_) => format!("\"{}\"", meaning.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    if spelling.len() > LONGEST_LOCAL_PART {
        return Err("the part before the @ is longer than 64 bytes");
    }
    Ok(spelling)
}

/// The content of a quoted string (RFC 5321, section 4.1.2), which is ASCII.
fn unescaped(quoted: &str) -> Result<String, &'static str> {
    let mut meaning = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' => rest.next().ok_or(BAD_QUOTES)?,
            '"' => return Err(BAD_QUOTES),
            c => c,
        };
        match c {
            ' '..='~' => meaning.push(c),
            c if c.is_ascii() => return Err(CONTROL),
            _ => return Err(NOT_ASCII),
        }
    }
    Ok(meaning)
}

pub(super) const NOT_AN_ADDRESS: &str = "not an email address of the form local@domain";
const BAD_QUOTES: &str = "the quotes before the @ don't match: write a quote inside them as \\\"";
const CONTROL: &str = "the part before the @ contains a control character";
const NOT_ASCII: &str = "non-ASCII letters before the @ are not supported";

/// Atoms with dots between them, which need no quotes.
fn unquoted(text: &str) -> Result<&str, &'static str> {
    if !text.is_ascii() {
        return Err(NOT_ASCII);
    }
    if text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_of_atom)) {
        return Ok(text);
    }
    Err(match text {
        "" => "nothing is before the @",
        control if control.chars().any(char::is_control) => CONTROL,
        dots if dots.chars().all(|c| is_of_atom(c) || c == '.') => {
            "before the @, two dots in a row, or a dot at either end, need quotes, as in \"a..b\"@example.com"
        }
        _ => "a character before the @ needs quotes, as in \"a b\"@example.com",
    })
}

fn domain_part(text: &str) -> Result<String, &'static str> {
    let seen = legible(text);
    if let Some(literal) = seen.strip_prefix('[') {
        return address_literal(literal)
            .ok_or("the part after the @ is not an address literal such as [192.0.2.1]");
    }
    // Joiners are part of some names; elsewhere they were not typed on purpose.
    ascii_domain(text).or_else(|| ascii_domain(&seen)).ok_or("the part after the @ is not a domain")
}

/// RFC 5321, section 4.1.3.
fn address_literal(text: &str) -> Option<String> {
    let literal = text.strip_suffix(']')?;
    match literal.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
            literal[5..].parse::<Ipv6Addr>().ok().map(|ip| format!("[IPv6:{ip}]"))
        }
        _ => literal.parse::<Ipv4Addr>().ok().map(|ip| format!("[{ip}]")),
    }
}

/// As DNS knows it. An underscore is not legal in a host name, but there are domains that have one.
fn ascii_domain(text: &str) -> Option<String> {
    let domain = Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::URL, Hyphens::CheckFirstLast, DnsLength::Verify)
        .ok()?;
    let is_plain = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_plain.then(|| domain.to_ascii_lowercase())
}

/// A domain for display: in its own letters, if not all are ASCII.
pub(super) fn shown_domain(text: &str, ascii: &str) -> String {
    let seen = legible(text);
    if seen.is_ascii() || ascii.starts_with('[') {
        return seen;
    }
    Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::URL, Hyphens::Allow).0.into_owned()
}

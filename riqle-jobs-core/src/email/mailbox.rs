//! An address with an optional display name, read from text.

use super::{
    address::{Address, NOT_AN_ADDRESS, is_at, rejected, shown_domain},
    ascii_address, visible_text,
};
use crate::Error;

/// Longer than any address, however it is spelled.
const LONGEST_SPELLING: usize = 1024;

/// An address with an optional display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Shown to people; control and bidirectional characters are stripped.
    pub name: Option<String>,
    /// `local@domain`.
    pub address: String,
}

impl Mailbox {
    /// Takes an address, or a name and an address as in `Riqle <orders@riqle.com>` or `"Doe, Jane" <jane@example.com>`.
    ///
    /// An address is what RFC 5321 allows: `"ada lovelace"@example.com` and `ada@[192.0.2.1]` are some. The
    /// domain may be written in any letters (`ada@bücher.example`). Invisible characters, which often come
    /// along when an address is copied, are dropped; full-width characters, as in `ada＠example.com`, become
    /// ASCII; unneeded quotes are dropped.
    ///
    /// Quotes around the whole name are not part of it; others are.
    ///
    /// # Errors
    /// `Rejected`, with what is wrong: it is not of the form `local@domain`; the part before the `@` has a dot
    /// at either end or two in a row, other characters that need quotes, or non-ASCII letters (which need
    /// SMTPUTF8, RFC 6531), or is longer than 64 bytes; the part after it is not a domain; the whole is longer
    /// than 254 bytes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let Some(bracketed) = text.strip_suffix('>') else {
            return Ok(Self { name: None, address: cleaned(text).map_err(rejected)? });
        };
        let mut fault = None;
        // From the last bracket on: an address has one only within quotes.
        for (start, _) in bracketed.rmatch_indices('<') {
            match cleaned(bracketed[start + 1..].trim()) {
                Ok(address) => return Ok(Self { name: display_name(&bracketed[..start]), address }),
                Err(what) => fault = fault.or(Some(what)),
            }
        }
        Err(rejected(fault.unwrap_or(NOT_AN_ADDRESS)))
    }

    /// The part after the last `@`, as in DNS: ASCII (RFC 5890) and lower case.
    pub fn domain(&self) -> String {
        let address = ascii_address(&self.address).unwrap_or_else(|_| self.address.clone());
        address.rsplit_once('@').map_or_else(String::new, |(_, domain)| domain.to_owned())
    }
}

impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            // It would be read without its quotes.
            Some(name) if unquoted(name).is_some() => {
                write!(f, "\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), self.address)
            }
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// An address in its shortest spelling, for display: the domain in its own letters.
fn cleaned(text: &str) -> Result<String, &'static str> {
    if text.len() > LONGEST_SPELLING {
        return Err("the address is longer than 254 bytes");
    }
    let Address { local, domain } = Address::parse(text)?;
    let written = text.rsplit_once(is_at).map_or(text, |(_, domain)| domain);
    Ok(format!("{local}@{}", shown_domain(written, &domain)))
}

fn display_name(text: &str) -> Option<String> {
    let text = text.trim();
    let name = visible_text(&unquoted(text).unwrap_or_else(|| text.to_owned()));
    (!name.is_empty()).then_some(name)
}

/// What a name says that is one quoted string (RFC 5322, section 3.2.4).
fn unquoted(name: &str) -> Option<String> {
    let quoted = name.strip_prefix('"')?.strip_suffix('"')?;
    let mut said = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return None,
            '\\' => said.push(rest.next()?),
            c => said.push(c),
        }
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, email::canonical_address};

    fn parsed(text: &str) -> (Option<String>, String) {
        let mailbox = Mailbox::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        (mailbox.name, mailbox.address)
    }

    #[test]
    fn an_address_is_what_rfc_5321_allows() {
        let longest = format!("{}@example.com", "a".repeat(64));
        for (text, address) in [
            ("ada@example.com", "ada@example.com"),
            (" Ada.Lovelace+tag@Example.COM ", "Ada.Lovelace+tag@Example.COM"),
            ("!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"),
            ("\"ada lovelace\"@example.com", "\"ada lovelace\"@example.com"),
            ("\"a..b\"@example.com", "\"a..b\"@example.com"),
            ("\"a@b\"@example.com", "\"a@b\"@example.com"),
            ("\"<a>\"@example.com", "\"<a>\"@example.com"),
            ("\"a\\\"b\\\\c\"@example.com", "\"a\\\"b\\\\c\"@example.com"),
            ("\"\"@example.com", "\"\"@example.com"),
            // Quotes that are not needed mean nothing.
            ("\"ada\"@example.com", "ada@example.com"),
            ("\"a\\da\"@example.com", "ada@example.com"),
            ("ada@localhost", "ada@localhost"),
            ("ada@mail_1.example.com", "ada@mail_1.example.com"),
            ("ada@1.2.3.4", "ada@1.2.3.4"),
            ("ada@[192.0.2.1]", "ada@[192.0.2.1]"),
            ("ada@[IPv6:2001:db8::1]", "ada@[IPv6:2001:db8::1]"),
            ("ada@bücher.example", "ada@bücher.example"),
            ("ada@BÜCHER。example", "ada@bücher.example"),
            ("ada@bu\u{308}cher.example", "ada@bücher.example"),
            ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
            ("ada＠example.com", "ada@example.com"),
            ("ａｄａ﹫ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com"),
            ("\u{feff}a\u{200b}da\u{ad}@exam\u{200b}ple.com\u{200e}", "ada@example.com"),
            // A joiner that is part of a name stays.
            ("ada@نامه\u{200c}ای.com", "ada@نامه\u{200c}ای.com"),
            (&longest, &longest),
        ] {
            assert_eq!(parsed(text), (None, address.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_wrong() {
        let (long, longer) = (format!("{}@example.com", "a".repeat(65)), format!("a@{}", "b.".repeat(130)));
        for (text, fault) in [
            ("", "of the form local@domain"),
            ("ada", "of the form local@domain"),
            ("Ada <ada>", "of the form local@domain"),
            ("Ada >", "of the form local@domain"),
            ("@example.com", "nothing is before the @"),
            ("a..b@example.com", "two dots in a row"),
            (".a@example.com", "a dot at either end"),
            ("Ada <a.@example.com>", "a dot at either end"),
            ("a b@example.com", "needs quotes"),
            ("a@b@example.com", "needs quotes"),
            ("ada(work)@example.com", "needs quotes"),
            ("<ada@example.com", "needs quotes"),
            ("a\u{0}b@example.com", "control character"),
            ("\"a\"b\"@example.com", "quotes before the @ don't match"),
            ("\"a\\\"@example.com", "quotes before the @ don't match"),
            ("\"a\nb\"@example.com", "control character"),
            ("é@example.com", "non-ASCII"),
            ("\"é\"@example.com", "non-ASCII"),
            ("ada@", "not a domain"),
            ("ada@.example.com", "not a domain"),
            ("ada@example..com", "not a domain"),
            ("ada@example.com.", "not a domain"),
            ("ada@-example.com", "not a domain"),
            ("ada@exam ple.com", "not a domain"),
            ("ada@example.com\r\nBcc: eve", "not a domain"),
            ("ada@example.com,eve@example.com", "needs quotes"),
            ("ada@xn--a.example", "not a domain"),
            ("ada@[1.2.3]", "not an address literal"),
            (&long, "longer than 64 bytes"),
            (&longer, "not a domain"),
        ] {
            let error = Mailbox::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected);
            assert!(error.message().contains(fault), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_name_loses_its_own_quotes_and_keeps_all_others() {
        for (text, name, address) in [
            ("Riqle <orders@riqle.com>", Some("Riqle"), "orders@riqle.com"),
            ("<ada@example.com>", None, "ada@example.com"),
            ("\"\" <ada@example.com>", None, "ada@example.com"),
            ("\"Doe, Jane\" <jane@example.com>", Some("Doe, Jane"), "jane@example.com"),
            ("\"Jane \\\"JJ\\\" Doe\" <jane@example.com>", Some("Jane \"JJ\" Doe"), "jane@example.com"),
            ("\"a\\\\b\" < jane@example.com >", Some("a\\b"), "jane@example.com"),
            ("\"Half <ada@example.com>", Some("\"Half"), "ada@example.com"),
            ("6\" pipes <ada@example.com>", Some("6\" pipes"), "ada@example.com"),
            ("Pipes of 6\" <ada@example.com>", Some("Pipes of 6\""), "ada@example.com"),
            ("\"Ada\" or \"A\" <ada@example.com>", Some("\"Ada\" or \"A\""), "ada@example.com"),
            ("a <b> <ada@example.com>", Some("a <b>"), "ada@example.com"),
            ("Ada <\"a<b\"@example.com>", Some("Ada"), "\"a<b\"@example.com"),
            ("\"x\r\nBcc: eve\" <ada@example.com>", Some("x Bcc: eve"), "ada@example.com"),
        ] {
            assert_eq!(parsed(text), (name.map(str::to_owned), address.to_owned()), "{text:?}");
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox, "{mailbox}");
        }
        let name = Some("\"Ada\\\"".to_owned());
        let mailbox = Mailbox { name, address: "ada@example.com".to_owned() };
        assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox, "{mailbox}");
    }

    #[test]
    fn the_domain_is_what_dns_knows() {
        for (text, domain) in [
            ("Riqle <orders@Riqle.com>", "riqle.com"),
            ("ada@bücher.example", "xn--bcher-kva.example"),
            ("\"a@b\"@example.com", "example.com"),
        ] {
            assert_eq!(Mailbox::parse(text).unwrap().domain(), domain);
        }
    }

    #[test]
    fn the_canonical_form_of_what_is_no_address_is_its_own() {
        for (text, canonical) in [
            ("\u{200b} Nobody \u{200b}", "nobody"),
            (" \u{ad} a@b.. ", "a@b"),
            ("a@b．", "a@b"),
            // The sign of Kelvin, whose lower case is ASCII.
            ("\"\u{212a}\"@example.com", "k@example.com"),
        ] {
            assert_eq!(canonical_address(text), canonical, "{text:?}");
            assert_eq!(canonical_address(canonical), canonical);
        }
    }

    #[test]
    fn spellings_of_one_address_are_the_same() {
        for (canonical, spellings) in [
            (
                "ada@xn--bcher-kva.example",
                &[
                    "ada@xn--bcher-kva.example",
                    "ADA@XN--BCHER-KVA.EXAMPLE",
                    "ada@bücher.example",
                    "ada@BÜCHER.example",
                    "ada@bu\u{308}cher.example",
                    "ada＠ｂücher．example",
                    " ada@bücher。example. ",
                    "a\u{200b}da@bü\u{200d}cher.ex\u{ad}ample\u{feff}",
                    "\"ada\"@bücher.example",
                    "\"\\ada\"@bücher.example",
                ][..],
            ),
            (
                "\"ada lovelace\"@example.com",
                &["\"Ada Lovelace\"@example.com", "\"ada\\ lovelace\"@EXAMPLE.com"],
            ),
            // As good as it gets for what is no address.
            ("é@xn--bcher-kva.example", &["É@bücher.example"]),
            ("nobody", &["NoBody"]),
            ("a@b c", &["A@B\u{200b} C"]),
        ] {
            for spelling in spellings {
                assert_eq!(canonical_address(spelling), canonical, "{spelling:?}");
            }
        }
        assert_ne!(canonical_address("ada@straße.example"), canonical_address("ada@strasse.example"));
        assert_eq!(canonical_address("ada@[IPV6:2001:DB8:0::1]"), "ada@[IPv6:2001:db8::1]");
    }
}

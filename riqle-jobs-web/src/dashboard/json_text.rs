//! JSON as text, verbatim: numbers of any size, keys in their order, duplicates included.

use riqle_jobs_core::email::mask_addresses;
use serde::de::IgnoredAny;

use super::redaction::Redaction;

/// Deeper JSON is not shown.
const DEEPEST: usize = 100;
const HIDDEN: &str = r#""[hidden]""#;
const HIDDEN_TEXT: &str = "[hidden]";

/// How it is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Compact,
    Indented,
}

/// Lays out JSON; if something must be hidden, without the values of those keys and the names of addresses.
/// `None` if it is not JSON, or too deep.
pub(crate) fn rewrite(text: &str, layout: Layout, hidden: Option<&Redaction>) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut writer =
        Writer { rest: text.trim_start(), out: String::with_capacity(text.len() * 2), layout, hidden };
    writer.value(0)?;
    Some(writer.out)
}

/// Walks over text that is JSON.
struct Writer<'a> {
    rest: &'a str,
    out: String,
    layout: Layout,
    hidden: Option<&'a Redaction>,
}

impl<'a> Writer<'a> {
    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match self.rest.as_bytes().first()? {
            b'{' => self.container('}', depth),
            b'[' => self.container(']', depth),
            _ => {
                let token = self.token()?;
                self.write(token)
            }
        }
    }

    /// A token, as far as it may be seen.
    fn write(&mut self, token: &str) -> Option<()> {
        if self.hidden.is_some() && token.starts_with('"') {
            // Half of a surrogate pair: nobody can tell what is in it.
            let Ok(text) = serde_json::from_str::<String>(token) else {
                self.out.push_str(HIDDEN);
                return Some(());
            };
            let shown = mask_addresses(&self.without_hidden(&text).unwrap_or_else(|| text.clone()));
            if shown != text {
                self.out.push_str(&serde_json::to_string(&shown).ok()?);
                return Some(());
            }
        }
        self.out.push_str(token);
        Some(())
    }

    /// Text that is itself JSON, such as a sent body: its keys hide their values, too; what is too deep is hidden whole.
    /// `None` if nothing is hidden.
    fn without_hidden(&self, text: &str) -> Option<String> {
        let is_json =
            text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok();
        if !is_json {
            return None;
        }
        let rewritten = |hidden| rewrite(text, Layout::Compact, hidden);
        match (rewritten(None), rewritten(self.hidden)) {
            (Some(whole), Some(shown)) => (shown != whole).then_some(shown),
            _ => Some(HIDDEN_TEXT.to_owned()),
        }
    }

    fn container(&mut self, end: char, depth: usize) -> Option<()> {
        let begin = self.take(1)?;
        self.out.push_str(begin);
        if self.rest.starts_with(end) {
            let end = self.take(1)?;
            self.out.push_str(end);
            return Some(());
        }
        loop {
            self.line(depth + 1);
            if end == '}' {
                self.member(depth + 1)?
            } else {
                self.value(depth + 1)?
            }
            let next = self.take(1)?;
            if next != "," {
                self.line(depth);
                self.out.push_str(next);
                return Some(());
            }
            self.out.push(',');
        }
    }

    fn member(&mut self, depth: usize) -> Option<()> {
        let key = self.token()?;
        self.take(1)?;
        self.write(key)?;
        self.out.push_str(if self.layout == Layout::Indented { ": " } else { ":" });
        let name = serde_json::from_str::<String>(key);
        let written = self.out.len();
        self.value(depth)?;
        if self.hidden.is_some_and(|hidden| name.map_or(true, |name| hidden.hides(&name)))
            && !matches!(&self.out[written..], "null" | "\"\"")
        {
            self.out.truncate(written);
            self.out.push_str(HIDDEN);
        }
        Some(())
    }

    /// A string, number or word.
    fn token(&mut self) -> Option<&'a str> {
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        if bytes.first() == Some(&b'"') {
            end = 1;
            while *bytes.get(end)? != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            end += 1;
        } else {
            while bytes.get(end).is_some_and(|byte| !b",]} \t\r\n".contains(byte)) {
                end += 1;
            }
        }
        self.take(end)
    }

    /// That many bytes, and the blanks after them.
    fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        Some(taken)
    }

    fn line(&mut self, depth: usize) {
        if self.layout == Layout::Indented {
            self.out.push('\n');
            (0..depth).for_each(|_| self.out.push_str("  "));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        rewrite(text, Layout::Compact, Some(&Redaction::new(["secret"])))
    }

    #[test]
    fn what_is_written_is_kept_to_the_letter() {
        for text in [
            "12345678901234567890123",
            "-1.50e+10",
            r#"{"a":1,"a":2,"b":[]}"#,
            r#"["\u0041\"}]",{},null,true]"#,
            r#""""#,
        ] {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn it_is_indented_with_nothing_else_changed() {
        let text = " { \"a\" : [ 1 , {} ],\n\"b\":{\"c\":\"x y\"} } ";
        let expected = "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"c\": \"x y\"\n  }\n}";
        assert_eq!(rewrite(text, Layout::Indented, None).unwrap(), expected);
        assert_eq!(shown(text).unwrap(), r#"{"a":[1,{}],"b":{"c":"x y"}}"#);
    }

    #[test]
    fn hidden_values_are_hidden_whole_and_absent_ones_are_not() {
        let text = r#"{"secret":{"x":["}",1]},"b":[{"secret":"s"},{"secret":null}],"\u0073ecret":7}"#;
        let expected =
            r#"{"secret":"[hidden]","b":[{"secret":"[hidden]"},{"secret":null}],"\u0073ecret":"[hidden]"}"#;
        assert_eq!(shown(text).unwrap(), expected);
    }

    #[test]
    fn json_within_a_text_hides_its_values_too() {
        let text = r#"{"body":"{\"secret\": \"s\", \"n\": 1}","log":"[{\"body\":\"{\\\"secret\\\":7}\"}]","a":"{\"b\": 1}","c":"{secret"}"#;
        let expected = r#"{"body":"{\"secret\":\"[hidden]\",\"n\":1}","log":"[{\"body\":\"{\\\"secret\\\":\\\"[hidden]\\\"}\"}]","a":"{\"b\": 1}","c":"{secret"}"#;
        assert_eq!(shown(text).unwrap(), expected);
    }

    #[test]
    fn json_within_a_text_that_can_not_be_read_whole_hides_its_values_too() {
        let half = r#"{"log":"{\"secret\":\"s\",\"a\":\"\\ud800\",\"\\ud800\":1}","b":"\udc00"}"#;
        let expected = r#"{"log":"{\"secret\":\"[hidden]\",\"a\":\"[hidden]\",\"[hidden]\":\"[hidden]\"}","b":"[hidden]"}"#;
        assert_eq!(shown(half).unwrap(), expected);
        assert_eq!(rewrite(half, Layout::Compact, None).unwrap(), half);
        let deep = format!(r#"{{"log":"{}{{\"secret\":1}}{}"}}"#, "[".repeat(110), "]".repeat(110));
        assert_eq!(shown(&deep).unwrap(), r#"{"log":"[hidden]"}"#);
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_left_alone() {
        assert_eq!(shown(""), None);
        assert_eq!(shown("{"), None);
        assert_eq!(shown("{} x"), None);
        assert_eq!(shown(&("[".repeat(500) + &"]".repeat(500))), None);
    }

    proptest::proptest! {
        #[test]
        fn any_json_stays_what_it_was(text in "[\\[\\]{}:,\"a0 ]{0,40}") {
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                let compact = rewrite(&text, Layout::Compact, None).unwrap();
                let indented = rewrite(&text, Layout::Indented, None).unwrap();
                proptest::prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&compact).unwrap(), value.clone());
                proptest::prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&indented).unwrap(), value);
            }
        }
    }
}

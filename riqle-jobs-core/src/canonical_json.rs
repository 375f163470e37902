//! One text for all JSON texts that mean the same.

use std::collections::BTreeMap;

use crate::any_json::AnyJson;

/// From here on a whole number is written with an exponent, where it was one: `1e300` has 301 digits.
const LONG: f64 = 1e17;
/// Below it, too: `1e-300` has 300.
const SHORT: f64 = 1e-5;

/// One text for all JSON texts that mean the same: keys sorted, no blanks, strings escaped alike, integers by their digits,
/// other numbers as 64-bit floats. `None` for what no job can read.
pub(crate) fn canonical_json(json: &[u8]) -> Option<Vec<u8>> {
    let json = std::str::from_utf8(json).ok()?;
    serde_json::from_str::<AnyJson>(json).ok()?;
    let mut canonical = String::with_capacity(json.len());
    Tokens { rest: json }.write_value(&mut canonical)?;
    Some(canonical.into_bytes())
}

/// What is left of a text that is known to be JSON, and not too deep.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn write_value(&mut self, to: &mut String) -> Option<()> {
        match self.first()? {
            b'{' => self.write_object(to),
            b'[' => self.write_list(to),
            b'"' => {
                let text = self.text()?;
                write_text(&text, to)
            }
            b'-' | b'0'..=b'9' => {
                to.push_str(&canonical_number(self.word())?);
                Some(())
            }
            _ => {
                to.push_str(self.word());
                Some(())
            }
        }
    }

    fn write_object(&mut self, to: &mut String) -> Option<()> {
        self.take(1);
        let mut members = BTreeMap::new();
        while self.first()? != b'}' {
            let key = self.text()?;
            self.first()?;
            self.take(1);
            let mut value = String::new();
            self.write_value(&mut value)?;
            members.insert(key, value);
            self.pass_comma()?;
        }
        self.take(1);
        to.push('{');
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                to.push(',');
            }
            write_text(key, to)?;
            to.push(':');
            to.push_str(value);
        }
        to.push('}');
        Some(())
    }

    fn write_list(&mut self, to: &mut String) -> Option<()> {
        self.take(1);
        to.push('[');
        let mut is_first = true;
        while self.first()? != b']' {
            if !is_first {
                to.push(',');
            }
            is_first = false;
            self.write_value(to)?;
            self.pass_comma()?;
        }
        self.take(1);
        to.push(']');
        Some(())
    }

    /// The first byte that is not blank, which is at the front then.
    fn first(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.bytes().next()
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn pass_comma(&mut self) -> Option<()> {
        if self.first()? == b',' {
            self.take(1);
        }
        Some(())
    }

    fn text(&mut self) -> Option<String> {
        self.first()?;
        let mut is_escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        })?;
        serde_json::from_str(self.take(end + 2)).ok()
    }

    /// A number, or one of JSON's three words.
    fn word(&mut self) -> &'a str {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || ['-', '+', '.'].contains(&c);
        let end = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
        self.take(end)
    }
}

fn write_text(text: &str, to: &mut String) -> Option<()> {
    to.push_str(&serde_json::to_string(text).ok()?);
    Some(())
}

/// A number of JSON in its one spelling.
pub(crate) fn canonical_number(json: &str) -> Option<String> {
    if !json.contains(['.', 'e', 'E']) {
        return Some(if json == "-0" { "0".to_owned() } else { json.to_owned() });
    }
    // Adding 0 turns -0 into 0. A whole number is written as an integer would be.
    let number = json.parse::<f64>().ok()? + 0.0;
    let is_written_out = number == 0.0 || (SHORT..LONG).contains(&number.abs());
    Some(if is_written_out { number.to_string() } else { format!("{number:e}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        String::from_utf8(canonical_json(json.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn texts_that_mean_the_same_are_the_same() {
        for (one, other, expected) in [
            (r#"{"b":1,"a":2}"#, r#" { "a" : 2 , "b" : 1 } "#, r#"{"a":2,"b":1}"#),
            (r#"[{"x":{"b":[],"a":{}}}]"#, r#"[{"x":{"a":{},"b":[]}}]"#, r#"[{"x":{"a":{},"b":[]}}]"#),
            (r#""A\/é""#, r#""\u0041/\u00e9""#, "\"A/é\""),
            ("-0", "0", "0"),
            ("-0.0", "0", "0"),
            ("1.50", "15e-1", "1.5"),
            ("1.0", "1", "1"),
            ("1E2", "100", "100"),
            ("1e300", "10.0E299", "1e300"),
            ("0.00001", "1e-5", "0.00001"),
            ("-0.0000015", "-15e-7", "-1.5e-6"),
            (r#"["\\","\"",true , null]"#, r#"["\u005c","\u0022",true,null]"#, r#"["\\","\"",true,null]"#),
            (r#"{"\u0062":{},"a\"":[ ]}"#, r#"{"a\u0022":[],"b":{ }}"#, r#"{"a\"":[],"b":{}}"#),
        ] {
            assert_eq!(canonical(one), expected);
            assert_eq!(canonical(other), expected);
        }
    }

    #[test]
    fn integers_are_compared_by_their_digits() {
        assert_eq!(canonical("9007199254740993"), "9007199254740993");
        assert_eq!(canonical("[123456789012345678901234567890]"), "[123456789012345678901234567890]");
    }

    #[test]
    fn a_number_is_never_much_longer_than_it_was() {
        assert_eq!(canonical("[1e-300,1e-9,123e-320]"), "[1e-300,1e-9,1.23e-318]");
    }

    #[test]
    fn lists_keep_their_order_and_of_a_key_given_twice_the_last_counts() {
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
        assert_eq!(canonical(r#"{"a":1,"a":2}"#), r#"{"a":2}"#);
    }

    #[test]
    fn what_no_job_can_read_has_no_canonical_form() {
        for json in ["{", "", "1 2", "1e400", r#"["\ud800"]"#, "\u{feff}1"] {
            assert_eq!(canonical_json(json.as_bytes()), None, "{json}");
        }
        assert_eq!(canonical_json("[".repeat(100_000).as_bytes()), None);
        assert_eq!(canonical_json(format!("{}{}", "[".repeat(200), "]".repeat(200)).as_bytes()), None);
    }
}

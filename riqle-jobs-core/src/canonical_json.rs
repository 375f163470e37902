use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// One text for all JSON texts that mean the same: keys sorted, no blanks, strings escaped alike, integers by their digits,
/// other numbers as 64-bit floats. `None` for what is not JSON.
pub(crate) fn canonical_json(json: &[u8]) -> Option<Vec<u8>> {
    let value: &RawValue = serde_json::from_slice(json).ok()?;
    let mut canonical = Vec::with_capacity(json.len());
    write_value(value.get(), &mut canonical, 0)?;
    Some(canonical)
}

/// As deep as the codec reads.
const LEVELS: usize = 128;

fn write_value(json: &str, to: &mut Vec<u8>, level: usize) -> Option<()> {
    if level > LEVELS {
        return None;
    }
    match json.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
            write_list(to, b"{}", members, |(key, value), to| {
                serde_json::to_writer(&mut *to, &key).ok()?;
                to.push(b':');
                write_value(value.get(), to, level + 1)
            })
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            write_list(to, b"[]", items, |item, to| write_value(item.get(), to, level + 1))
        }
        b'"' => {
            let text: String = serde_json::from_str(json).ok()?;
            serde_json::to_writer(to, &text).ok()
        }
        b'-' | b'0'..=b'9' => {
            to.extend_from_slice(canonical_number(json)?.as_bytes());
            Some(())
        }
        _ => {
            to.extend_from_slice(json.as_bytes());
            Some(())
        }
    }
}

fn write_list<T>(
    to: &mut Vec<u8>,
    brackets: &[u8; 2],
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    to.push(brackets[0]);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            to.push(b',');
        }
        write(item, to)?;
    }
    to.push(brackets[1]);
    Some(())
}

fn canonical_number(json: &str) -> Option<String> {
    if !json.contains(['.', 'e', 'E']) {
        return Some(if json == "-0" { "0".to_owned() } else { json.to_owned() });
    }
    let number: f64 = json.parse().ok()?;
    // Adding 0 turns -0 into 0. A whole number is written as an integer would be.
    Some((number + 0.0).to_string())
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
    fn lists_keep_their_order_and_of_a_key_given_twice_the_last_counts() {
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
        assert_eq!(canonical(r#"{"a":1,"a":2}"#), r#"{"a":2}"#);
    }

    #[test]
    fn what_is_not_json_or_too_deep_has_no_canonical_form() {
        assert_eq!(canonical_json(b"{"), None);
        assert_eq!(canonical_json(b""), None);
        assert_eq!(canonical_json("[".repeat(100_000).as_bytes()), None);
        assert_eq!(canonical_json(format!("{}{}", "[".repeat(200), "]".repeat(200)).as_bytes()), None);
    }
}

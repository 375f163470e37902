//! The texts, numbers and booleans of an input.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Number, value::RawValue};

use crate::{Codec, Payload, canonical_json::canonical_number};

/// A value that a key may be made of.
pub(super) enum Value {
    Text(String),
    /// A boolean, or a number in the one spelling of its kind.
    Word(String),
}

/// The value under field names that are joined by dots; of a name given twice the last counts, as for jobs.
pub(super) fn value_at(input: &Payload, path: &str) -> Option<Value> {
    if input.codec != Codec::JSON {
        return None;
    }
    let mut json = std::str::from_utf8(&input.bytes).ok()?;
    for name in path.split('.') {
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
        json = members.remove(name)?.get();
    }
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok().map(Value::Text),
        b't' | b'f' => Some(Value::Word(json.to_owned())),
        b'-' | b'0'..=b'9' if json.parse::<f64>().ok()?.is_finite() => {
            canonical_number(json).map(Value::Word)
        }
        _ => None,
    }
}

impl Value {
    /// As it is.
    pub(super) fn plain(&self) -> &str {
        match self {
            Value::Text(text) | Value::Word(text) => text,
        }
    }

    /// So that no text is the same as a number, a boolean or another text: one that could be taken for any of them is put in
    /// quotes.
    pub(super) fn typed(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) if is_ambiguous(text) => Cow::Owned(format!("\"{text}\"")),
            Value::Text(text) | Value::Word(text) => Cow::Borrowed(text),
        }
    }
}

fn is_ambiguous(text: &str) -> bool {
    text.is_empty()
        || text.starts_with('"')
        || text == "true"
        || text == "false"
        || text.parse::<Number>().is_ok()
}

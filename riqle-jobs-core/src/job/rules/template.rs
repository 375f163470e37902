//! Text with paths of the input in it: `welcome:{user}`.

use super::value::{Value, value_at};
use crate::{Payload, limits::KEY_BYTES};

/// How values are put in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// So that different values never make the same text.
    Distinct,
    /// As they are.
    Plain,
}

pub(super) struct Template<'a> {
    parts: Vec<Part<'a>>,
    spelling: Spelling,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Path { path: &'a str, is_optional: bool },
}

/// What a template makes of an input.
pub(super) enum Filled<'a> {
    Key(String),
    /// An optional path is missing.
    None,
    /// This path is missing.
    Lacking(&'a str),
}

impl<'a> Template<'a> {
    /// The error says what is wrong with it, to follow the template itself.
    pub(super) fn parse(text: &'a str, spelling: Spelling) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.len() > KEY_BYTES {
            return Err(format!("has {} bytes, the limit is {KEY_BYTES}", text.len()));
        }
        if text.contains(char::is_control) {
            return Err("holds a control character".to_owned());
        }
        if spelling == Spelling::Distinct && text.starts_with(crate::limits::EVENT_KEY_PREFIX) {
            return Err("begins with \"event/\", as the keys of events do".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if from.starts_with('}') {
                return Err("closes a brace that is not open".to_owned());
            }
            if !before.is_empty() {
                parts.push(Part::Text(before));
            }
            let is_beside_a_path = matches!(parts.last(), Some(Part::Path { .. }));
            let end = from.find('}').ok_or("does not close a brace")?;
            let inner = &from[1..end];
            if spelling == Spelling::Distinct && is_beside_a_path {
                return Err(format!("has no text before {{{inner}}}, so two inputs could make the same key"));
            }
            let (path, is_optional) = inner.strip_suffix('?').map_or((inner, false), |path| (path, true));
            if path.contains('{') {
                return Err("does not close a brace".to_owned());
            }
            if path.split('.').any(str::is_empty) {
                return Err(format!("has an empty path: {{{inner}}}"));
            }
            parts.push(Part::Path { path, is_optional });
            rest = &from[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest));
        }
        Ok(Self { parts, spelling })
    }

    /// The text before the first path.
    pub(super) fn first_text(&self) -> &'a str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    pub(super) fn fill(&self, input: &Payload) -> Filled<'a> {
        let (mut key, mut lacks_an_optional) = (String::new(), false);
        for (place, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(text) if self.spelling == Spelling::Distinct => {
                    // No escaped value holds it twice in a row.
                    key.push_str(&text.replace('%', "%%"));
                }
                Part::Text(text) => key.push_str(text),
                Part::Path { path, is_optional } => match value_at(input, path) {
                    Some(value) => self.put(&value, place, &mut key),
                    None if *is_optional => lacks_an_optional = true,
                    None => return Filled::Lacking(path),
                },
            }
        }
        if lacks_an_optional { Filled::None } else { Filled::Key(key) }
    }

    /// Puts a value in so that its end is seen: what begins the text after it stands nowhere in it.
    fn put(&self, value: &Value, place: usize, key: &mut String) {
        if self.spelling == Spelling::Plain {
            return key.push_str(value.plain());
        }
        let end = match self.parts.get(place + 1) {
            Some(Part::Text(text)) => text.chars().next(),
            _ => None,
        };
        for character in value.typed().chars() {
            if character == '%' || Some(character) == end {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    key.push_str(&format!("%{byte:02x}"));
                }
            } else {
                key.push(character);
            }
        }
    }
}

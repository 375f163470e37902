//! Which step of a run: the keys that it was called under, and its name.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::{Error, ErrorKind, email::sha256_hex, limits};

/// The longest key that is stored as is, in bytes; a longer one is stored as its digest.
const KEY_BYTES: usize = 128;
/// The longest list of keys that is stored as is, in bytes.
const KEYS_BYTES: usize = 512;

/// Which step of a run: the keys that it was called under, outermost first, and its name.
///
/// Shown and stored as text, such as `order-7/send`. A `/` or `\` within a key or name has a `\` before it, so
/// no two lists of keys and names give the same text. A key that is long or contains control characters is
/// stored as its digest.
///
/// ```
/// use riqle_jobs_core::StepPath;
///
/// // run.keyed("order-7").step("send", …)
/// assert_eq!(StepPath::under(["order-7"], "send")?.as_str(), "order-7/send");
/// assert_eq!(StepPath::new("order-7/send")?.as_str(), r"order-7\/send");
/// # Ok::<(), riqle_jobs_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepPath(Arc<str>);

impl StepPath {
    /// A step without keys.
    ///
    /// # Errors
    /// `Rejected` for a name that is empty, longer than 128 bytes, or contains control characters.
    pub fn new(name: &str) -> Result<Self, Error> {
        Keys::default().path(name)
    }

    /// A step under keys, outermost first.
    ///
    /// # Errors
    /// `Rejected` for an empty key; as [`new`](Self::new).
    pub fn under<K: fmt::Display>(keys: impl IntoIterator<Item = K>, name: &str) -> Result<Self, Error> {
        keys.into_iter().fold(Keys::default(), |keys, key| keys.and(&key)).path(name)
    }

    /// A step from the text that [`as_str`](Self::as_str) returns.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The name alone.
    pub(crate) fn name(&self) -> String {
        let mut characters = self.0.chars();
        let mut name = String::new();
        while let Some(character) = characters.next() {
            match character {
                '/' => name.clear(),
                '\\' => name.extend(characters.next()),
                other => name.push(other),
            }
        }
        name
    }

    /// The text that is shown and stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys that the steps of a context are under.
#[derive(Clone, Default)]
pub(crate) enum Keys {
    #[default]
    None,
    /// As they are written before a name.
    Some(Arc<str>),
    /// One of them can't be a key; the steps report it.
    Refused(&'static str),
}

impl Keys {
    /// These keys with one more, the innermost.
    pub(crate) fn and(&self, key: &dyn fmt::Display) -> Self {
        let key = key.to_string();
        if key.is_empty() {
            return Keys::Refused("the key of a step is empty");
        }
        let key = if key.len() > KEY_BYTES || key.chars().any(char::is_control) {
            format!("#{}", digest(&key)).into()
        } else if key.starts_with('#') {
            format!("\\{}", escaped(&key)).into()
        } else {
            escaped(&key)
        };
        let keys: Cow<'_, str> = match self {
            Keys::None => key,
            Keys::Some(keys) => [keys, "/", &key].concat().into(),
            Keys::Refused(why) => return Keys::Refused(why),
        };
        Keys::Some(if keys.len() > KEYS_BYTES {
            format!("##{}", digest(&keys)).into()
        } else {
            (&*keys).into()
        })
    }

    /// A step of this name under them.
    pub(crate) fn path(&self, name: &str) -> Result<StepPath, Error> {
        limits::check_name("step", name).map_err(|error| error.of("step"))?;
        match self {
            Keys::None => Ok(StepPath(escaped(name).into())),
            Keys::Some(keys) => Ok(StepPath([keys, "/", &escaped(name)].concat().into())),
            Keys::Refused(why) => Err(Error::new(ErrorKind::Rejected, "step", *why)),
        }
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['\\', '/']) {
        text.replace('\\', r"\\").replace('/', r"\/").into()
    } else {
        text.into()
    }
}

fn digest(text: &str) -> String {
    let mut digest = sha256_hex(text.as_bytes());
    digest.truncate(32);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(keys: &[&str], name: &str) -> String {
        StepPath::under(keys, name).unwrap().to_string()
    }

    #[test]
    fn no_two_lists_of_keys_and_names_meet() {
        let long = "k".repeat(200);
        let paths = [
            path(&[], "a"),
            path(&["a"], "b"),
            path(&[], "a/b"),
            path(&["a/b"], "c"),
            path(&["a", "b"], "c"),
            path(&["a"], "b/c"),
            path(&[r"a\"], "b"),
            path(&[r"a\/b"], "c"),
            path(&[&long], "a"),
            path(&[&format!("#{}", digest(&long))], "a"),
            path(&["a\nb"], "c"),
            path(&["a\tb"], "c"),
        ];
        let all: std::collections::HashSet<&String> = paths.iter().collect();
        assert_eq!(all.len(), paths.len(), "{paths:?}");
        assert_eq!(path(&["a", "b"], "c"), "a/b/c");
        assert_eq!(StepPath::under(["a/b"], r"c/d\e").unwrap().name(), r"c/d\e");
        assert_eq!(path(&["a/b"], r"c\d"), r"a\/b/c\\d");
    }

    #[test]
    fn any_number_of_keys_of_any_length_makes_a_path_that_every_store_takes() {
        let keys: Vec<String> = (0..1_000).map(|n| format!("{n}{}", "/".repeat(100))).collect();
        let deep = StepPath::under(&keys, "send").unwrap();
        assert!(deep.as_str().len() < 800, "{}", deep.as_str().len());
        assert_eq!(deep, StepPath::under(&keys, "send").unwrap());
        assert_ne!(deep, StepPath::under(&keys[1..], "send").unwrap());
    }

    #[test]
    fn an_empty_key_is_refused_wherever_it_stands() {
        for keys in [&["", "a"], &["a", ""]] {
            let error = StepPath::under(keys, "send").unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "the key of a step is empty"));
        }
    }
}

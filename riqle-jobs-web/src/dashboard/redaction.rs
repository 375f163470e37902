use std::sync::Arc;

/// What [`Dashboard::hide_keys`](crate::Dashboard::hide_keys) hides where it is not called.
pub const HIDDEN_KEYS: [&str; 26] = [
    "password",
    "passphrase",
    "pwd",
    "credential",
    "ssn",
    "cvv",
    "recipient",
    "passwd",
    "secret",
    "token",
    "authorization",
    "apikey",
    "privatekey",
    "signature",
    "cookie",
    "session",
    "card",
    "cvc",
    "iban",
    "accountnumber",
    "email",
    "phone",
    "address",
    "firstname",
    "lastname",
    "fullname",
];

/// Which keys of JSON hide their values.
#[derive(Clone)]
pub(crate) struct Redaction {
    parts: Arc<[String]>,
}

impl Redaction {
    pub(crate) fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let parts = parts.into_iter().map(plain).filter(|part| !part.is_empty());
        Self { parts: parts.collect() }
    }

    pub(crate) fn hides(&self, key: &str) -> bool {
        let key = plain(key);
        self.parts.iter().any(|part| key.contains(part.as_str()))
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self::new(HIDDEN_KEYS)
    }
}

/// Without what people write differently.
fn plain(key: &str) -> String {
    key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_in_every_spelling() {
        let redaction = Redaction::default();
        for key in
            ["password", "newPassword", "API_KEY", "api-key", "customerEmail", "X-Auth-Token", "E-Mail"]
        {
            assert!(redaction.hides(key), "{key}");
        }
        for key in ["amount", "id", "sku", "currency", ""] {
            assert!(!redaction.hides(key), "{key}");
        }
        let own = Redaction::new(["pin", ""]);
        assert!(own.hides("PIN") && !own.hides("password"));
    }
}

//! Which keys of JSON hide their values from viewers.

use std::{collections::HashSet, sync::Arc};

use super::json_text::{Layout, rewrite};

/// The default of [`Dashboard::hide_keys`](crate::Dashboard::hide_keys).
pub const HIDDEN_KEYS: &[&str] = &[
    // Credentials.
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "passcode",
    "passkey",
    "pin",
    "otp",
    "totp",
    "2fa",
    "mfa",
    "auth",
    "oauth",
    "authorization",
    "authentication",
    "credential",
    "bearer",
    "jwt",
    "token",
    "secret",
    "api key",
    "access key",
    "private key",
    "encryption key",
    "signing key",
    "license key",
    "ssh key",
    "signature",
    "hmac",
    "cookie",
    "session",
    "csrf",
    "xsrf",
    "nonce",
    "salt",
    "mnemonic",
    "seed phrase",
    "security code",
    "verification code",
    "confirmation code",
    "recovery code",
    "backup code",
    "one time code",
    "security answer",
    "magic link",
    // What pays.
    "card",
    "pan",
    "cvv",
    "cvc",
    "csc",
    "iban",
    "bic",
    "account number",
    "routing number",
    "sort code",
    "bank account",
    // Who a person is, and where.
    "email",
    "mail",
    "mailbox",
    "recipient",
    "phone",
    "telephone",
    "tel",
    "mobile",
    "msisdn",
    "fax",
    "address",
    "street",
    "house number",
    "postal code",
    "postcode",
    "zip",
    "ip",
    "latitude",
    "longitude",
    "first name",
    "last name",
    "full name",
    "given name",
    "family name",
    "middle name",
    "maiden name",
    "surname",
    "date of birth",
    "birth date",
    "birthday",
    "birth",
    "dob",
    "ssn",
    "social security",
    "national id",
    "tax id",
    "passport",
    "driver license",
    "drivers license",
];

/// JSON as viewers see it: the values of [`HIDDEN_KEYS`] are `"[hidden]"`, and addresses lose their names, wherever they stand.
/// What is not JSON is hidden whole.
pub fn redacted(json: &str) -> String {
    rewrite(json, Layout::Compact, Some(&Redaction::default())).unwrap_or_else(|| r#""[hidden]""#.to_owned())
}

/// What keys without word breaks, such as `useraccesstoken`, are made of besides these.
const COMPANIONS: [&str; 40] = [
    "access", "account", "admin", "api", "app", "billing", "client", "code", "confirm", "contact", "current",
    "customer", "db", "delivery", "hash", "header", "home", "id", "key", "login", "name", "new", "number",
    "old", "order", "owner", "payer", "primary", "refresh", "repeat", "reset", "root", "shipping", "smtp",
    "string", "text", "user", "value", "webhook", "work",
];

/// Which keys of JSON hide their values: those with a hidden word, or hidden words in a row.
#[derive(Clone)]
pub(crate) struct Redaction {
    /// Without blanks, in lower case.
    hidden: Arc<HashSet<String>>,
    /// No word that hides, or stands beside one, is longer, in bytes.
    longest: usize,
}

impl Redaction {
    pub(crate) fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let hidden = keys.into_iter().map(|key| words(key, Case::Ignored).concat());
        let hidden: HashSet<String> = hidden.filter(|key| !key.is_empty()).collect();
        let longest = hidden.iter().map(String::len).chain(COMPANIONS.map(str::len)).max().unwrap_or(0);
        // In the plural.
        Self { hidden: Arc::new(hidden), longest: longest + "es".len() }
    }

    pub(crate) fn hides(&self, key: &str) -> bool {
        // `PINs` is one word in spite of its capitals, and `eMail` are two that make one.
        [Case::Divides, Case::Ignored].into_iter().any(|case| {
            let words = words(key, case);
            (0..words.len()).any(|first| {
                let mut joined = String::new();
                let mut parts = words[first..].iter().map_while(|word| {
                    joined.push_str(word);
                    (joined.len() <= self.longest).then(|| self.is_hidden(&joined))
                });
                parts.any(|is_hidden| is_hidden)
            }) || words.iter().any(|word| self.is_made_of_hidden(word))
        })
    }

    /// One word or several in one, in the singular or the plural.
    fn is_hidden(&self, word: &str) -> bool {
        let singular = |end: &str| word.strip_suffix(end).is_some_and(|word| self.hidden.contains(word));
        self.hidden.contains(word) || singular("s") || singular("es")
    }

    /// Whether a word consists only of hidden words and their companions: `customeremail`, and not `author`.
    fn is_made_of_hidden(&self, word: &str) -> bool {
        // Up to each place of the word: whether it can be divided there, and whether something hidden came before.
        let mut divides = vec![None; word.len() + 1];
        divides[0] = Some(false);
        for end in 1..=word.len() {
            for start in end.saturating_sub(self.longest)..end {
                let (Some(is_hidden), Some(part)) = (divides[start], word.get(start..end)) else { continue };
                if self.is_hidden(part) {
                    divides[end] = Some(true);
                } else if COMPANIONS.contains(&part) {
                    divides[end] = Some(is_hidden || divides[end] == Some(true));
                }
            }
        }
        divides[word.len()] == Some(true)
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self::new(HIDDEN_KEYS.iter().copied())
    }
}

/// What a capital letter says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// A word begins: `accessKey`, `JWTHeader`.
    Divides,
    Ignored,
}

/// The words of a key, in lower case.
fn words(key: &str, case: Case) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before: Option<char> = None;
    let mut chars = key.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_alphanumeric() {
            before = None;
            continue;
        }
        let begins = before.is_none_or(|before| {
            let rises = c.is_uppercase() && before.is_lowercase();
            let falls = c.is_uppercase()
                && before.is_uppercase()
                && chars.peek().is_some_and(|next| next.is_lowercase());
            before.is_numeric() != c.is_numeric() || case == Case::Divides && (rises || falls)
        });
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_in_every_spelling() {
        let redaction = Redaction::default();
        for key in [
            "auth",
            "X-Auth",
            "basicAuth",
            "auth_header",
            "Bearer",
            "bearerToken",
            "jwt",
            "userJWT",
            "JWTHeader",
            "otp",
            "OTPCode",
            "otp2",
            "pin",
            "PIN",
            "PINs",
            "pinCode",
            "new_pin",
            "pin-2",
            "accessKey",
            "ACCESS_KEY",
            "access-key",
            "access key",
            "AccessKeyId",
            "accesskey",
            "aws.access.key",
            "mail",
            "e-mail",
            "E_Mail",
            "eMail",
            "EMail",
            "emails",
            "customerEmail",
            "customeremail",
            "mailTo",
            "tel",
            "tel1",
            "homeTel",
            "street",
            "Street2",
            "street_name",
            "dateOfBirth",
            "date_of_birth",
            "DATE-OF-BIRTH",
            "dateofbirth",
            "DateOfBirth",
            "password",
            "newPassword",
            "passwords",
            "userpassword",
            "API_KEY",
            "api-key",
            "apikey",
            "X-Auth-Token",
            "refreshtoken",
            "useraccesstokens",
            "addresses",
            "emailaddress",
            "phoneNumbers",
            "first_name",
            "pass\u{200b}word",
            "cardNumber",
            "ssn",
        ] {
            assert!(redaction.hides(key), "{key}");
        }
    }

    #[test]
    fn a_word_that_only_holds_another_is_not_hidden() {
        let redaction = Redaction::default();
        for key in [
            "shipping",
            "shippingMethod",
            "author",
            "authorId",
            "opinion",
            "spinner",
            "mapping",
            "hotel",
            "telemetry",
            "company",
            "expansion",
            "panel",
            "mailing",
            "discard",
            "cardinality",
            "passed",
            "passenger",
            "compass",
            "saltwater",
            "shipped",
            "description",
            "tokenizer",
            "secretary",
            "streetwear",
            "amount",
            "id",
            "orderId",
            "sku",
            "currency",
            "userName",
            "productName",
            "name",
            "status",
            "keys",
            "ordernumber",
            "",
            "-",
        ] {
            assert!(!redaction.hides(key), "{key}");
        }
    }

    #[test]
    fn a_key_as_long_as_an_input_is_read_in_no_time() {
        let redaction = Redaction::default();
        for key in ["x".repeat(1 << 18), "a1".repeat(1 << 17), "aB".repeat(1 << 17)] {
            assert!(!redaction.hides(&key));
            assert!(redaction.hides(&(key + "_password")));
        }
    }

    #[test]
    fn an_applications_own_list_takes_the_place_of_ours() {
        let own = Redaction::new(["pin", "", "Shoe-Size"]);
        for key in ["PIN", "shoesize", "SHOE_SIZE", "shoeSizes"] {
            assert!(own.hides(key), "{key}");
        }
        assert!(!own.hides("password") && !own.hides("shipping") && !own.hides("size"));
    }
}

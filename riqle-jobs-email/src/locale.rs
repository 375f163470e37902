//! The languages of the emails.

use serde::{Deserialize, Deserializer, Serialize};

/// The language of an email.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

impl Locale {
    /// All of them.
    pub const ALL: [Locale; 2] = [Locale::En, Locale::De];

    /// From a language tag such as `de` or `de-AT` (BCP 47); `None` for a language without texts.
    pub fn of_tag(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "de" => Some(Self::De),
            _ => None,
        }
    }
}

/// Reads the optional locale of an input: one without texts counts as none, since an email in the shop's own
/// language is better than no email.
pub(crate) fn optional<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Locale>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.as_deref().and_then(Locale::of_tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_without_a_locale_or_with_one_that_has_no_texts_is_fine() {
        use crate::jobs::PurchaseConfirmation;
        for (json, locale) in [
            (r#"{"orderId":"1","customerEmail":"a@example.com"}"#, None),
            (r#"{"orderId":"1","customerEmail":"a@example.com","locale":null}"#, None),
            (r#"{"orderId":"1","customerEmail":"a@example.com","locale":"fr-FR"}"#, None),
            (r#"{"orderId":"1","customerEmail":"a@example.com","locale":"de-CH"}"#, Some(Locale::De)),
        ] {
            let input: PurchaseConfirmation = serde_json::from_str(json).unwrap();
            assert_eq!(input.locale, locale, "{json}");
        }
        let plain = PurchaseConfirmation::new("1", "a@example.com");
        let json = serde_json::to_string(&plain).unwrap();
        assert_eq!(json, r#"{"orderId":"1","customerEmail":"a@example.com"}"#);
    }

    #[test]
    fn tags_are_read_by_their_language() {
        for (tag, locale) in [
            ("en", Some(Locale::En)),
            ("de-AT", Some(Locale::De)),
            ("DE_ch", Some(Locale::De)),
            ("fr", None),
            ("", None),
        ] {
            assert_eq!(Locale::of_tag(tag), locale, "{tag}");
        }
    }
}

//! Currencies, and amounts of money as people read them.

use std::fmt;

use riqle_jobs_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::Locale;

/// A currency of ISO 4217, stored as its three-letter code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Reads a three-letter code in any case.
    ///
    /// # Errors
    /// `Rejected`, permanently, if ISO 4217 has no such code, or gives it no minor unit (gold, special drawing
    /// rights).
    pub fn parse(code: &str) -> Result<Self, Error> {
        iso_currency::Currency::from_code(&code.to_ascii_uppercase())
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or_else(|| {
                let message = "not a currency code of ISO 4217";
                Error::new(ErrorKind::Rejected, "currency", message).permanent()
            })
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals the minor unit has: USD 2, JPY 0, KWD 3.
    pub fn decimals(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    /// A sign that names one currency only; `$` is the US dollar's.
    fn sign(self) -> Option<&'static str> {
        match self.code() {
            "USD" => Some("$"),
            "EUR" => Some("€"),
            "GBP" => Some("£"),
            "JPY" => Some("¥"),
            _ => None,
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = Error;

    fn try_from(code: String) -> Result<Self, Error> {
        Self::parse(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// An amount of money.
///
/// Shown with all decimals of its currency and no thousands separators: behind the sign for USD, EUR, GBP and JPY
/// (`$53.00`, `¥5300`, `-€0.50`), before the code for all others (`12.345 KWD`).
///
/// ```
/// # use riqle_jobs_email::Money;
/// assert_eq!(Money::new(5300, "usd")?.to_string(), "$53.00");
/// assert_eq!(Money::new(5300, "JPY")?.to_string(), "¥5300");
/// assert_eq!(Money::new(12_345, "KWD")?.to_string(), "12.345 KWD");
/// # Ok::<(), riqle_jobs_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// In minor units as ISO 4217 defines them: cents, yen, fils. Stripe uses the same, except for ISK and UGX,
    /// which it gives in hundredths.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// `amount` minor units of the currency with this code.
    ///
    /// # Errors
    /// As [`Currency::parse`].
    pub fn new(amount: i64, currency: &str) -> Result<Self, Error> {
        Ok(Self { amount, currency: Currency::parse(currency)? })
    }
}

impl Money {
    /// As written in a language: `$53.00`, or in German `53,00 $`.
    pub fn shown_in(self, locale: Locale) -> String {
        match locale {
            Locale::En => self.to_string(),
            Locale::De => {
                let sign = self.currency.sign().unwrap_or(self.currency.code());
                // The space keeps amount and sign on one line.
                format!("{}\u{a0}{sign}", self.number(','))
            }
        }
    }

    /// The amount with the decimals of its currency.
    fn number(self, separator: char) -> String {
        let minus = if self.amount < 0 { "-" } else { "" };
        let decimals = self.currency.decimals();
        let unit = 10_u64.pow(decimals);
        let minor = self.amount.unsigned_abs();
        let whole = minor / unit;
        if decimals == 0 {
            return format!("{minus}{whole}");
        }
        format!("{minus}{whole}{separator}{:0width$}", minor % unit, width = decimals as usize)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number('.');
        match self.currency.sign() {
            // The minus stands before the sign.
            Some(sign) => match number.strip_prefix('-') {
                Some(number) => write!(f, "-{sign}{number}"),
                None => write!(f, "{sign}{number}"),
            },
            None => write!(f, "{number} {}", self.currency.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown_with_the_decimals_of_its_currency() {
        for (amount, currency, shown) in [
            (5300, "USD", "$53.00"),
            (5, "usd", "$0.05"),
            (-50, "EUR", "-€0.50"),
            (0, "GBP", "£0.00"),
            (5300, "JPY", "¥5300"),
            (12_345, "KWD", "12.345 KWD"),
            (123_400, "CAD", "1234.00 CAD"),
            (i64::MIN, "USD", "-$92233720368547758.08"),
        ] {
            assert_eq!(Money::new(amount, currency).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn money_is_shown_as_a_language_writes_it() {
        for (amount, currency, shown) in [
            (5300, "USD", "53,00\u{a0}$"),
            (-50, "EUR", "-0,50\u{a0}€"),
            (5300, "JPY", "5300\u{a0}¥"),
            (1, "KWD", "0,001\u{a0}KWD"),
        ] {
            assert_eq!(Money::new(amount, currency).unwrap().shown_in(Locale::De), shown);
        }
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for code in ["", "US", "ABC", "XAU", "$"] {
            assert_eq!(Money::new(1, code).unwrap_err().kind(), ErrorKind::Rejected, "{code}");
        }
    }

    #[test]
    fn money_is_stored_as_amount_and_code() {
        let json = serde_json::to_string(&Money::new(5300, "usd").unwrap()).unwrap();
        assert_eq!(json, r#"{"amount":5300,"currency":"USD"}"#);
        assert!(serde_json::from_str::<Money>(r#"{"amount":1,"currency":"nope"}"#).is_err());
    }
}

//! A refund of an order, or of part of it.

use serde::{Deserialize, Serialize};

/// A refund of an order, or of part of it: `{"id", "amount", "currency"}`, or `{"id", "upTo", "currency"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Identifies it among the refunds of its order, such as `re_…`. The customer is told of each once.
    pub id: String,
    /// How much is refunded, in minor units.
    #[serde(flatten)]
    pub amount: RefundAmount,
    /// A code of ISO 4217, in any case.
    pub currency: String,
}

/// How much is refunded, as the sender knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefundAmount {
    /// This much.
    Amount(i64),
    /// Whatever brings all refunds of the order to this much.
    UpTo(i64),
}

impl Refund {
    /// A refund of `amount` minor units.
    pub fn new(id: impl Into<String>, amount: i64, currency: impl Into<String>) -> Self {
        Self { id: id.into(), amount: RefundAmount::Amount(amount), currency: currency.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refund_is_stored_with_its_amount_or_its_sum() {
        let text = r#"{"id":"re_1","amount":9007199254740993,"currency":"usd"}"#;
        assert_eq!(
            serde_json::from_str::<Refund>(text).unwrap(),
            Refund::new("re_1", 9_007_199_254_740_993, "usd")
        );
        assert_eq!(serde_json::to_string(&Refund::new("re_1", 9_007_199_254_740_993, "usd")).unwrap(), text);
        let text = r#"{"id":"ch_1/5300","upTo":5300,"currency":"usd"}"#;
        let up_to: Refund = serde_json::from_str(text).unwrap();
        assert_eq!(up_to.amount, RefundAmount::UpTo(5300));
        assert_eq!(serde_json::to_string(&up_to).unwrap(), text);
        for wrong in [
            r#"{"id":"re_1","currency":"usd"}"#,
            r#"{"amount":1,"currency":"usd"}"#,
            r#"{"id":"re_1","amount":1.5,"currency":"usd"}"#,
        ] {
            serde_json::from_str::<Refund>(wrong).unwrap_err();
        }
    }
}

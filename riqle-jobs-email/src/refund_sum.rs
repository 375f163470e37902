//! What a refund gives back of its order, and how the customer is told of it once.

use riqle_jobs_core::{JobError, Mailbox, email::canonical_address};
use sha2::{Digest, Sha256};

use crate::{Currency, Money, Refund, RefundAmount};

impl Refund {
    /// How much of `total` it refunds when the order's other refunds amount to `before`, in minor units.
    ///
    /// # Errors
    /// Dead at once, with both amounts, and reported to `on_alert`: more than is left, zero or less, another
    /// currency than the total's, or an unknown one.
    pub fn amount_of(&self, total: Money, before: i64) -> Result<Money, JobError> {
        let amount = match self.amount {
            RefundAmount::Amount(amount) => amount,
            RefundAmount::UpTo(sum) => sum.saturating_sub(before),
        };
        let left = Money { amount: total.amount.saturating_sub(before), ..total };
        let Ok(currency) = Currency::parse(&self.currency) else {
            let problem = format!("a refund of {amount} in {:?}, which is not a currency,", self.currency);
            return Err(does_not_fit(&problem, left, total));
        };
        let refund = Money { amount, currency };
        if currency != total.currency || amount <= 0 || amount > left.amount {
            return Err(does_not_fit(&format!("a refund of {refund}"), left, total));
        }
        Ok(refund)
    }

    /// The key of the email about it to a recipient, the same in every run.
    pub(crate) fn email_key(&self, order_id: &str, to: &Mailbox) -> String {
        format!("riqle-refund-{}", digest(&[order_id, &self.id, &canonical_address(&to.address)]))
    }
}

fn does_not_fit(refund: &str, left: Money, total: Money) -> JobError {
    JobError::dead(format_args!("{refund} does not fit: {left} of {total} is left")).alert()
}

/// Short, whatever the parts, and no two lists of parts have the same.
fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(amount: i64) -> Money {
        Money::new(amount, "USD").unwrap()
    }

    #[test]
    fn a_refund_gives_back_what_it_says_or_what_is_missing_to_its_sum() {
        assert_eq!(Refund::new("re_1", 1000, "usd").amount_of(usd(5300), 0).unwrap(), usd(1000));
        assert_eq!(Refund::new("re_2", 4300, "USD").amount_of(usd(5300), 1000).unwrap(), usd(4300));
        let up_to = Refund { amount: RefundAmount::UpTo(3000), ..Refund::new("re_3", 0, "usd") };
        assert_eq!(up_to.amount_of(usd(5300), 1000).unwrap(), usd(2000));
    }

    #[test]
    fn a_refund_that_does_not_fit_says_both_amounts_and_wants_an_alert() {
        for (amount, currency, before, line) in [
            (5301, "usd", 0, "a refund of $53.01 does not fit: $53.00 of $53.00 is left"),
            (4301, "usd", 1000, "a refund of $43.01 does not fit: $43.00 of $53.00 is left"),
            (0, "usd", 0, "a refund of $0.00 does not fit: $53.00 of $53.00 is left"),
            (-1, "usd", 5300, "a refund of -$0.01 does not fit: $0.00 of $53.00 is left"),
            (
                i64::MIN,
                "usd",
                i64::MAX,
                "a refund of -$92233720368547758.08 does not fit: -$92233720368547705.07 of $53.00 is left",
            ),
            (1000, "eur", 0, "a refund of €10.00 does not fit: $53.00 of $53.00 is left"),
            (
                1000,
                "zzz",
                0,
                "a refund of 1000 in \"zzz\", which is not a currency, does not fit: $53.00 of $53.00 is left",
            ),
        ] {
            let error = Refund::new("re_1", amount, currency).amount_of(usd(5300), before).unwrap_err();
            assert_eq!((error.message(), error.wants_alert()), (line, true));
        }
    }

    #[test]
    fn no_two_refunds_share_a_key() {
        let refund = |id| Refund::new(id, 1, "usd");
        let to = |address| Mailbox::parse(address).unwrap();
        assert_ne!(refund("b").email_key("a", &to("c@d.e")), refund("b").email_key("a", &to("d@d.e")));
        assert_eq!(refund("b").email_key("a", &to("c@d.e")), refund("b").email_key("a", &to("c@D.e")));
    }
}

//! An order, as far as its emails need it, and whether its sums add up.

use jiff::Timestamp;
use riqle_jobs_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::Money;

/// An order, as far as its emails need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its id, as the customer knows it.
    pub id: String,
    /// What was bought, in the order of the receipt. Shipping, tax and discounts are items of their own; a
    /// discount has a negative price.
    pub items: Vec<OrderItem>,
    /// What was charged: the sum of the items.
    pub total: Money,
    /// What was refunded so far; `None` means the total.
    pub refunded: Option<Money>,
    /// When its confirmation was marked as sent; once set, no other confirmation goes out.
    pub fulfilled_at: Option<Timestamp>,
    /// When its first refund notification was marked as sent; once set, no other goes out except for refunds
    /// with an id.
    pub refunded_at: Option<Timestamp>,
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// What was bought.
    pub product: Product,
    /// How many.
    pub quantity: u32,
    /// The price of one piece, in minor units of the order's currency.
    pub unit_price: i64,
}

/// Something that the shop sells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Its id.
    pub id: String,
    /// Its name, as shown to customers.
    pub name: String,
}

impl Order {
    /// The price of a line.
    pub(crate) fn price_of(&self, item: &OrderItem) -> Money {
        Money { amount: item.unit_price.saturating_mul(i64::from(item.quantity)), ..self.total }
    }

    /// What was refunded.
    pub fn refund(&self) -> Money {
        self.refunded.unwrap_or(self.total)
    }

    /// Checks that the items add up to the total.
    ///
    /// # Errors
    /// `Rejected`, with both sums.
    pub fn check_total(&self) -> Result<(), Error> {
        let sum: i128 =
            self.items.iter().map(|item| i128::from(item.unit_price) * i128::from(item.quantity)).sum();
        if sum == i128::from(self.total.amount) {
            return Ok(());
        }
        let sum = match i64::try_from(sum) {
            Ok(amount) => Money { amount, ..self.total }.to_string(),
            Err(_) => "more than any amount".to_owned(),
        };
        Err(self.rejected(format_args!("its items add up to {sum}, its total is {}", self.total)))
    }

    /// Checks that the refund is positive, in the order's currency, and no more than was charged.
    ///
    /// # Errors
    /// `Rejected`, with both amounts.
    pub fn check_refund(&self) -> Result<(), Error> {
        let refund = self.refund();
        if refund.currency != self.total.currency || refund.amount <= 0 || refund.amount > self.total.amount {
            return Err(
                self.rejected(format_args!("a refund of {refund} does not fit its total of {}", self.total))
            );
        }
        Ok(())
    }

    fn rejected(&self, line: std::fmt::Arguments<'_>) -> Error {
        Error::new(ErrorKind::Rejected, "order", format!("order {:?}: {line}", self.id)).permanent()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 2 lamps at $19.00 and a cable at $15.00: $53.00.
    pub(crate) fn order() -> Order {
        let item = |name: &str, quantity, unit_price| OrderItem {
            product: Product { id: name.to_lowercase(), name: name.to_owned() },
            quantity,
            unit_price,
        };
        Order {
            id: "order-1001".to_owned(),
            items: vec![item("Desk lamp", 2, 1900), item("Cable", 1, 1500)],
            total: Money::new(5300, "USD").unwrap(),
            refunded: None,
            fulfilled_at: None,
            refunded_at: None,
        }
    }

    #[test]
    fn items_that_do_not_add_up_are_refused_with_both_sums() {
        let mut order = order();
        order.check_total().unwrap();
        order.items[0].quantity = 3;
        assert_eq!(
            order.check_total().unwrap_err().message(),
            r#"order "order-1001": its items add up to $72.00, its total is $53.00"#
        );
        order.items.clear();
        assert_eq!(order.check_total().unwrap_err().kind(), ErrorKind::Rejected);
        order.total.amount = 0;
        order.check_total().unwrap();
    }

    #[test]
    fn sums_beyond_64_bits_are_refused() {
        let mut order = order();
        order.items[0].unit_price = i64::MAX;
        order.items[0].quantity = u32::MAX;
        assert_eq!(order.check_total().unwrap_err().kind(), ErrorKind::Rejected);
    }

    #[test]
    fn a_refund_is_at_most_the_total_and_in_its_currency() {
        let mut order = order();
        order.check_refund().unwrap();
        for (amount, currency) in [(5301, "USD"), (0, "USD"), (-1, "USD"), (100, "EUR")] {
            order.refunded = Some(Money::new(amount, currency).unwrap());
            assert_eq!(order.check_refund().unwrap_err().kind(), ErrorKind::Rejected, "{amount} {currency}");
        }
        order.refunded = Some(Money::new(100, "USD").unwrap());
        order.check_refund().unwrap();
    }
}

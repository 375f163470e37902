use askama::Template;
use riqle_jobs_core::{Email, Error, Mailbox};

use super::{PURCHASE_CONFIRMATION, email, line};
use crate::{Brand, Money, Order};

/// More lines than this are counted instead of shown: Gmail clips an email of more than 102 KB.
const LINES_SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "purchase_confirmation.html")]
struct Html<'a> {
    brand: &'a Brand,
    order_id: &'a str,
    order_url: &'a str,
    lines: &'a [Line],
    more: usize,
    total: Money,
}

#[derive(Template)]
#[template(path = "purchase_confirmation.txt")]
struct Text<'a> {
    brand: &'a Brand,
    order_id: &'a str,
    order_url: &'a str,
    lines: &'a [Line],
    more: usize,
    total: Money,
}

struct Line {
    name: String,
    quantity: u32,
    unit_price: Money,
    price: Money,
}

/// The receipt of a paid order: its items with quantities and prices, the first 100 of them, and the total.
///
/// # Errors
/// `Rejected` where the items don't add up to the total.
pub fn purchase_confirmation(brand: &Brand, order: &Order, to: Mailbox) -> Result<Email, Error> {
    order.check_total()?;
    let lines: Vec<Line> = order
        .items
        .iter()
        .take(LINES_SHOWN)
        .map(|item| Line {
            name: line(&item.product.name, 100),
            quantity: item.quantity,
            unit_price: Money { amount: item.unit_price, ..order.total },
            price: order.price_of(item),
        })
        .collect();
    let (order_id, order_url) = (line(&order.id, 60), brand.order_url(&order.id));
    let more = order.items.len().saturating_sub(LINES_SHOWN);
    let subject = format!("Your {} order {order_id}", brand.shop_name);
    let (lines, total) = (&lines[..], order.total);
    let html = Html { brand, order_id: &order_id, order_url: &order_url, lines, more, total };
    let text = Text { brand, order_id: &order_id, order_url: &order_url, lines, more, total };
    Ok(email(PURCHASE_CONFIRMATION, brand, to, &subject, &html, &text)?.reference(&order.id))
}

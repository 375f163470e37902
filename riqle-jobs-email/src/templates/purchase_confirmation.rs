//! The receipt of an order, rendered.

use askama::Template;
use riqle_jobs_core::{Email, Error, Mailbox};

use super::{PURCHASE_CONFIRMATION, email, line, texts::Texts};
use crate::{Brand, Money, Order};

/// More lines than this are counted instead of shown: Gmail clips an email of more than 102 KB.
const LINES_SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "purchase_confirmation.html")]
struct Html<'a> {
    texts: &'static Texts,
    brand: &'a Brand,
    order_id: &'a str,
    order_url: &'a str,
    lines: &'a [Line],
    more: usize,
    total: &'a str,
}

#[derive(Template)]
#[template(path = "purchase_confirmation.txt")]
struct Text<'a> {
    texts: &'static Texts,
    brand: &'a Brand,
    order_id: &'a str,
    order_url: &'a str,
    lines: &'a [Line],
    more: usize,
    total: &'a str,
}

struct Line {
    name: String,
    quantity: u32,
    unit_price: String,
    price: String,
}

/// The receipt of a paid order: its items with quantities and prices, the first 100 of them, and the total.
///
/// # Errors
/// `Rejected` if the items don't add up to the total.
pub fn purchase_confirmation(brand: &Brand, order: &Order, to: Mailbox) -> Result<Email, Error> {
    order.check_total()?;
    let texts = Texts::of(brand.locale);
    let shown = |money: Money| money.shown_in(brand.locale);
    let lines: Vec<Line> = order
        .items
        .iter()
        .take(LINES_SHOWN)
        .map(|item| Line {
            name: line(&item.product.name, 100),
            quantity: item.quantity,
            unit_price: shown(Money { amount: item.unit_price, ..order.total }),
            price: shown(order.price_of(item)),
        })
        .collect();
    let (order_id, order_url) = (line(&order.id, 60), brand.order_url(&order.id));
    let more = order.items.len().saturating_sub(LINES_SHOWN);
    let subject = (texts.purchase_subject)(&brand.shop_name, &order_id);
    let (lines, total) = (&lines[..], &shown(order.total));
    let html = Html { texts, brand, order_id: &order_id, order_url: &order_url, lines, more, total };
    let text = Text { texts, brand, order_id: &order_id, order_url: &order_url, lines, more, total };
    Ok(email(PURCHASE_CONFIRMATION, brand, to, &subject, &html, &text)?.reference(&order.id))
}

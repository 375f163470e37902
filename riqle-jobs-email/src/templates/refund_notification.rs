//! The notice of a refund, rendered.

use askama::Template;
use riqle_jobs_core::{Email, Error, Mailbox};

use super::{REFUND_NOTIFICATION, email, line, texts::Texts};
use crate::{Brand, Order};

#[derive(Template)]
#[template(path = "refund_notification.html")]
struct Html<'a> {
    texts: &'static Texts,
    brand: &'a Brand,
    order_id: &'a str,
    order_url: &'a str,
    refund: &'a str,
    partial: bool,
    total: &'a str,
    reason: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "refund_notification.txt")]
struct Text<'a> {
    texts: &'static Texts,
    brand: &'a Brand,
    order_id: &'a str,
    order_url: &'a str,
    refund: &'a str,
    partial: bool,
    total: &'a str,
    reason: Option<&'a str>,
}

/// What was refunded of an order, and why if a reason is given.
///
/// # Errors
/// `Rejected` if the refund is not part of the total.
pub fn refund_notification(
    brand: &Brand,
    order: &Order,
    reason: Option<&str>,
    to: Mailbox,
) -> Result<Email, Error> {
    order.check_refund()?;
    let texts = Texts::of(brand.locale);
    let (order_id, order_url) = (line(&order.id, 60), brand.order_url(&order.id));
    let reason = reason.map(|reason| line(reason, 200)).filter(|reason| !reason.is_empty());
    let reason = reason.as_deref();
    let partial = order.refund() != order.total;
    let refund = &order.refund().shown_in(brand.locale);
    let total = &order.total.shown_in(brand.locale);
    let subject = (texts.refund_subject)(refund, &brand.shop_name, &order_id);
    let html =
        Html { texts, brand, order_id: &order_id, order_url: &order_url, refund, partial, total, reason };
    let text =
        Text { texts, brand, order_id: &order_id, order_url: &order_url, refund, partial, total, reason };
    Ok(email(REFUND_NOTIFICATION, brand, to, &subject, &html, &text)?.reference(&order.id))
}

//! What the rendered emails show, and what hostile text can't do in them.

use riqle_jobs_core::{Email, Mailbox};

use super::*;
use crate::{Money, Order, order::tests::order};

fn brand() -> Brand {
    Brand::new(Mailbox::parse("Riqle <orders@riqle.com>").unwrap())
        .reply_to(Mailbox::parse("help@riqle.com").unwrap())
}

fn to() -> Mailbox {
    Mailbox::parse("ada@example.com").unwrap()
}

fn confirmation(order: &Order) -> Email {
    purchase_confirmation(&brand(), order, to()).unwrap()
}

/// What each of the emails owes a mail client.
fn check(email: &Email) {
    for needed in [
        "<html lang=\"en\"",
        "name=\"color-scheme\" content=\"light dark\"",
        "prefers-color-scheme: dark",
        "max-width:600px",
        "display:none",
        "mailto:help@riqle.com",
    ] {
        assert!(email.html.contains(needed), "{}: no {needed}", email.template);
    }
    let lower = email.html.to_lowercase();
    for refused in ["<script", "<img", "<link", "@import", "url(", "javascript:", "{{", "{%"] {
        assert!(!lower.contains(refused), "{}: {refused}", email.template);
    }
    assert_eq!(
        email.html.matches("<table").count(),
        email.html.matches("<table role=\"presentation\"").count()
    );
    assert!(email.html.len() < 102 * 1024, "{} has {} bytes", email.template, email.html.len());
    assert!(!email.text.contains("{{") && !email.text.contains('<'), "{}", email.text);
    assert!(email.text.lines().all(|line| !line.chars().any(char::is_control)));
    assert_eq!(email.reply_to.as_ref().unwrap().address, "help@riqle.com");
}

#[test]
fn a_confirmation_shows_items_quantities_prices_and_total() {
    let email = confirmation(&order());
    check(&email);
    assert_eq!(email.subject, "Your Riqle order order-1001");
    assert_eq!(email.reference.as_deref(), Some("order-1001"));
    assert_eq!(
        email.text,
        "Thank you for your order.\n\
         \n\
         We have received your payment of $53.00.\n\
         This is your receipt for order order-1001:\n\
         \n\
         - Desk lamp\n  2 x $19.00 = $38.00\n\
         - Cable\n  1 x $15.00 = $15.00\n\
         \n\
         Total: $53.00\n\
         \n\
         View your order: https://riqle.com/orders/order-1001\n\
         \n\
         -- \n\
         You are receiving this email because you bought something at Riqle.\n\
         Questions? Write to help@riqle.com.\n\
         Riqle, https://riqle.com"
    );
    for shown in
        ["Desk lamp", "2 &times; $19.00", "$38.00", "Cable", "$15.00", "https://riqle.com/orders/order-1001"]
    {
        assert!(email.html.contains(shown), "{shown}");
    }
}

#[test]
fn a_confirmation_whose_items_do_not_add_up_is_not_rendered() {
    let mut order = order();
    order.total.amount += 1;
    assert!(purchase_confirmation(&brand(), &order, to()).is_err());
}

#[test]
fn an_order_without_items_still_reads_well() {
    let mut order = order();
    order.items.clear();
    order.total.amount = 0;
    let email = confirmation(&order);
    check(&email);
    assert!(
        email.text.contains("order order-1001:\n\n\nTotal: $0.00\n") || email.text.contains("Total: $0.00\n")
    );
}

#[test]
fn a_long_order_is_counted_and_stays_under_the_clipping_limit() {
    let mut order = order();
    let mut item = order.items[1].clone();
    item.product.name = "&".repeat(300);
    order.items = vec![item; 250];
    order.total.amount = 250 * 1500;
    let email = confirmation(&order);
    check(&email);
    assert!(email.html.contains("and 150 more items") && email.text.contains("and 150 more items"));
    assert_eq!(email.text.matches("1 x $15.00").count(), 100);
    order.items.truncate(101);
    order.total.amount = 101 * 1500;
    assert!(confirmation(&order).text.contains("and 1 more item,"));
}

#[test]
fn hostile_names_are_escaped_and_stripped() {
    let mut order = order();
    order.id = "x\"><script>alert(1)</script>".to_owned();
    order.items[0].product.name = "<img src=x onerror=alert(1)>\r\nBcc: eve@example.com\u{202e}\0".to_owned();
    order.items[1].product.name = "{{ total }}".to_owned();
    let email = confirmation(&order);
    assert!(!email.html.contains("<script") && !email.html.contains("<img"));
    assert!(email.html.contains("&#60;img src=x onerror=alert(1)&#62; Bcc: eve@example.com<"));
    assert!(email.html.contains("/orders/x%22%3E%3Cscript%3E"));
    assert!(email.text.contains("- <img src=x onerror=alert(1)> Bcc: eve@example.com\n"));
    assert!(!email.subject.chars().any(char::is_control));
    assert!(!email.html.contains('\u{202e}') && !email.text.contains('\u{202e}'));

    let email = welcome(&brand(), Some("<b>Ada</b>\r\n\r\nSecond line"), to()).unwrap();
    assert!(email.html.contains("Hello <span dir=\"auto\">&#60;b&#62;Ada&#60;/b&#62; Second line</span>,"));
    assert!(email.text.starts_with("Hello <b>Ada</b> Second line,\n"));
}

#[test]
fn a_refund_shows_its_amount_and_its_reason_where_there_is_one() {
    let mut order = order();
    let email = refund_notification(&brand(), &order, Some("Damaged in transit"), to()).unwrap();
    check(&email);
    assert_eq!(email.subject, "Your refund of $53.00 for Riqle order order-1001");
    assert!(email.text.contains("We have refunded $53.00 for your order order-1001."));
    assert!(email.text.contains("\n\nReason: Damaged in transit\n\nView"));
    assert!(email.html.contains("Damaged in transit"));

    order.refunded = Some(Money::new(1000, "USD").unwrap());
    for reason in [None, Some(""), Some(" \n ")] {
        let email = refund_notification(&brand(), &order, reason, to()).unwrap();
        check(&email);
        assert!(email.text.contains("We have refunded $10.00 of $53.00 for your order"));
        assert!(email.text.contains("this takes 5 to 10 days.\n\nView your order"), "{}", email.text);
        assert!(!email.text.contains("Reason") && !email.html.contains("Reason"));
    }
}

#[test]
fn a_welcome_greets_by_name_where_there_is_one() {
    let email = welcome(&brand(), Some("Ada"), to()).unwrap();
    check(&email);
    assert_eq!(email.subject, "Welcome to Riqle");
    assert!(email.text.starts_with("Hello Ada,\n\nWelcome to Riqle."));
    let blanks =
        [None, Some(""), Some("\u{200e}"), Some("Win at https://evil.example"), Some("WWW.evil.example")];
    for name in blanks {
        let email = welcome(&brand(), name, to()).unwrap();
        check(&email);
        assert!(email.text.starts_with("Hello,\n") && email.html.contains(">Hello,</p>"), "{name:?}");
    }
    let long = welcome(&brand(), Some(&"ä".repeat(500)), to()).unwrap();
    assert!(long.text.starts_with(&format!("Hello {}…,\n", "ä".repeat(60))));
}

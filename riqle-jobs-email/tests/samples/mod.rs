//! The emails that the golden files hold and `cargo xtask emails` shows.

use riqle_jobs_core::{Email, Error, Mailbox};
use riqle_jobs_email::{Brand, Locale, Money, Order, OrderItem, Product, templates};

/// An email with the name of its files.
pub struct Sample {
    pub name: &'static str,
    pub email: Email,
}

/// Hostile: markup, quotes, controls, changed direction, and a word that no line can break.
const HOSTILE: &str = "<script>alert('1')</script> \"O'Brien\" & Sons\u{202e}gpj.\r\nBcc: x@example.com";
const UNBREAKABLE: &str =
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftsmitgliedsausweis";

pub fn samples() -> Result<Vec<Sample>, Error> {
    let brand =
        Brand::new(Mailbox::parse("Riqle <orders@riqle.com>")?).reply_to(Mailbox::parse("help@riqle.com")?);
    let to = Mailbox::parse("ada@example.com")?;
    let mut samples = Vec::new();
    let mut add = |name, email| samples.push(Sample { name, email });

    let lamps = [("Desk lamp, brass", 1, 4500), ("Filament bulb, 40 W", 2, 400)];
    let many: Vec<(String, u32, i64)> =
        (1..=200).map(|number| (format!("Part no. {number}"), 1, 100)).collect();
    let many: Vec<(&str, u32, i64)> =
        many.iter().map(|(name, count, price)| (&**name, *count, *price)).collect();
    let hostile = [(HOSTILE, 1, 4500), (UNBREAKABLE, 3, 100), ("مصباح مكتب نحاسي", 1, 500)];
    for (name, id, currency, items) in [
        ("purchase", "order-1001", "USD", &lamps[..]),
        ("purchase_euro", "order-1002", "EUR", &lamps),
        ("purchase_yen", "order-1003", "JPY", &lamps),
        ("purchase_dinar", "order-1004", "KWD", &lamps),
        ("purchase_hostile", "<b>\"1\"</b>/../x?y", "USD", &hostile),
        ("purchase_of_nothing", "order-1005", "USD", &[]),
        ("purchase_of_200", "order-1006", "USD", &many),
    ] {
        add(name, templates::purchase_confirmation(&brand, &order(id, currency, items)?, to.clone())?);
    }
    let order = order("order-1001", "USD", &lamps)?;
    let partial = Order { refunded: Some(Money::new(800, "USD")?), ..order.clone() };
    for (name, order, reason) in [
        ("refund", &order, Some("arrived damaged")),
        ("refund_without_reason", &order, None),
        ("refund_in_part", &partial, Some("two bulbs were broken")),
        ("refund_hostile", &order, Some(HOSTILE)),
    ] {
        add(name, templates::refund_notification(&brand, order, reason, to.clone())?);
    }
    let german = brand.clone().locale(Locale::De);
    add("purchase_german", templates::purchase_confirmation(&german, &order, to.clone())?);
    add(
        "refund_german",
        templates::refund_notification(&german, &partial, Some("zwei Birnen waren kaputt"), to.clone())?,
    );
    add("welcome_german", templates::welcome(&german, Some("Ada"), to.clone())?);
    for (name, user) in [
        ("welcome", Some("Ada")),
        ("welcome_without_name", None),
        ("welcome_hostile", Some(HOSTILE)),
        ("welcome_unbreakable", Some(UNBREAKABLE)),
        ("welcome_right_to_left", Some("عائشة")),
    ] {
        add(name, templates::welcome(&brand, user, to.clone())?);
    }
    Ok(samples)
}

fn order(id: &str, currency: &str, items: &[(&str, u32, i64)]) -> Result<Order, Error> {
    let items: Vec<OrderItem> = items
        .iter()
        .map(|(name, quantity, unit_price)| OrderItem {
            product: Product { id: (*name).to_owned(), name: (*name).to_owned() },
            quantity: *quantity,
            unit_price: *unit_price,
        })
        .collect();
    let total = items.iter().map(|item| item.unit_price * i64::from(item.quantity)).sum();
    Ok(Order {
        id: id.to_owned(),
        items,
        total: Money::new(total, currency)?,
        refunded: None,
        fulfilled_at: None,
        refunded_at: None,
    })
}

/// What is wrong with an email, in a mail client's eyes; empty where nothing is.
pub fn lint(email: &Email) -> Vec<String> {
    let mut wrong = Vec::new();
    let html = email.html.to_lowercase();
    // Gmail clips what is longer.
    if email.html.len() >= 102 * 1024 {
        wrong.push(format!("the HTML has {} bytes, 102 KB are shown", email.html.len()));
    }
    if email.text.trim().is_empty() {
        wrong.push("there is no text part".to_owned());
    }
    for placeholder in ["{{", "{%", "None", "Some("] {
        if email.html.contains(placeholder) || email.text.contains(placeholder) {
            wrong.push(format!("{placeholder:?} is left of a template"));
        }
    }
    for (needed, why) in
        [("<html lang=", "the language"), ("color-scheme", "dark mode"), ("<title>", "a title")]
    {
        if !html.contains(needed) {
            wrong.push(format!("{why} is missing: {needed}"));
        }
    }
    for refused in ["<script", "<link", "<iframe", "<form", "@import", "javascript:"] {
        if html.contains(refused) {
            wrong.push(format!("mail clients refuse {refused}"));
        }
    }
    wrong.extend(
        html.split("<img")
            .skip(1)
            .filter(|image| !image.split('>').next().is_some_and(|tag| tag.contains("alt=")))
            .map(|_| "an image has no alt text".to_owned()),
    );
    let links = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    wrong.extend(
        links
            .filter(|link| !link.starts_with("https://") && !link.starts_with("mailto:"))
            .map(|link| format!("the link {link:?} is neither https nor mailto")),
    );
    wrong
}

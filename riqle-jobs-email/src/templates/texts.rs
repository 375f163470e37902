//! What the emails say, in each language.

use crate::Locale;

/// What the emails say, in one language. Every field is needed, so a missing text does not compile. What is shown
/// between the parts of an array stands out, and so is not part of the text.
pub(super) struct Texts {
    /// A language tag of BCP 47.
    pub(super) lang: &'static str,
    pub(super) questions: &'static str,
    pub(super) view_order: &'static str,
    pub(super) visit_shop: &'static str,
    pub(super) total: &'static str,
    pub(super) reason: &'static str,

    /// Of the shop and the order.
    pub(super) purchase_subject: fn(&str, &str) -> String,
    pub(super) purchase_title: fn(&str) -> String,
    pub(super) purchase_heading: &'static str,
    /// Around the amount.
    pub(super) paid: [&'static str; 2],
    /// Before the order.
    pub(super) receipt: &'static str,
    pub(super) more: fn(usize) -> String,
    pub(super) because_bought: fn(&str) -> String,

    /// Of the amount, the shop and the order.
    pub(super) refund_subject: fn(&str, &str, &str) -> String,
    pub(super) refund_title: fn(&str) -> String,
    pub(super) refund_heading: &'static str,
    /// Of the amount.
    pub(super) refund_preheader: fn(&str) -> String,
    /// Before the refund, between it and the total, before the order, behind it.
    pub(super) refunded: [&'static str; 4],
    pub(super) money_back: &'static str,
    pub(super) because_refunded: fn(&str) -> String,

    pub(super) welcome: fn(&str) -> String,
    pub(super) account_ready: &'static str,
    /// Before a name; alone if there is none.
    pub(super) hello: &'static str,
    pub(super) look_around: &'static str,
    pub(super) because_signed_up: fn(&str) -> String,
    pub(super) not_you: &'static str,
}

impl Texts {
    pub(super) const fn of(locale: Locale) -> &'static Texts {
        match locale {
            Locale::En => &EN,
            Locale::De => &DE,
        }
    }
}

static EN: Texts = Texts {
    lang: "en",
    questions: "Questions? Write to",
    view_order: "View your order",
    visit_shop: "Visit the shop",
    total: "Total",
    reason: "Reason",

    purchase_subject: |shop, order| format!("Your {shop} order {order}"),
    purchase_title: |order| format!("Your order {order}"),
    purchase_heading: "Thank you for your order",
    paid: ["We have received your payment of", "."],
    receipt: "This is your receipt for order",
    more: |count| {
        format!("and {count} more {}, listed on your order page", if count == 1 { "item" } else { "items" })
    },
    because_bought: |shop| format!("You are receiving this email because you bought something at {shop}."),

    refund_subject: |refund, shop, order| format!("Your refund of {refund} for {shop} order {order}"),
    refund_title: |order| format!("Your refund for order {order}"),
    refund_heading: "Your refund is on its way",
    refund_preheader: |refund| format!("{refund} is on its way back to you."),
    refunded: ["We have refunded", "of", "for your order", "."],
    money_back: "The money goes back to your original payment method; depending on your bank, this takes 5 to 10 days.",
    because_refunded: |shop| {
        format!("You are receiving this email because your order at {shop} was refunded.")
    },

    welcome: |shop| format!("Welcome to {shop}"),
    account_ready: "Your account is ready.",
    hello: "Hello",
    look_around: "You can look around, put things in your cart, and find all of your orders and receipts in one place.",
    because_signed_up: |shop| {
        format!("You are receiving this email because this address signed up at {shop}.")
    },
    not_you: "If this was not you, there is nothing you need to do.",
};

static DE: Texts = Texts {
    lang: "de",
    questions: "Fragen? Schreiben Sie an",
    view_order: "Bestellung ansehen",
    visit_shop: "Zum Shop",
    total: "Summe",
    reason: "Grund",

    purchase_subject: |shop, order| format!("Ihre Bestellung {order} bei {shop}"),
    purchase_title: |order| format!("Ihre Bestellung {order}"),
    purchase_heading: "Vielen Dank für Ihre Bestellung",
    paid: ["Wir haben Ihre Zahlung über", " erhalten."],
    receipt: "Dies ist der Beleg für Ihre Bestellung",
    more: |count| {
        let positions = if count == 1 { "weitere Position" } else { "weitere Positionen" };
        format!("und {count} {positions}, zu finden bei Ihrer Bestellung")
    },
    because_bought: |shop| format!("Sie erhalten diese E-Mail, weil Sie bei {shop} eingekauft haben."),

    refund_subject: |refund, shop, order| {
        format!("Ihre Erstattung von {refund} für Bestellung {order} bei {shop}")
    },
    refund_title: |order| format!("Ihre Erstattung für Bestellung {order}"),
    refund_heading: "Ihre Erstattung ist unterwegs",
    refund_preheader: |refund| format!("{refund} sind auf dem Weg zu Ihnen."),
    refunded: ["Wir haben", "von", "für Ihre Bestellung", " erstattet."],
    money_back: "Das Geld kommt auf dem Weg zurück, auf dem Sie bezahlt haben; je nach Bank dauert das 5 bis 10 Tage.",
    because_refunded: |shop| {
        format!("Sie erhalten diese E-Mail, weil Ihre Bestellung bei {shop} erstattet wurde.")
    },

    welcome: |shop| format!("Willkommen bei {shop}"),
    account_ready: "Ihr Konto ist eingerichtet.",
    hello: "Guten Tag",
    look_around: "Sie können sich umsehen, Ihren Warenkorb füllen und finden alle Bestellungen und Belege an einem Ort.",
    because_signed_up: |shop| {
        format!("Sie erhalten diese E-Mail, weil sich diese Adresse bei {shop} angemeldet hat.")
    },
    not_you: "Falls Sie das nicht waren, brauchen Sie nichts zu tun.",
};

//! The welcome to a new user, rendered.

use askama::Template;
use riqle_jobs_core::{Email, Error, Mailbox};

use super::{WELCOME, email, line, texts::Texts};
use crate::Brand;

#[derive(Template)]
#[template(path = "welcome.html")]
struct Html<'a> {
    texts: &'static Texts,
    brand: &'a Brand,
    name: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "welcome.txt")]
struct Text<'a> {
    texts: &'static Texts,
    brand: &'a Brand,
    name: Option<&'a str>,
}

/// A welcome to a new user, by name if one is given.
///
/// A name that holds a web address is left out: anybody can sign up with anybody's address, and mail clients turn
/// such a name into a link.
///
/// # Errors
/// None that an application could cause.
pub fn welcome(brand: &Brand, name: Option<&str>, to: Mailbox) -> Result<Email, Error> {
    let name = name.map(|name| line(name, 60)).filter(|name| !name.is_empty() && !holds_address(name));
    let name = name.as_deref();
    let texts = Texts::of(brand.locale);
    let subject = (texts.welcome)(&brand.shop_name);
    email(WELCOME, brand, to, &subject, &Html { texts, brand, name }, &Text { texts, brand, name })
}

fn holds_address(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("://") || name.contains("www.") || name.contains("http:")
}

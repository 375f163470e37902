//! The three emails, rendered: what a customer reads about an order, a refund, a sign-up.

mod purchase_confirmation;
mod refund_notification;
mod texts;
mod welcome;

use askama::Template;
use riqle_jobs_core::{Email, Error, ErrorKind, Mailbox, email::visible_text};

pub use self::{
    purchase_confirmation::purchase_confirmation, refund_notification::refund_notification, welcome::welcome,
};
use crate::{Brand, Order};

/// The name of the purchase confirmation in the email log.
pub const PURCHASE_CONFIRMATION: &str = "purchase-confirmation";
/// The name of the refund notification in the email log.
pub const REFUND_NOTIFICATION: &str = "refund-notification";
/// The name of the welcome in the email log.
pub const WELCOME: &str = "welcome";

/// How the three emails are rendered. An application overrides the ones it wants to write itself.
///
/// ```
/// use std::sync::Arc;
/// use riqle_jobs_core::{Email, Error, Mailbox};
/// use riqle_jobs_email::{Brand, templates::Templates};
///
/// struct Shorter;
///
/// impl Templates for Shorter {
///     fn welcome(&self, brand: &Brand, name: Option<&str>, to: Mailbox) -> Result<Email, Error> {
///         let text = format!("Hi {}!", name.unwrap_or("there"));
///         let from = brand.from().clone();
///         Ok(Email::new("welcome", from, to, "Hi!", format!("<p>{text}</p>"), text))
///     }
/// }
///
/// let brand = Brand::new(Mailbox::parse("orders@riqle.com")?);
/// let templates: Arc<dyn Templates> = Arc::new(Shorter);
/// let email = templates.welcome(&brand, None, Mailbox::parse("ada@example.com")?)?;
/// assert_eq!(email.text, "Hi there!");
/// # Ok::<(), Error>(())
/// ```
///
/// User data must be escaped; askama and most template engines do so. The jobs file the emails under the names
/// of this module, whatever name they were rendered under.
pub trait Templates: Send + Sync {
    /// The receipt of a paid order.
    ///
    /// # Errors
    /// `Rejected` makes a dead letter at once.
    fn purchase_confirmation(&self, brand: &Brand, order: &Order, to: Mailbox) -> Result<Email, Error> {
        purchase_confirmation(brand, order, to)
    }

    /// What was refunded of an order.
    ///
    /// # Errors
    /// `Rejected` makes a dead letter at once.
    fn refund_notification(
        &self,
        brand: &Brand,
        order: &Order,
        reason: Option<&str>,
        to: Mailbox,
    ) -> Result<Email, Error> {
        refund_notification(brand, order, reason, to)
    }

    /// A welcome to a new user.
    ///
    /// # Errors
    /// `Rejected` makes a dead letter at once.
    fn welcome(&self, brand: &Brand, name: Option<&str>, to: Mailbox) -> Result<Email, Error> {
        welcome(brand, name, to)
    }
}

/// The templates of this module.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardTemplates;

impl Templates for StandardTemplates {}

/// Joins both parts and the brand's share of each email.
fn email(
    kind: &str,
    brand: &Brand,
    to: Mailbox,
    subject: &str,
    html: &impl Template,
    text: &impl Template,
) -> Result<Email, Error> {
    let render_error =
        |error: askama::Error| Error::new(ErrorKind::Rejected, "render", kind).caused_by(error.into_box());
    let html = html.render().map_err(render_error)?;
    let text = text.render().map_err(render_error)?;
    let mut email = Email::new(kind, brand.from.clone(), to, subject, html, text);
    email.reply_to.clone_from(&brand.reply_to);
    Ok(email)
}

/// A text from users or the shop, made fit for one line: visible characters only, at most `longest`.
fn line(text: &str, longest: usize) -> String {
    let visible = visible_text(text);
    match visible.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", visible[..end].trim_end()),
        None => visible,
    }
}

#[cfg(test)]
mod tests;

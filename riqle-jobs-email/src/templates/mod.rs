//! The three emails, rendered: what a customer reads of an order, a refund, a sign-up.

mod purchase_confirmation;
mod refund_notification;
mod texts;
mod welcome;

use askama::Template;
use riqle_jobs_core::{Email, Error, ErrorKind, Mailbox, email::visible_text};

pub use self::{
    purchase_confirmation::purchase_confirmation, refund_notification::refund_notification, welcome::welcome,
};
use crate::Brand;

/// The name of the purchase confirmation in the email log.
pub const PURCHASE_CONFIRMATION: &str = "purchase-confirmation";
/// The name of the refund notification in the email log.
pub const REFUND_NOTIFICATION: &str = "refund-notification";
/// The name of the welcome in the email log.
pub const WELCOME: &str = "welcome";

/// Puts both parts and what each email has of a brand together.
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

/// A text of users or of the shop, fit to be shown in one line: visible characters only, at most `longest`.
fn line(text: &str, longest: usize) -> String {
    let visible = visible_text(text);
    match visible.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", visible[..end].trim_end()),
        None => visible,
    }
}

#[cfg(test)]
mod tests;

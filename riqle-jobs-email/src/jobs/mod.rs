//! The three email jobs of a shop, over its `Orders`.
//!
//! All of them use the queue `email` and retry after 1, 2, 4 s, as often as each says. Register them with a
//! worker; start them by their events, by the functions here, or by their inputs, also in a transaction. The inputs and the
//! functions are all that a producer needs: they are there without the feature `send`.

#[cfg(feature = "send")]
mod delivery;
mod inputs;
#[cfg(feature = "send")]
mod purchase_confirmation;
#[cfg(feature = "send")]
mod refund_notification;
#[cfg(feature = "send")]
pub mod steps;
#[cfg(feature = "send")]
mod welcome_email;

pub use self::inputs::{
    PurchaseConfirmation, RefundNotification, WelcomeEmail, enqueue_purchase_confirmation,
    enqueue_refund_notification, enqueue_welcome_email,
};
#[cfg(feature = "send")]
pub use self::{
    delivery::Delivery, purchase_confirmation::SendPurchaseConfirmation,
    refund_notification::SendRefundNotification, welcome_email::SendWelcomeEmail,
};

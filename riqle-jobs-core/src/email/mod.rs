//! Sending an email effectively once: over a [`Mailer`], guarded by the [`EmailLog`].

mod address;
mod deferral;
mod delivery;
mod escapes;
mod filter;
mod in_text;
mod log;
mod mailbox;
mod mailer;
mod message;
mod one_send;
mod overload;
mod resolution;
mod row;
mod send_error;
mod sender;
mod start;

pub use address::{ascii_address, canonical_address};
pub use deferral::Deferral;
pub use delivery::{EmailKey, NewEmailEvent, RecordedEmailEvent, take_delivery_event};
pub use filter::EmailFilter;
pub use in_text::{AddressInText, addresses_in, mask_addresses};
#[cfg(feature = "mock")]
pub use log::MockEmailLog;
pub use log::{
    EmailDetail, EmailEnding, EmailEvent, EmailLog, EmailRecord, EmailStatus, NewEmail, SendPhase,
    Suppression,
};
pub use mailbox::Mailbox;
#[cfg(feature = "mock")]
pub use mailer::MockMailer;
pub use mailer::{Mailer, OutgoingMessage, SendOutcome, Transmission};
pub(crate) use message::sha256_hex;
pub use message::{Email, MessageIdentity, OnUnknown, visible_text};
pub use resolution::Resolution;
pub use row::EmailRow;
pub use send_error::{PROVIDER_AWAY, SendError};
pub use sender::{Receipt, Sender};
pub use start::{EmailStart, Rendered};

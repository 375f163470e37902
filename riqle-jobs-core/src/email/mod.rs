//! Sending an email effectively once: over a [`Mailer`], kept true by the [`EmailLog`].

mod delivery;
mod log;
mod mailer;
mod message;
mod resolution;
mod row;
mod sender;

pub use delivery::{EmailKey, NewEmailEvent, RecordedEmailEvent, take_delivery_event};
#[cfg(feature = "mock")]
pub use log::MockEmailLog;
pub use log::{
    EmailDetail, EmailEnding, EmailEvent, EmailFilter, EmailLog, EmailRecord, EmailStart, EmailStatus,
    NewEmail, SendPhase, Suppression,
};
#[cfg(feature = "mock")]
pub use mailer::MockMailer;
pub use mailer::{Mailer, OutgoingMessage, SendOutcome, Transmission};
pub(crate) use message::sha256_hex;
pub use message::{Email, Mailbox, MessageIdentity, OnUnknown, visible_text};
pub use resolution::Resolution;
pub use row::EmailRow;
pub use sender::{Receipt, SendError, Sender};

//! What becomes known of an email from a provider.

use riqle_jobs_core::{
    Error, ErrorKind,
    email::{EmailKey, EmailRow, NewEmailEvent, RecordedEmailEvent},
};

use crate::{
    Redis,
    email_row::{by_header, by_message},
};

impl Redis {
    /// Records a checked event.
    pub(crate) async fn take_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        let operation = "record_email_event";
        let id = match &event.email {
            EmailKey::Id(id) => Some(*id),
            EmailKey::MessageId { provider, message_id } => {
                self.email_by(operation, &by_message(provider, message_id)).await?
            }
            EmailKey::HeaderMessageId(id) => self.email_by(operation, &by_header(id)).await?,
        };
        let missing = || Error::new(ErrorKind::NotFound, operation, format!("no email {:?}", event.email));
        let take = |row: &mut EmailRow, now| Ok(row.take_event(event.clone(), now));
        let taken = self.change_email(operation, id.ok_or_else(missing)?, take).await?.ok_or_else(missing)?;
        Ok(RecordedEmailEvent { is_new: taken.is_changed, email: taken.after })
    }
}

//! What is done to an email or an address.

use super::{Done, Operator, rejected, shown};
use crate::{
    EmailId, Error, ErrorKind,
    email::{Resolution, ascii_address},
    jobs::verdict::is_open,
    store::ActionKind,
};

impl Operator {
    /// Says of an email whose outcome is unknown whether it was sent.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` if its outcome is known, or may still become known; `Unavailable`.
    pub async fn resolve_email(&self, email: EmailId, resolution: Resolution) -> Result<Done, Error> {
        let known = self.jobs.store().email(email).await.map_err(shown)?;
        let known = known.ok_or_else(|| Error::new(ErrorKind::NotFound, "resolve_email", "no such email"))?;
        if !is_open(&known) {
            return Err(rejected("resolve_email", "the outcome of this email is already known"));
        }
        let (by, detail) = match resolution {
            Resolution::Sent => (self.by.clone(), "as sent"),
            Resolution::NotSent => (self.by.clone(), "as not sent"),
        };
        self.recorded(ActionKind::ResolveEmail, &format!("email {email}"), detail, move |jobs| async move {
            jobs.store().resolve_email(email, resolution, &by).await.map(|()| String::new())
        })
        .await
    }

    /// Puts an address on the suppression list; a `reason` of blanks is "by hand".
    ///
    /// # Errors
    /// `Rejected` for what is no address; `Unavailable`.
    pub async fn suppress(&self, address: &str, reason: &str) -> Result<Done, Error> {
        let address = address.trim();
        ascii_address(address).map_err(|error| error.of("suppress"))?;
        let reason = if reason.trim().is_empty() { "by hand" } else { reason.trim() };
        let (on_list, why) = (address.to_owned(), reason.to_owned());
        self.recorded(ActionKind::Suppress, address, reason, move |jobs| async move {
            jobs.store().suppress(&on_list, &why).await.map(|()| String::new())
        })
        .await
    }

    /// Takes an address off the suppression list, in the spelling of the list.
    ///
    /// # Errors
    /// As [`EmailLog::unsuppress`](crate::EmailLog::unsuppress).
    pub async fn unsuppress(&self, address: &str) -> Result<Done, Error> {
        let address = address.trim();
        let off_list = address.to_owned();
        self.recorded(ActionKind::Unsuppress, address, "", move |jobs| async move {
            jobs.store().unsuppress(&off_list).await.map(|()| String::new())
        })
        .await
    }
}

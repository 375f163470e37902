//! Which emails of the log to list.

use super::{EmailDetail, EmailRecord, EmailStatus, canonical_address};
use crate::{EmailId, RunId};

/// Which emails to list. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmailFilter {
    /// With this status.
    pub status: Option<EmailStatus>,
    /// With one of these details.
    pub details: Vec<EmailDetail>,
    /// With this reference.
    pub reference: Option<String>,
    /// The one with this idempotency key.
    pub idempotency_key: Option<String>,
    /// Of this run.
    pub run_id: Option<RunId>,
    /// To this address, however it is spelled: as [`canonical_address`](super::canonical_address).
    pub to: Option<String>,
    /// Older than this one: the last id of the previous page.
    pub before: Option<EmailId>,
    /// Page size; 0 means 100.
    pub limit: usize,
}

impl EmailFilter {
    /// All emails.
    pub fn all() -> Self {
        Self::default()
    }

    /// With this status.
    #[must_use]
    pub fn status(mut self, status: EmailStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// With one of these details; an empty list means any.
    #[must_use]
    pub fn details(mut self, details: impl Into<Vec<EmailDetail>>) -> Self {
        self.details = details.into();
        self
    }

    /// With this reference.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// The one with this idempotency key.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Of this run.
    #[must_use]
    pub fn run_id(mut self, run: RunId) -> Self {
        self.run_id = Some(run);
        self
    }

    /// To this address, however it is spelled: as [`canonical_address`](super::canonical_address).
    #[must_use]
    pub fn to(mut self, address: impl Into<String>) -> Self {
        self.to = Some(address.into());
        self
    }

    /// Older than this email: the last one of the previous page.
    #[must_use]
    pub fn before(mut self, email: EmailId) -> Self {
        self.before = Some(email);
        self
    }

    /// Page size; 0 means 100.
    #[must_use]
    pub fn limit(mut self, emails: usize) -> Self {
        self.limit = emails;
        self
    }

    /// Page size, with 0 replaced by 100.
    pub fn page_size(&self) -> usize {
        if self.limit == 0 { 100 } else { self.limit }
    }

    /// Whether a row matches, regardless of its place in the list.
    pub fn lists(&self, record: &EmailRecord) -> bool {
        self.status.is_none_or(|status| record.status == status)
            && (self.details.is_empty() || self.details.contains(&record.detail))
            && (self.reference.is_none() || self.reference == record.reference)
            && (self.run_id.is_none() || self.run_id == record.run_id)
            && self.to.as_ref().is_none_or(|to| canonical_address(to) == canonical_address(&record.to))
    }
}

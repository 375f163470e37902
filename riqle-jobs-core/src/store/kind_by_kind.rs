//! Prunes one kind of thing after the other, though some fail.

use crate::Error;

/// Prunes one kind of thing after the other: a kind that fails does not stop the others.
///
/// ```
/// # use riqle_jobs_core::{Error, ErrorKind, store::{KindByKind, Pruned}};
/// let mut kinds = KindByKind::default();
/// let locked = Error::new(ErrorKind::Unavailable, "prune", "the table is locked");
/// let pruned = Pruned {
///     events: kinds.pruned("events", Err(locked)),
///     emails: kinds.pruned("emails", Ok(7)),
///     ..Pruned::default()
/// };
/// assert_eq!(pruned.emails, 7);
/// assert_eq!(kinds.end(pruned).unwrap_err().to_string(), "prune: events: the table is locked");
/// ```
#[derive(Debug, Default)]
pub struct KindByKind {
    failed: Vec<&'static str>,
    first: Option<Error>,
}

impl KindByKind {
    /// Returns how many of a kind were deleted; 0 if that failed.
    pub fn pruned(&mut self, kind: &'static str, deleted: Result<u64, Error>) -> u64 {
        deleted.unwrap_or_else(|error| {
            self.failed.push(kind);
            self.first.get_or_insert(error);
            0
        })
    }

    /// Returns `pruned` if no kind has failed.
    ///
    /// # Errors
    /// The first one, of its kind, with the names of all that failed.
    pub fn end<P>(self, pruned: P) -> Result<P, Error> {
        match self.first {
            None => Ok(pruned),
            Some(first) => {
                let message = format!("{}: {}", self.failed.join(", "), first.message());
                Err(Error::new(first.kind(), "prune", message).caused_by(first))
            }
        }
    }
}

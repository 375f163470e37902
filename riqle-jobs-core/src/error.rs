//! The error of all calls, and what a caller can do about each kind.

use std::{error::Error as StdError, fmt};

/// A boxed cause.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store can't be reached or is busy; the same call may succeed later. After a write,
    /// whether it took effect is unknown, and repeating it is safe.
    Unavailable,
    /// The lease is no longer held; drop the work.
    LeaseLost,
    /// The call itself is wrong (a limit, a name, a state); fix it. Nothing was stored.
    Rejected,
    /// The unique key is taken by a run with another input. Nothing was stored.
    Conflict,
    /// What the call names does not exist.
    NotFound,
    /// Stored data can't be read back; a human must look.
    Corrupt,
    /// A URL, a permission or a schema is wrong; fix the configuration.
    Misconfigured,
}

impl ErrorKind {
    /// The kind as one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::LeaseLost => "lease lost",
            ErrorKind::Rejected => "rejected",
            ErrorKind::Conflict => "conflict",
            ErrorKind::NotFound => "not found",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Misconfigured => "misconfigured",
        }
    }
}

/// An operation of a store or a client that failed: a kind to act on, the operation, the cause.
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    index: Option<usize>,
    is_permanent: bool,
    cause: Option<Cause>,
}

impl Error {
    /// An error of `operation` (the name of the method, such as `enqueue`).
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self { kind, operation, message: message.into(), index: None, is_permanent: false, cause: None }
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Marks the error as permanent: the given value is wrong in itself, so the same call always fails. In a
    /// body, `?` makes the run a dead letter at once.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.is_permanent = true;
        self
    }

    /// Sets the index of the faulty item in the call's list, from 0.
    #[must_use]
    pub fn at_index(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    /// Sets the operation to the caller's, for an error of a shared check.
    #[must_use]
    pub(crate) fn of(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The index of the faulty item in the call's list, from 0.
    pub fn index(&self) -> Option<usize> {
        self.index
    }

    /// Whether the same call always fails.
    pub fn is_permanent(&self) -> bool {
        self.is_permanent
    }

    /// The message alone, without kind and operation.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)?;
        if let Some(index) = self.index {
            write!(f, " (item {index})")?;
        }
        Ok(())
    }
}

/// The line and its causes, a line each: what Rust prints of an error that `main` returns.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

/// An error and its causes, a line each; a cause that its parent already quotes is left out.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !last.contains(&line) {
            text.push_str("\ncaused by: ");
            text.push_str(&line);
        }
        last = line;
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_main_prints_of_an_error_is_the_line_and_its_causes() {
        let cause = std::io::Error::other("connection refused");
        let error = Error::new(ErrorKind::Unavailable, "connect", "the server is away").caused_by(cause);
        let printed = "connect: the server is away\ncaused by: connection refused";
        assert_eq!(format!("{error:?}"), printed);
        assert_eq!(format!("{:?}", Box::<dyn StdError>::from(error)), printed);
    }
}

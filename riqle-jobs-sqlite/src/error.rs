//! What can go wrong with the file, and what follows from it.

use riqle_jobs_core::{Error, ErrorKind};

/// What a statement, or the reading of a row, answers.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why an operation failed; its caller says which.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The driver, or SQLite through it, says so.
    Driver(sqlx::Error),
    /// The rules say so.
    Refused(Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Failure::Driver(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(error)
    }
}

impl Failure {
    /// The error of `operation`.
    pub(crate) fn of(self, operation: &'static str) -> Error {
        match self {
            Failure::Driver(error) => translate(operation, error),
            Failure::Refused(error) => error,
        }
    }
}

/// The primary result codes of SQLite (<https://www.sqlite.org/rescode.html>) that callers tell apart.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NO_MEMORY: i32 = 7;
    pub(super) const READ_ONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IO: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANT_OPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const TOO_BIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

/// Translates an error of the driver for `operation`.
pub(crate) fn translate(operation: &'static str, error: sqlx::Error) -> Error {
    let (kind, message) = classify(&error);
    Error::new(kind, operation, message).caused_by(error)
}

fn classify(error: &sqlx::Error) -> (ErrorKind, String) {
    use ErrorKind::{Corrupt, Misconfigured, Unavailable};
    let (kind, message) = match error {
        sqlx::Error::Database(database) => match primary_code(&**database) {
            code::BUSY | code::LOCKED => {
                (Unavailable, "the database is busy: another process or transaction holds it for writing")
            }
            code::FULL => (Unavailable, "the disk, or the largest size set for the database, is full"),
            code::NO_MEMORY => (Unavailable, "SQLite is out of memory"),
            code::IO => (Unavailable, "the file can't be read or written"),
            code::CANT_OPEN => (Unavailable, "the file can't be opened"),
            code::READ_ONLY => (Unavailable, "the file, or its folder, is read-only for this process"),
            code::INTERRUPT | code::PROTOCOL => (Unavailable, "SQLite was interrupted"),
            code::CORRUPT => {
                (Corrupt, "the file is damaged; restore a backup, or see PRAGMA integrity_check")
            }
            code::NOT_A_DATABASE => (Misconfigured, "the file is not a SQLite database; name another one"),
            code::TOO_BIG => (ErrorKind::Rejected, "a value is larger than SQLite allows"),
            code::CONSTRAINT => (Corrupt, "the schema refuses what was to be stored"),
            _ if database.message().ends_with("no transaction is active") => {
                (Unavailable, "SQLite has rolled the transaction back by itself, as it does on a full disk")
            }
            _ if database.message().starts_with("no such") => {
                (Misconfigured, "the tables of riqle-jobs are missing or changed; open the store again")
            }
            _ => (Corrupt, "SQLite refuses the statement"),
        },
        sqlx::Error::PoolTimedOut => (Unavailable, "no connection of the pool became free in time"),
        sqlx::Error::PoolClosed => (Unavailable, "the pool is closed"),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => (Unavailable, "the connection is gone"),
        sqlx::Error::Configuration(_) => (Misconfigured, "the connection options are invalid"),
        _ => (Corrupt, "what is stored can't be read"),
    };
    // What a caller has to change is said in our words; the driver's are in the cause.
    let message =
        if kind == ErrorKind::Rejected { message.to_owned() } else { format!("{message} ({error})") };
    (kind, message)
}

fn primary_code(error: &dyn sqlx::error::DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default() & 0xff
}

/// Whether another connection holds the file.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            matches!(primary_code(&**database), code::BUSY | code::LOCKED | code::PROTOCOL)
        }
        _ => false,
    }
}

/// Whether a file can't be used by this process at all: wrong while opening, a passing trouble later.
pub(crate) fn is_out_of_reach(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            matches!(primary_code(&**database), code::CANT_OPEN | code::READ_ONLY)
        }
        _ => false,
    }
}

/// A second copy of an error, for another caller of the same batch.
pub(crate) fn copy_of(error: &Error) -> Error {
    Error::new(error.kind(), error.operation(), error.message())
}

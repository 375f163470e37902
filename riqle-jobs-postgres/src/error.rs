//! What can go wrong between a caller and the server, and what follows from it.

use std::{borrow::Cow, fmt, time::Duration};

use riqle_jobs_core::{Error, ErrorKind};

/// What a statement, or the reading of a row, answers.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why an operation failed; its caller says which.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The driver, or the server through it, says so.
    Driver(sqlx::Error),
    /// The rules say so.
    Refused(Error),
    /// Another transaction took the same unique key, after this one had looked.
    Outrun,
    /// The server has not answered in time.
    Silence(Duration),
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
        let unavailable = |message| Error::new(ErrorKind::Unavailable, operation, message);
        match self {
            Failure::Driver(error) => translate(operation, error),
            Failure::Refused(error) => error,
            Failure::Outrun => unavailable("another transaction took the same unique key".to_owned()),
            Failure::Silence(time) => unavailable(format!("the server has not answered within {time:?}")),
        }
    }

    /// Whether the connection, not the statement, has failed: it is ended, and another one made.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        match self {
            Failure::Driver(sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => {
                true
            }
            _ => self.has_code(|code| match code {
                // A new connection may reach the server that has taken over.
                READ_ONLY | READ_ONLY_FOUND => true,
                // Ended by the server, for a transaction that was open for too long.
                "25P03" | "25P04" => true,
                CHANGED_RESULT_TYPE => true,
                // Shut down by an administrator, crashed, starting up, dropped, idle for too long; or it broke off.
                code => code.starts_with("57P") || code.starts_with("08"),
            }),
        }
    }

    /// Whether the same operation is likely to go through now: the connection broke off, or others were in the way.
    pub(crate) fn is_worth_repeating(&self) -> bool {
        self.is_outrun() || self.is_of_the_connection() || self.has_code(|code| CONFLICTS.contains(&code))
    }

    /// Whether another transaction was faster, after this one had looked, or stored the same id.
    pub(crate) fn is_outrun(&self) -> bool {
        matches!(self, Failure::Outrun) || self.has_code(|code| code == UNIQUE_VIOLATION)
    }

    /// Whether it is only another transaction that is in the way, which says nothing of the server.
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.is_outrun() || self.has_code(|code| CONFLICTS.contains(&code) || code == LOCK_TIMEOUT)
    }

    /// Whether an error within a transaction of the application is likely to come of what the application does in it, which
    /// says nothing of the server: others are in the way, it was open for too long, or was cancelled.
    pub(crate) fn is_of_the_application(&self) -> bool {
        let of_its_time = ["25P03", "25P04", "57014"];
        self.is_in_the_way() || self.has_code(|code| is_of_a_constraint(code) || of_its_time.contains(&code))
    }

    /// Whether a statement before it has failed, and the transaction with it.
    pub(crate) fn is_of_a_failed_transaction(&self) -> bool {
        self.has_code(|code| code == "25P02")
    }

    /// What a commit is refused with, where that is for a deferred constraint, or a trigger that serves as one. The
    /// store's tables have none, so it is the application's.
    pub(crate) fn of_a_deferred_constraint(&self) -> Option<Error> {
        let Failure::Driver(sqlx::Error::Database(said)) = self else { return None };
        if !said.code().is_some_and(|code| is_of_a_constraint(&code)) {
            return None;
        }
        let message = format!("a constraint of the application refused the commit ({})", said.message());
        Some(Error::new(ErrorKind::Rejected, "commit", message).caused_by(ServerError::of(&**said)))
    }

    fn has_code(&self, is_it: impl Fn(&str) -> bool) -> bool {
        match self {
            Failure::Driver(sqlx::Error::Database(said)) => said.code().is_some_and(|code| is_it(&code)),
            _ => false,
        }
    }
}

/// Translates an error of the driver for `operation`.
pub(crate) fn translate(operation: &'static str, error: sqlx::Error) -> Error {
    let (kind, message) = classify(&error);
    let translated = Error::new(kind, operation, message);
    match error {
        sqlx::Error::Database(said) if said.code().as_deref() == Some(LOCK_TIMEOUT) => {
            translated.caused_by(HeldUp)
        }
        sqlx::Error::Database(said) => translated.caused_by(ServerError::of(&*said)),
        error => translated.caused_by(error),
    }
}

fn classify(error: &sqlx::Error) -> (ErrorKind, String) {
    use ErrorKind::{Corrupt, Misconfigured, Unavailable};
    let (kind, message) = match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            // The classes of https://www.postgresql.org/docs/current/errcodes-appendix.html.
            match code.as_ref() {
                "28P01" | "28000" => (Misconfigured, "the server rejected the user name or password"),
                "3D000" => (Misconfigured, "the database does not exist; create it"),
                "42501" => (Misconfigured, "the user lacks a right; see the grants in the documentation"),
                "3F000" | "42P01" | "42703" | "42883" => {
                    (Misconfigured, "the tables of riqle-jobs are missing or changed; connect once more")
                }
                "26000" | "42P05" => (
                    Misconfigured,
                    "a pooler hands connections around; add listen=off to the URL of the store",
                ),
                READ_ONLY | READ_ONLY_FOUND => {
                    (Unavailable, "the server is read-only: a standby, or it is being switched over")
                }
                "25P03" | "25P04" => {
                    (Unavailable, "the server has ended a transaction that was open for too long")
                }
                "22021" | "22P05" => {
                    (ErrorKind::Rejected, "a text contains a character that PostgreSQL can't store")
                }
                "54000" => (ErrorKind::Rejected, "a value is larger than PostgreSQL allows"),
                "40P01" | "40001" => (Unavailable, "another transaction was in the way"),
                "25P02" => (ErrorKind::Rejected, "the transaction has failed before; roll it back"),
                "57014" => (Unavailable, "the statement was cancelled or took longer than the server allows"),
                "25P01" => (ErrorKind::Rejected, "the connection is in no transaction; begin one"),
                "53100" => (Unavailable, "the server is out of disk space"),
                LOCK_TIMEOUT => (Unavailable, "another transaction holds what this needs"),
                code if ["08", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                    (Unavailable, "the server can't answer now")
                }
                UNIQUE_VIOLATION => (Unavailable, "another transaction has stored the same"),
                code if code.starts_with("23") => (Corrupt, "the schema refuses what was to be stored"),
                "XX001" | "XX002" => (Corrupt, "the server found damaged data"),
                code if code.starts_with("XX") => (Unavailable, "the server failed internally"),
                _ => (Corrupt, "PostgreSQL refuses the statement"),
            }
        }
        sqlx::Error::PoolTimedOut => (Unavailable, "no connection became free in time"),
        sqlx::Error::PoolClosed => (Unavailable, "the pool is closed"),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => (Unavailable, "the server can't be reached"),
        sqlx::Error::Protocol(_) => (Unavailable, "the connection broke off"),
        sqlx::Error::Tls(_) => {
            (Misconfigured, "TLS with the server failed; see sslmode and sslrootcert of the URL")
        }
        sqlx::Error::Configuration(_) => (Misconfigured, "the connection options are invalid"),
        _ => (Corrupt, "what is stored can't be read"),
    };
    // What a caller has to change is said in our words; the server's are in the cause.
    let message = match error {
        _ if kind == ErrorKind::Rejected => message.to_owned(),
        sqlx::Error::Database(said) => format!("{message} ({})", said.message()),
        error => format!("{message} ({error})"),
    };
    (kind, message)
}

const READ_ONLY: &str = "25006";
/// What [`BEGIN_TO_WRITE`](crate::work::BEGIN_TO_WRITE) fails with on a server that is read-only: nothing else divides.
const READ_ONLY_FOUND: &str = "22012";
const UNIQUE_VIOLATION: &str = "23505";
/// A deadlock, a serialization failure.
const CONFLICTS: [&str; 2] = ["40P01", "40001"];
/// A statement that waited for a lock as long as it may.
const LOCK_TIMEOUT: &str = "55P03";
/// A statement that was prepared before a migration added a column; another connection prepares it again.
const CHANGED_RESULT_TYPE: &str = "0A000";

/// Of a constraint, or raised by a trigger.
fn is_of_a_constraint(code: &str) -> bool {
    code.starts_with("23") || code == "P0001"
}

/// The cause of an error: another transaction holds what is needed; it may end soon.
#[derive(Debug)]
pub(crate) struct HeldUp;

impl HeldUp {
    /// Whether it is what an error says.
    pub(crate) fn is_cause_of(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(|cause| cause.is::<HeldUp>())
    }
}

impl fmt::Display for HeldUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a transaction that has not ended holds the unique key")
    }
}

impl std::error::Error for HeldUp {}

impl From<HeldUp> for Error {
    fn from(held_up: HeldUp) -> Self {
        Error::new(ErrorKind::Unavailable, "enqueue", held_up.to_string()).caused_by(held_up)
    }
}

/// The cause of an error: what the server said, without the place in its source, and without the values that its details hold.
#[derive(Debug)]
struct ServerError {
    message: String,
    code: Option<String>,
}

impl ServerError {
    fn of(said: &dyn sqlx::error::DatabaseError) -> Self {
        Self { message: said.message().to_owned(), code: said.code().map(Cow::into_owned) }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.code {
            Some(code) => write!(f, " (SQLSTATE {code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ServerError {}

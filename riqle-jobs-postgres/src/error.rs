use std::time::Duration;

use riqle_jobs_core::{Error, ErrorKind};

/// What a statement, or the reading of a row, answers.
pub(crate) type Result<T, E = sqlx::Error> = std::result::Result<T, E>;

/// Translates an error of the driver for `operation`.
pub(crate) fn translate(operation: &'static str, error: sqlx::Error) -> Error {
    let (kind, message) = classify(&error);
    Error::new(kind, operation, message).caused_by(error)
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
    // What a caller has to change is said in our words; the driver's are in the cause.
    let message =
        if kind == ErrorKind::Rejected { message.to_owned() } else { format!("{message} ({error})") };
    (kind, message)
}

const READ_ONLY: &str = "25006";
/// What [`BEGIN_TO_WRITE`](crate::work::BEGIN_TO_WRITE) fails with on a server that is read-only: nothing else divides.
const READ_ONLY_FOUND: &str = "22012";
const UNIQUE_VIOLATION: &str = "23505";

/// A statement that waited for a lock as long as it may.
const LOCK_TIMEOUT: &str = "55P03";

/// Another transaction holds what is needed; it may end soon.
#[derive(Debug)]
pub(crate) struct HeldUp;

impl HeldUp {
    /// Whether it is what an error says.
    pub(crate) fn is(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(|cause| cause.is::<HeldUp>())
    }

    /// Whether a statement failed for it.
    pub(crate) fn is_cause_of(error: &Error) -> bool {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<sqlx::Error>());
        matches!(cause, Some(sqlx::Error::Database(database)) if database.code().as_deref() == Some(LOCK_TIMEOUT))
    }
}

impl std::fmt::Display for HeldUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a transaction that has not ended holds the unique key")
    }
}

impl std::error::Error for HeldUp {}

impl From<HeldUp> for Error {
    fn from(held_up: HeldUp) -> Self {
        Error::new(ErrorKind::Unavailable, "enqueue", held_up.to_string()).caused_by(held_up)
    }
}

/// A statement that was prepared before a migration added a column; another connection prepares it anew.
const CHANGED_RESULT_TYPE: &str = "0A000";

/// Whether the connection, not the statement, has failed: it is ended, and another one made.
pub(crate) fn is_of_the_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| match code.as_ref() {
            // A new connection may reach the server that has taken over.
            READ_ONLY | READ_ONLY_FOUND => true,
            // Ended by the server, for a transaction that was open for too long.
            "25P03" | "25P04" => true,
            CHANGED_RESULT_TYPE => true,
            // Shut down by an administrator, crashed, starting up, dropped, idle for too long; or it broke off.
            code => code.starts_with("57P") || code.starts_with("08"),
        }),
        _ => false,
    }
}

/// Whether the same operation is likely to go through now: the connection broke off, or others were in the way.
pub(crate) fn is_worth_repeating(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) if !is_of_the_connection(error) => {
            // A deadlock, a serialization failure.
            database.code().is_some_and(|code| ["40P01", "40001"].contains(&code.as_ref()))
                || is_outrun(error)
        }
        error => is_outrun(error) || is_of_the_connection(error),
    }
}

/// Whether another transaction was faster, after this one had looked, or stored the same id.
pub(crate) fn is_outrun(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().as_deref() == Some(UNIQUE_VIOLATION),
        sqlx::Error::AnyDriverError(error) => error.is::<Outrun>(),
        _ => false,
    }
}

/// Whether it is only another transaction that is in the way, which says nothing of the server.
pub(crate) fn is_in_the_way(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            let codes = ["40P01", "40001", LOCK_TIMEOUT, UNIQUE_VIOLATION];
            database.code().is_some_and(|code| codes.contains(&code.as_ref()))
        }
        error => is_outrun(error),
    }
}

/// Whether an error within a transaction of the application is likely to come of what the application does in it, which says
/// nothing of the server: others are in the way, it was open for too long, or was cancelled.
pub(crate) fn is_of_the_application(error: &sqlx::Error) -> bool {
    let of_its_time = ["25P03", "25P04", "57014"];
    is_in_the_way(error) || is_of_a_constraint(error) || has_code(error, |code| of_its_time.contains(&code))
}

/// What a commit is refused with, where that is for a deferred constraint, or a trigger that stands for one. The store's tables
/// have none, so it is the application's.
pub(crate) fn uncommitted(error: sqlx::Error) -> std::result::Result<Error, sqlx::Error> {
    if !is_of_a_constraint(&error) {
        return Err(error);
    }
    let message = format!("a constraint of the application refused the commit ({error})");
    Ok(Error::new(ErrorKind::Rejected, "commit", message).caused_by(error))
}

/// Of a constraint, or raised by a trigger.
fn is_of_a_constraint(error: &sqlx::Error) -> bool {
    has_code(error, |code| code.starts_with("23") || code == "P0001")
}

fn has_code(error: &sqlx::Error, is_it: impl Fn(&str) -> bool) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| is_it(&code)),
        _ => false,
    }
}

/// Another transaction was faster, after this one had looked.
#[derive(Debug)]
pub(crate) struct Outrun;

impl std::fmt::Display for Outrun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another transaction took the same unique key")
    }
}

impl std::error::Error for Outrun {}

impl From<Outrun> for sqlx::Error {
    fn from(outrun: Outrun) -> Self {
        sqlx::Error::AnyDriverError(Box::new(outrun))
    }
}

/// The server has not answered in time.
#[derive(Debug)]
pub(crate) struct Silence(pub(crate) Duration);

impl Silence {
    pub(crate) fn is(error: &sqlx::Error) -> bool {
        matches!(error, sqlx::Error::AnyDriverError(error) if error.is::<Silence>())
    }
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server has not answered within {:?}", self.0)
    }
}

impl std::error::Error for Silence {}

impl From<Silence> for sqlx::Error {
    fn from(silence: Silence) -> Self {
        sqlx::Error::AnyDriverError(Box::new(silence))
    }
}

/// An error of core on its way through functions that answer the driver's; [`from_driver`] takes it out again.
pub(crate) fn into_driver(error: Error) -> sqlx::Error {
    sqlx::Error::AnyDriverError(Box::new(error))
}

/// Translates, but for what [`into_driver`] wrapped.
pub(crate) fn from_driver(operation: &'static str, error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::AnyDriverError(boxed) => match boxed.downcast::<Error>() {
            Ok(error) => *error,
            Err(ours) if ours.is::<Outrun>() || ours.is::<Silence>() => {
                Error::new(ErrorKind::Unavailable, operation, ours.to_string())
            }
            Err(boxed) => translate(operation, sqlx::Error::AnyDriverError(boxed)),
        },
        error => translate(operation, error),
    }
}

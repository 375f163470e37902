//! Why a command failed, and the exit code that says so.

use std::{error::Error as _, io};

use riqle_jobs::{Error, ErrorKind};

/// What was asked for is refused, or failed.
pub(crate) const REFUSED: u8 = 1;
/// The arguments are wrong.
pub(crate) const USAGE: u8 = 2;
/// What is named does not exist.
pub(crate) const NOT_FOUND: u8 = 3;
/// The store can't be reached.
pub(crate) const AWAY: u8 = 4;
/// A check found something.
pub(crate) const FOUND: u8 = 5;

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// For standard error; empty if there is nothing more to say.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: USAGE, text: text.into() }
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { code: REFUSED, text: text.into() }
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self { code: NOT_FOUND, text: text.into() }
    }

    /// A check found something, which is printed already.
    pub(crate) fn found() -> Self {
        Self { code: FOUND, text: String::new() }
    }
}

/// The message and what caused it, a line each.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::NotFound => NOT_FOUND,
            ErrorKind::Unavailable => AWAY,
            _ => REFUSED,
        };
        let mut text = error.message().to_owned();
        let mut cause = error.source();
        while let Some(why) = cause {
            let line = why.to_string();
            if !text.contains(&line) {
                text = format!("{text}\n  caused by: {line}");
            }
            cause = why.source();
        }
        Self { code, text }
    }
}

/// Of standard output: a pipe that its reader has closed ends a command quietly.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { code: 0, text: String::new() },
            _ => Self::refused(format!("can't write: {error}")),
        }
    }
}

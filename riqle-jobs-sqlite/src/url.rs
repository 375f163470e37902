//! The URL of a store.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use riqle_jobs_core::{Error, ErrorKind};

use crate::Synchronous;

/// The parts of a store's URL.
pub(crate) struct Url {
    pub(crate) file: PathBuf,
    pub(crate) synchronous: Synchronous,
}

impl Url {
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let rest = match url.split_once(':') {
            // Schemes are compared without case (RFC 3986, section 3.1).
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sqlite") => rest,
            // Not quoted: another store's URL holds a password.
            _ => return Err(misconfigured("the URL is not of the form sqlite:PATH".to_owned())),
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (file, query) = rest.split_once('?').unwrap_or((rest, ""));
        if is_in_memory(Path::new(file)) || query.contains("mode=memory") {
            return Err(in_memory());
        }
        if file.is_empty() {
            return Err(misconfigured("the URL names no file; write sqlite:PATH".to_owned()));
        }
        let mut synchronous = Synchronous::default();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            synchronous = match option.split_once('=').unwrap_or((option, "")) {
                ("synchronous", value) => value.parse()?,
                (unknown, _) => {
                    let message = format!("unknown URL parameter {unknown:?}; known is synchronous");
                    return Err(misconfigured(message));
                }
            };
        }
        Ok(Self { file: file.into(), synchronous })
    }
}

impl FromStr for Synchronous {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => Err(misconfigured(format!("synchronous must be full or normal, not {text:?}"))),
        }
    }
}

pub(crate) fn is_in_memory(file: &Path) -> bool {
    // How sqlx and SQLite name databases without a file.
    file.to_str().is_some_and(|file| {
        file.contains(":memory:") || file.contains("sqlx-in-memory") || file.contains("mode=memory")
    })
}

pub(crate) fn in_memory() -> Error {
    misconfigured("each connection would see an empty database of its own; use memory: instead".to_owned())
}

fn misconfigured(message: String) -> Error {
    Error::new(ErrorKind::Misconfigured, "connect", message)
}

//! The DKIM key that a mail URL names.

use std::path::Path;

use riqle_jobs_core::{Error, ErrorKind};

use crate::dkim::DkimKey;

/// `dkim=SELECTOR._domainkey.DOMAIN&dkim_key=FILE` of a mail URL.
#[derive(Default)]
pub(crate) struct DkimQuery {
    record: Option<String>,
    file: Option<String>,
}

impl DkimQuery {
    /// Whether a parameter is one of these.
    pub(crate) fn takes(&mut self, name: &str, value: &str) -> bool {
        let taken = match name {
            "dkim" => &mut self.record,
            "dkim_key" => &mut self.file,
            _ => return false,
        };
        *taken = Some(value.to_owned());
        true
    }

    /// The key of both parameters; `None` if neither is there.
    ///
    /// # Errors
    /// `Misconfigured` for one without the other, and for a key that can't be used.
    pub(crate) fn key(&self) -> Result<Option<DkimKey>, Error> {
        match (&self.record, &self.file) {
            (None, None) => Ok(None),
            (Some(record), Some(file)) => DkimKey::from_file(record, Path::new(file)).map(Some),
            _ => Err(misconfigured(
                "DKIM needs both dkim=SELECTOR._domainkey.DOMAIN and dkim_key=FILE in the mail URL",
            )),
        }
    }

    /// A folder, and the key of what stands behind its `?`.
    ///
    /// # Errors
    /// As [`DkimQuery::key`], and for other parameters.
    pub(crate) fn split(text: &str) -> Result<(&str, Option<DkimKey>), Error> {
        let Some((folder, query)) = text.split_once("?dkim") else { return Ok((text, None)) };
        let mut dkim = Self::default();
        for part in format!("dkim{query}").split('&') {
            if !part.split_once('=').is_some_and(|(name, value)| dkim.takes(name, value)) {
                return Err(misconfigured("the mail URL file: takes only dkim= and dkim_key="));
            }
        }
        Ok((folder, dkim.key()?))
    }
}

fn misconfigured(message: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, "mailer", message)
}

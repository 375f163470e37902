//! What replaces DKIM if it is not compiled in.

use std::path::Path;

use lettre::Message;
use riqle_jobs_core::{Error, ErrorKind};

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum DkimKey {}

impl DkimKey {
    pub(crate) fn from_file(_: &str, _: &Path) -> Result<Self, Error> {
        let line = "DKIM is not compiled in; build with the feature `dkim`";
        Err(Error::new(ErrorKind::Misconfigured, "mailer", line))
    }

    pub(crate) fn digest(&self) -> &str {
        match *self {}
    }

    pub(crate) fn sign(&self, _: &mut Message) {
        match *self {}
    }
}

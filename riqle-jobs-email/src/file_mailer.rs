//! Writes each message to a folder, as an `.eml` file: for development and tests.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind as IoErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use riqle_jobs_core::{
    Email, Error, Mailer, async_trait,
    email::{MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    compose::{compose, hex},
    dkim::DkimKey,
};

/// Writes each message to a folder, as an `.eml` file that mail clients open: for development and tests.
///
/// The file is named after the Message-ID, so a repeat replaces it. It appears whole or not at all, and is on
/// disk before the email counts as accepted.
#[derive(Clone, Debug)]
pub struct FileMailer {
    folder: Arc<Path>,
    dkim: Option<DkimKey>,
}

impl FileMailer {
    /// Writes to this folder, which the first send creates.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into().into(), dkim: None }
    }

    pub(crate) fn signing(folder: &str, dkim: Option<DkimKey>) -> Self {
        Self { dkim, ..Self::new(folder) }
    }

    /// Signs the messages with this key.
    #[cfg(feature = "dkim")]
    #[must_use]
    pub fn dkim(mut self, key: DkimKey) -> Self {
        self.dkim = Some(key);
        self
    }
}

#[async_trait]
impl Mailer for FileMailer {
    fn provider(&self) -> &'static str {
        "file"
    }

    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
        compose(email, identity, self.dkim.as_ref())
    }

    fn signing_key(&self) -> Option<String> {
        self.dkim.as_ref().map(|key| key.digest().to_owned())
    }

    fn repeat_is_safe_for(&self) -> Duration {
        Duration::MAX
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        let name = file_name(&message.message_id);
        let (folder, bytes) = (Arc::clone(&self.folder), message.bytes.clone());
        let hidden = folder.join(format!(".{name}.{}.tmp", Uuid::new_v4().simple()));
        let written = {
            let hidden = hidden.clone();
            blocking(move || write(&folder, &hidden, &bytes)).await
        };
        if let Err(error) = written {
            return self.not_sent(&error);
        }
        // The rename is what sends it.
        if let Err(error) = transmission.body_begins().await {
            let _ = blocking(move || fs::remove_file(hidden)).await;
            return SendOutcome::Retry { error: error.to_string(), after: None };
        }
        let (folder, file) = (Arc::clone(&self.folder), self.folder.join(name));
        let reply = format!("written to {}", file.display());
        if let Err(error) = blocking(move || publish(&folder, &hidden, &file)).await {
            return self.not_sent(&error);
        }
        SendOutcome::Accepted { message_id: message.message_id.clone(), reply }
    }
}

impl FileMailer {
    fn not_sent(&self, error: &io::Error) -> SendOutcome {
        let error_line = format!("can't write to the folder {}: {error}", self.folder.display());
        match error.kind() {
            IoErrorKind::PermissionDenied
            | IoErrorKind::ReadOnlyFilesystem
            | IoErrorKind::NotADirectory
            | IoErrorKind::AlreadyExists
            | IoErrorKind::StorageFull
            | IoErrorKind::QuotaExceeded => SendOutcome::Misconfigured { error: error_line },
            _ => SendOutcome::Retry { error: error_line, after: None },
        }
    }
}

/// The part before the `@` if it is a hash, as it should be; else a hash of the whole.
fn file_name(message_id: &str) -> String {
    let id = message_id.trim_start_matches('<').split('@').next().unwrap_or_default();
    if (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        format!("{id}.eml")
    } else {
        format!("{}.eml", &hex(&Sha256::digest(message_id))[..32])
    }
}

fn write(folder: &Path, hidden: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(hidden)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(hidden);
    }
    written
}

/// A repeat is safe, so a failed sync of the folder counts as not sent.
fn publish(folder: &Path, hidden: &Path, file: &Path) -> io::Result<()> {
    if let Err(error) = fs::rename(hidden, file) {
        let _ = fs::remove_file(hidden);
        return Err(error);
    }
    // Elsewhere a folder can't be opened as a file.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::tests::{email, identity};

    fn message(mailer: &FileMailer) -> OutgoingMessage {
        let identity = identity();
        OutgoingMessage {
            from: "orders@riqle.com".to_owned(),
            to: "ada@example.com".to_owned(),
            key: identity.key.clone(),
            message_id: identity.message_id.clone(),
            bytes: mailer.compose(&email(), &identity).unwrap(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_message_becomes_one_file_however_often_it_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        let mailer = FileMailer::new(&below);
        let message = message(&mailer);
        for _ in 0..3 {
            let outcome = mailer.send(&message, &Transmission::unrecorded()).await;
            assert!(
                matches!(&outcome, SendOutcome::Accepted { message_id, .. } if *message_id == message.message_id),
                "{outcome:?}"
            );
        }
        let name = "be2974546978e3739e6d6da85c4be9f3.eml";
        assert_eq!(names(&below), [name]);
        assert_eq!(fs::read(below.join(name)).unwrap(), message.bytes);
    }

    #[tokio::test]
    async fn a_folder_that_is_none_needs_somebody_to_act() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let mailer = FileMailer::new(path);
            let outcome = mailer.send(&message(&mailer), &Transmission::unrecorded()).await;
            assert!(matches!(outcome, SendOutcome::Misconfigured { .. }), "{outcome:?}");
        }
    }

    #[test]
    fn full_disks_and_missing_rights_need_somebody_to_act_and_other_errors_a_retry() {
        let mailer = FileMailer::new("mail");
        for kind in [IoErrorKind::StorageFull, IoErrorKind::PermissionDenied, IoErrorKind::ReadOnlyFilesystem]
        {
            assert!(matches!(mailer.not_sent(&kind.into()), SendOutcome::Misconfigured { .. }), "{kind}");
        }
        let outcome = mailer.not_sent(&IoErrorKind::Interrupted.into());
        assert!(matches!(outcome, SendOutcome::Retry { after: None, .. }));
    }

    #[test]
    fn a_message_id_never_leads_out_of_the_folder() {
        assert_eq!(file_name("<0a1b@riqle.com>"), "0a1b.eml");
        for id in ["<../../etc/passwd@x>", "<@x>", "", "<a/b@x>", "<.@x>"] {
            let name = file_name(id);
            assert!(
                name.len() == 36 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'),
                "{name}"
            );
        }
    }
}

//! What handles on one file share within a process: hints, and the turn to write.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use riqle_jobs_core::{Error, ErrorKind, WakeSender};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How long a writer waits for the file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the handles on one file share in this process.
#[derive(Debug)]
pub(crate) struct InProcess {
    pub(crate) wake: WakeSender,
    /// One writer at a time, first come first served: SQLite's own lock is not fair, and waits by polling.
    turn: Arc<Semaphore>,
}

impl InProcess {
    /// The one of `file`, the path that SQLite opened.
    pub(crate) fn of(file: &Path) -> Arc<Self> {
        static FILES: Mutex<Option<HashMap<PathBuf, Weak<InProcess>>>> = Mutex::new(None);
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        let files = files.get_or_insert_default();
        if let Some(known) = files.get(file).and_then(Weak::upgrade) {
            return known;
        }
        files.retain(|_, handle| handle.strong_count() > 0);
        let new = Arc::new(Self { wake: WakeSender::default(), turn: Arc::new(Semaphore::new(1)) });
        files.insert(file.to_owned(), Arc::downgrade(&new));
        new
    }

    /// Waits for the turn to write.
    pub(crate) async fn turn(&self, operation: &'static str) -> Result<OwnedSemaphorePermit, Error> {
        match timeout(BUSY_TIMEOUT, Arc::clone(&self.turn).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                let message = format!(
                    "the database is busy: a transaction of this process has held it for {BUSY_TIMEOUT:?}"
                );
                Err(Error::new(ErrorKind::Unavailable, operation, message))
            }
        }
    }
}

//! The store's file, and whether its path still leads to it.

use std::{
    ffi::OsString,
    fs,
    path::{self, Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use riqle_jobs_core::{Error, ErrorKind};

/// Twice a second, so that nothing is acknowledged a second after the file has gone, whatever a batch takes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The file that the store has open, and whether its path still leads to it: SQLite continues with a file that
/// was removed, and what it stores there is gone with the last process that has it open.
pub(crate) struct File {
    /// As it was given, since a link on the way may come to lead elsewhere.
    path: PathBuf,
    id: Option<FileId>,
    /// Its log of writes, which stands beside the file that the path led to.
    log: PathBuf,
    seen: Mutex<Seen>,
}

struct Seen {
    at: Option<Instant>,
    state: State,
    /// While the writer's connection keeps it there.
    log: Option<FileId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    There,
    /// It may come back.
    Missing,
    /// The log of writes, beside a file that is there.
    LogMissing,
    /// For good: a connection that was opened meanwhile may belong to the other file.
    Replaced,
}

impl File {
    /// Of the file that SQLite has opened at `opened` for `given`, a path or a `file:` URL.
    pub(crate) fn of(given: &Path, opened: &Path) -> Self {
        // The working directory may change.
        let path = match path::absolute(given) {
            Ok(path) if !is_url(given) => path,
            _ => opened.to_owned(),
        };
        let mut log = OsString::from(opened);
        log.push("-wal");
        let seen = Seen { at: None, state: State::There, log: None };
        Self { id: FileId::of(&path), path, log: log.into(), seen: Mutex::new(seen) }
    }

    /// The log of writes beside it; links on the way are followed.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Remembers the log of writes that the writer's connection has open, or that it is closed.
    pub(crate) fn log_is_open(&self, is_open: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_open {
            seen.log = None;
        } else if seen.log.is_none() {
            seen.log = FileId::of(&self.log);
        }
    }

    /// Whether the log of writes was missing, and the file was not, when it was last looked at.
    pub(crate) fn has_lost_its_log(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).state == State::LogMissing
    }

    /// # Errors
    /// `Unavailable` if the file is not at its path, or was not when it was looked at within [`LOOK_EVERY`].
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.state != State::Replaced && seen.at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            seen.at = Some(Instant::now());
            seen.state = match (FileId::of(&self.path), seen.log.map(|log| (log, FileId::of(&self.log)))) {
                (found, _) if found.is_some() && found != self.id => State::Replaced,
                (_, Some((log, Some(found)))) if found != log => State::Replaced,
                (None, _) => State::Missing,
                (_, Some((_, None))) => State::LogMissing,
                _ => State::There,
            };
        }
        let path = self.path.display();
        let message = match seen.state {
            State::There => return Ok(()),
            State::Missing => format!(
                "the file {path} was removed or renamed while it was open: put it back; until then nothing is stored"
            ),
            State::LogMissing => format!(
                "the file {path} is there, but its -wal was removed: restart the processes that have it open; nothing \
                 is stored until they are"
            ),
            State::Replaced => format!(
                "the file {path}, or its -wal, was replaced by another file after it was opened: nothing is stored \
                 until the processes that have it open are restarted"
            ),
        };
        Err(Error::new(ErrorKind::Unavailable, operation, message))
    }
}

/// Whether SQLite reads `given` as a URL (<https://www.sqlite.org/uri.html>).
pub(crate) fn is_url(given: &Path) -> bool {
    given.to_str().is_some_and(|given| given.starts_with("file:"))
}

/// Tells a file from another one that is at its path later; elsewhere than on Unix an open file keeps its path.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).ok().map(|file| Self { device: file.dev(), inode: file.ino() })
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|_| Self { device: 0, inode: 0 })
    }
}

//! The outcome of a store's newest writes, for its health.

use std::{
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Error, ErrorKind};

/// An older failure says nothing any more: nothing has been written since.
const RECENT: Duration = Duration::from_secs(60);

/// The outcome of the newest writes of a store's handle. A read-only server or a full disk still answers reads,
/// so only writes show the problem; [`Health::write_error`](super::Health::write_error) is built from it.
#[derive(Debug, Default)]
pub struct Writes(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    succeeded_at: Option<Instant>,
    /// Unless the newest write succeeded.
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    newest_at: Instant,
    error: String,
}

impl Writes {
    /// Notes the outcome of a write, and passes it on. Only `Unavailable`, `Misconfigured` and `Corrupt` mean
    /// that the store can't be written to; other errors are the caller's own and change nothing.
    ///
    /// # Errors
    /// Those of `written`.
    pub fn note<A>(&self, written: Result<A, Error>) -> Result<A, Error> {
        match &written {
            Ok(_) => self.succeeded(),
            Err(error) => self.failed(error),
        }
        written
    }

    /// As [`note`](Self::note), for a write that succeeded.
    pub fn succeeded(&self) {
        *self.newest() = Newest { succeeded_at: Some(Instant::now()), failing: None };
    }

    /// As [`note`](Self::note), for a write that failed.
    pub fn failed(&self, error: &Error) {
        if !tells_of_the_store(error.kind()) {
            return;
        }
        let now = Instant::now();
        let mut newest = self.newest();
        let since = newest.failing.as_ref().map_or(now, |failing| failing.since);
        newest.failing = Some(Failing { since, newest_at: now, error: error.to_string() });
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing can be written, since when, and when the last write succeeded; `None` if the newest write
    /// succeeded, or failed over a minute ago.
    pub fn error(&self) -> Option<String> {
        let newest = self.newest();
        let failing = newest.failing.as_ref().filter(|failing| failing.newest_at.elapsed() < RECENT)?;
        let mut line = format!("writes have been failing for {} s", failing.since.elapsed().as_secs());
        // Writing to a string does not fail.
        let _ = match newest.succeeded_at {
            Some(at) => write!(line, " (the last one that succeeded was {} s ago)", at.elapsed().as_secs()),
            None => write!(line, " (none has succeeded since the store was opened)"),
        };
        Some(format!("{line}: {}", failing.error))
    }
}

fn tells_of_the_store(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Misconfigured | ErrorKind::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: ErrorKind) -> Result<(), Error> {
        Err(Error::new(kind, "enqueue", "the server is read-only"))
    }

    #[tokio::test(start_paused = true)]
    async fn writes_that_fail_are_told_with_since_when_and_the_last_that_succeeded() {
        let writes = Writes::default();
        assert_eq!(writes.error(), None, "nothing was written yet");
        writes.note(failed(ErrorKind::Unavailable)).unwrap_err();
        let never = "writes have been failing for 0 s (none has succeeded since the store was opened): enqueue: the server is read-only";
        assert_eq!(writes.error().as_deref(), Some(never));

        writes.note(Ok(())).unwrap();
        assert_eq!(writes.error(), None);
        tokio::time::advance(Duration::from_secs(30)).await;
        writes.note(failed(ErrorKind::Unavailable)).unwrap_err();
        tokio::time::advance(Duration::from_secs(50)).await;
        writes.note(failed(ErrorKind::Misconfigured)).unwrap_err();
        tokio::time::advance(Duration::from_secs(50)).await;
        let since = "writes have been failing for 100 s (the last one that succeeded was 130 s ago): enqueue: the server is read-only";
        assert_eq!(writes.error().as_deref(), Some(since));

        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(writes.error(), None, "nobody has written for a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_a_call_says_nothing_of_the_store() {
        let writes = Writes::default();
        for kind in [ErrorKind::Rejected, ErrorKind::Conflict, ErrorKind::NotFound, ErrorKind::LeaseLost] {
            writes.note(failed(kind)).unwrap_err();
            assert_eq!(writes.error(), None, "{kind:?}");
        }
        writes.note(failed(ErrorKind::Corrupt)).unwrap_err();
        writes.note(failed(ErrorKind::Rejected)).unwrap_err();
        assert!(writes.error().is_some(), "a refused call does not make the store well");
    }
}

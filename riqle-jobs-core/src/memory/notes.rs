//! Progress and log lines of runs.

use jiff::Timestamp;

use crate::{
    LeaseToken,
    limits::LINES_KEPT,
    store::{LoggedLine, Note, RunNotes},
};

/// The notes of a run's bodies.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredNotes {
    pub(super) shown: RunNotes,
    /// The claim and number of the newest line.
    newest: Option<(LeaseToken, u32)>,
}

impl StoredNotes {
    pub(super) fn add(&mut self, note: Note, attempt: u32, now: Timestamp) {
        if note.progress.is_some() {
            self.shown.progress = note.progress;
        }
        let token = note.lease.token;
        for line in note.lines {
            if self.newest.is_some_and(|(claim, number)| claim == token && line.number <= number) {
                continue;
            }
            self.newest = Some((token, line.number));
            if self.shown.lines.len() >= LINES_KEPT {
                self.shown.lines.remove(0);
            }
            self.shown.lines.push(LoggedLine { at: now, attempt, level: line.level, text: line.text });
        }
    }
}

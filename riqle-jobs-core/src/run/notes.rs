//! What bodies report about themselves, in flight to the store.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    LeaseRef, LeaseToken, LogLevel, RunId,
    limits::{LINES_KEPT, TEXT_BYTES, clean_text},
    store::{LogLine, Note, Progress},
};

/// The claims of a worker that have said something that is not written yet.
#[derive(Default)]
pub(crate) struct UnwrittenNotes {
    claims: Mutex<BTreeMap<(RunId, LeaseToken), Arc<RunNoteBuffer>>>,
    /// Told when there is something to write, of each queue.
    some: Mutex<HashMap<Arc<str>, Arc<Notify>>>,
}

/// What one claim of a run has said.
pub(crate) struct RunNoteBuffer {
    lease: LeaseRef,
    said: Mutex<Said>,
    unwritten: Arc<UnwrittenNotes>,
}

#[derive(Default)]
struct Said {
    progress: Option<Progress>,
    lines: VecDeque<LogLine>,
    /// How many lines there were so far.
    count: u32,
}

impl UnwrittenNotes {
    /// Told when there is something to write of a queue.
    pub(crate) fn some_of(&self, queue: &str) -> Arc<Notify> {
        let mut some = self.some.lock().unwrap_or_else(PoisonError::into_inner);
        match some.get(queue) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(some.entry(queue.into()).or_default()),
        }
    }

    /// All of a queue that is not written; the lines stay until [`written`](Self::written).
    pub(crate) fn all_of(&self, queue: &str) -> Vec<Note> {
        let buffers: Vec<_> = self.claims().values().cloned().collect();
        let buffers = buffers.iter().filter(|buffer| *buffer.lease.queue == *queue);
        buffers.filter_map(|buffer| buffer.note()).collect()
    }

    /// What these claims have said and is not written.
    pub(crate) fn of<'a>(&self, leases: impl Iterator<Item = &'a LeaseRef>) -> Vec<Note> {
        let claims = self.claims();
        if claims.is_empty() {
            return Vec::new();
        }
        leases.filter_map(|lease| claims.get(&(lease.run, lease.token))?.note()).collect()
    }

    /// Forgets what is written, or can't be written any more.
    pub(crate) fn written(&self, notes: &[Note]) {
        let mut claims = self.claims();
        for note in notes {
            let claim = (note.lease.run, note.lease.token);
            if claims.get(&claim).is_some_and(|buffer| buffer.forget(note)) {
                claims.remove(&claim);
            }
        }
    }

    fn add(&self, buffer: &Arc<RunNoteBuffer>) {
        self.claims().insert((buffer.lease.run, buffer.lease.token), Arc::clone(buffer));
        self.some_of(&buffer.lease.queue).notify_one();
    }

    fn claims(&self) -> MutexGuard<'_, BTreeMap<(RunId, LeaseToken), Arc<RunNoteBuffer>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunNoteBuffer {
    pub(crate) fn new(lease: LeaseRef, unwritten: Arc<UnwrittenNotes>) -> Self {
        Self { lease, said: Mutex::default(), unwritten }
    }

    pub(crate) fn progress(self: &Arc<Self>, done: u64, total: u64, text: &str) {
        // SQL knows no larger number.
        let most = i64::MAX.unsigned_abs();
        let text = clean_text(text, TEXT_BYTES);
        self.said().progress = Some(Progress { done: done.min(most), total: total.min(most), text });
        self.unwritten.add(self);
    }

    pub(crate) fn line(self: &Arc<Self>, level: LogLevel, text: &str) {
        let text = clean_text(text, TEXT_BYTES);
        {
            let mut said = self.said();
            said.count = said.count.saturating_add(1);
            if said.lines.len() >= LINES_KEPT {
                said.lines.pop_front();
            }
            let number = said.count;
            said.lines.push_back(LogLine { number, level, text });
        }
        self.unwritten.add(self);
    }

    fn note(&self) -> Option<Note> {
        let said = self.said();
        (said.progress.is_some() || !said.lines.is_empty()).then(|| Note {
            lease: self.lease.clone(),
            progress: said.progress.clone(),
            lines: said.lines.iter().cloned().collect(),
        })
    }

    /// Forgets what `note` holds; true if nothing is left.
    fn forget(&self, note: &Note) -> bool {
        let mut said = self.said();
        if said.progress == note.progress {
            said.progress = None;
        }
        if let Some(last) = note.lines.last() {
            said.lines.retain(|line| line.number > last.number);
        }
        said.progress.is_none() && said.lines.is_empty()
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

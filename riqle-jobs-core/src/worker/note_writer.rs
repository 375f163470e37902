//! Writes the progress and log lines of all bodies of a worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::Mutex, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, ErrorKind, Settlement, Store,
    limits::plain_text,
    run::UnwrittenNotes,
    store::{LogLine, Note, Progress},
};

/// How long a note waits for others, while its attempt goes on.
const GATHER: Duration = Duration::from_millis(500);
const MOST_AT_ONCE: usize = 500;

/// Writes the progress and log lines of all bodies of a worker, many in one round trip.
pub(super) struct NoteWriter {
    store: Arc<dyn Store>,
    unwritten: Arc<UnwrittenNotes>,
    /// Of a queue one at a time, so that no older progress is written over a newer one.
    writing: BTreeMap<String, Mutex<()>>,
}

impl NoteWriter {
    /// Of runs of these queues.
    pub(super) fn new(
        store: Arc<dyn Store>,
        unwritten: Arc<UnwrittenNotes>,
        queues: BTreeSet<String>,
    ) -> Self {
        let writing = queues.into_iter().map(|queue| (queue, Mutex::default())).collect();
        Self { store, unwritten, writing }
    }

    /// Writes what has gathered, again and again; what is left at the end goes with the settlements.
    pub(super) async fn keep_writing(self: Arc<Self>, closing: CancellationToken) {
        tokio::select! {
            _ = join_all(self.writing.keys().map(|queue| self.keep_writing_of(queue))) => {}
            () = closing.cancelled() => {}
        }
    }

    async fn keep_writing_of(&self, queue: &str) {
        let some = self.unwritten.some_of(queue);
        loop {
            some.notified().await;
            sleep(GATHER).await;
            if let Err(error) = self.write(queue, || self.unwritten.all_of(queue)).await {
                tracing::debug!(%error, queue, "can't write notes; will retry");
                some.notify_one();
            }
        }
    }

    /// Writes what these claims have left to say: afterwards the store would refuse it.
    pub(super) async fn write_last(&self, settlements: &[Settlement]) -> Result<(), Error> {
        let leases = || settlements.iter().map(|settlement| &settlement.lease);
        let unwritten = self.unwritten.of(leases());
        let queues: BTreeSet<_> = unwritten.iter().map(|note| Arc::clone(&note.lease.queue)).collect();
        for queue in queues {
            let of_queue = || self.unwritten.of(leases().filter(|lease| lease.queue == queue));
            self.write(&queue, of_queue).await?;
        }
        Ok(())
    }

    async fn write(&self, queue: &str, take: impl Fn() -> Vec<Note>) -> Result<(), Error> {
        let _writing = match self.writing.get(queue) {
            Some(writing) => Some(writing.lock().await),
            None => None,
        };
        for notes in take().chunks(MOST_AT_ONCE) {
            // A lost lease shows elsewhere.
            if self.annotate(notes.to_vec()).await?.is_err() {
                for note in notes {
                    self.write_apart(note).await?;
                }
            }
            self.unwritten.written(notes);
        }
        Ok(())
    }

    /// Writes a note word by word, each that the store refuses without its text.
    async fn write_apart(&self, note: &Note) -> Result<(), Error> {
        let of_it = |progress, lines| vec![Note { lease: note.lease.clone(), progress, lines }];
        if let Some(progress) = &note.progress
            && let Err(refusal) = self.annotate(of_it(Some(progress.clone()), vec![])).await?
        {
            let text = refused("text", &refusal);
            let _ = self.annotate(of_it(Some(Progress { text, ..progress.clone() }), vec![])).await?;
        }
        for line in &note.lines {
            if let Err(refusal) = self.annotate(of_it(None, vec![line.clone()])).await? {
                let text = refused("line", &refusal);
                let _ = self.annotate(of_it(None, vec![LogLine { text, ..line.clone() }])).await?;
            }
        }
        Ok(())
    }

    /// The outer error: the store is unavailable, or not as it must be; the inner one: it refuses these notes.
    async fn annotate(&self, notes: Vec<Note>) -> Result<Result<(), Error>, Error> {
        match self.store.annotate(notes).await {
            Ok(_) => Ok(Ok(())),
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Misconfigured) => {
                Err(error)
            }
            Err(error) => {
                tracing::error!(%error, "a note was refused");
                Ok(Err(error))
            }
        }
    }
}

fn refused(what: &str, refusal: &Error) -> String {
    format!("(the store refused the {what}: {})", plain_text(refusal.message()))
}

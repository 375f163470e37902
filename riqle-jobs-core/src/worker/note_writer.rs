use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, ErrorKind, Queue, Settlement, Store,
    limits::plain_text,
    notes::UnwrittenNotes,
    store::{LogLine, Note, Progress},
};

/// How long a note waits for others, while its attempt goes on.
const GATHER: Duration = Duration::from_millis(500);
const MOST_AT_ONCE: usize = 500;

/// Writes the progress and log lines of all bodies of a worker, many in one round trip.
pub(super) struct NoteWriter {
    store: Arc<dyn Store>,
    unwritten: Arc<UnwrittenNotes>,
    /// One at a time, so that no older progress is written over a newer one.
    writing: Mutex<()>,
}

impl NoteWriter {
    pub(super) fn new(store: Arc<dyn Store>, unwritten: Arc<UnwrittenNotes>) -> Self {
        Self { store, unwritten, writing: Mutex::default() }
    }

    /// Writes what has gathered, again and again; what is left at the end goes with the settlements.
    pub(super) async fn keep_writing(self: Arc<Self>, closing: CancellationToken) {
        let writing = async {
            loop {
                self.unwritten.some.notified().await;
                sleep(GATHER).await;
                if let Err(error) = self.write(|| self.unwritten.all()).await {
                    tracing::debug!(%error, "can't write notes, trying on");
                    self.unwritten.some.notify_one();
                }
            }
        };
        tokio::select! {
            () = writing => {}
            () = closing.cancelled() => {}
        }
    }

    /// Writes what these claims have left to say: afterwards the store would refuse it.
    pub(super) async fn write_last(&self, settlements: &[Settlement]) -> Result<(), Error> {
        let leases = || settlements.iter().map(|settlement| &settlement.lease);
        if self.unwritten.of(leases()).is_empty() {
            return Ok(());
        }
        self.write(|| self.unwritten.of(leases())).await
    }

    async fn write(&self, take: impl Fn() -> Vec<Note>) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
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

    /// The outer error: the store is away, or not as it must be; the inner one: it refuses these notes.
    async fn annotate(&self, notes: Vec<Note>) -> Result<Result<(), Error>, Error> {
        match Queue::annotate(&*self.store, notes).await {
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

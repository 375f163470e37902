//! A store that answers badly, over a real one.

use std::sync::Arc;

use async_trait::async_trait;
use riqle_jobs_core::{
    EmailId, Ending, Enqueued, Error, ErrorKind, LeaseAnswer, NewRun, RunId, Settlement, Store,
    email::EmailEnding,
    store::{Health, Note, Writes},
};
use uuid::Uuid;

use crate::{Effect, Intercepted, Interceptor};

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect.
    Before,
    /// It has its effect, and its reply is lost.
    After,
}

/// Decides the fault of the next call of an operation, if any.
pub type Faults = Arc<dyn Fn(&'static str) -> Option<Fault> + Send + Sync>;

/// A store whose calls fail as they are told, with `Unavailable`.
pub type Unreliable = Intercepted<Fails>;

/// Lets calls fail.
#[derive(Clone)]
pub struct Fails {
    inner: Arc<dyn Store>,
    faults: Faults,
    errors: Errors,
    refuses: Refuses,
    /// What became of the newest enqueue.
    writes: Arc<Writes>,
}

/// The error of the next call of an operation, if any; it has no effect then.
type Errors = Arc<dyn Fn(&'static str) -> Option<Error> + Send + Sync>;

/// Whether a text can't be stored.
type Refuses = Arc<dyn Fn(&str) -> bool + Send + Sync>;

impl Unreliable {
    /// Fails as `faults` says; leases are extended reliably, since the keeper's connection is its own.
    pub fn new(
        inner: Arc<dyn Store>,
        faults: impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self(Fails {
            inner,
            faults: Arc::new(faults),
            errors: Arc::new(|_| None),
            refuses: Arc::new(|_| false),
            writes: Arc::default(),
        })
    }

    /// Fails with other errors than `Unavailable`.
    #[must_use]
    pub fn failing(self, errors: impl Fn(&'static str) -> Option<Error> + Send + Sync + 'static) -> Self {
        Self(Fails { errors: Arc::new(errors), ..self.0 })
    }

    /// Refuses settlements, notes and outcomes of emails with a text like this, as a database does whose encoding lacks a
    /// character: the whole call, with nothing done.
    #[must_use]
    pub fn refusing(self, refuses: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Fails { refuses: Arc::new(refuses), ..self.0 })
    }
}

impl Fails {
    fn take<'a>(
        &self,
        operation: &'static str,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Error> {
        if texts.into_iter().any(|text| (self.refuses)(text)) {
            let message = "a text holds what the store can't hold";
            return Err(Error::new(ErrorKind::Rejected, operation, message));
        }
        Ok(())
    }
}

/// A call under its fault.
pub(crate) async fn befallen<T>(
    fault: Option<Fault>,
    operation: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let lost =
        |when: &str| Error::new(ErrorKind::Unavailable, operation, format!("failed {when} its effect"));
    match fault {
        None => call.await,
        Some(Fault::Before) => Err(lost("before")),
        Some(Fault::After) => {
            call.await?;
            Err(lost("after"))
        }
    }
}

#[async_trait]
impl Interceptor for Fails {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    async fn call<T, A, F>(&self, operation: &'static str, _effect: Effect, call: F) -> Result<T, Error>
    where
        T: Send,
        A: Future<Output = Result<T, Error>> + Send,
        F: Fn() -> A + Send + Sync,
    {
        match (self.errors)(operation) {
            Some(error) => Err(error),
            None => befallen((self.faults)(operation), operation, call()).await,
        }
    }

    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let call = || self.inner.enqueue(runs.clone());
        self.writes.note(self.call("enqueue", Effect::Write, call).await)
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<Vec<LeaseAnswer>, Error> {
        let lines = notes.iter().flat_map(|note| &note.lines).map(|line| line.text.as_str());
        let progress = notes.iter().filter_map(|note| Some(note.progress.as_ref()?.text.as_str()));
        self.take("annotate", lines.chain(progress))?;
        self.call("annotate", Effect::Write, || self.inner.annotate(notes.clone())).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        let outputs = settlements.iter().filter_map(|settlement| match &settlement.ending {
            Ending::Succeeded { output } => std::str::from_utf8(&output.bytes).ok(),
            _ => None,
        });
        let errors = settlements.iter().filter_map(|settlement| settlement.error.as_deref());
        self.take("settle", outputs.chain(errors))?;
        self.call("settle", Effect::Write, || self.inner.settle(settlements.clone())).await
    }

    async fn health(&self) -> Result<Health, Error> {
        let health = self.call("health", Effect::Read, || self.inner.health()).await?;
        Ok(Health { write_error: self.writes.error(), ..health })
    }

    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error> {
        self.take(
            "end_email",
            match &ending {
                EmailEnding::Sent { message_id, reply } => [message_id.as_str(), reply],
                EmailEnding::NotSent { error, .. } => [error.as_str(), ""],
            },
        )?;
        self.call("end_email", Effect::Write, || self.inner.end_email(id, sender, ending.clone())).await
    }

    async fn fail_emails_of_run(&self, run: RunId, error: &str) -> Result<(), Error> {
        self.take("fail_emails_of_run", [error])?;
        self.call("fail_emails_of_run", Effect::Write, || self.inner.fail_emails_of_run(run, error)).await
    }
}

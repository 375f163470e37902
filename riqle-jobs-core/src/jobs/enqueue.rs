//! A run about to be enqueued.

use std::{future::IntoFuture, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use tracing::Instrument;

use crate::{
    Enqueued, Error, ErrorKind, NewRun, Priority, Store, UniqueScope, process_metrics::enqueued, trace::spans,
};

/// A run about to be enqueued, into a store or in a [`Transaction`](crate::Transaction); await it.
#[must_use = "nothing is enqueued until it is awaited"]
pub struct Enqueue<T = Arc<dyn Store>> {
    target: T,
    run: Result<NewRun, Error>,
}

impl<T> Enqueue<T> {
    pub(crate) fn into(target: T, run: Result<NewRun, Error>) -> Self {
        Self { target, run }
    }

    pub(crate) fn parts(self) -> (T, Result<NewRun, Error>) {
        (self.target, self.run)
    }

    /// Delays the run, counted from when the store accepts it.
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|run| run.delay(delay))
    }

    /// Makes it due at `time`.
    pub fn at(self, time: Timestamp) -> Self {
        self.with(|run| run.at(time))
    }

    /// See [`NewRun::unique`].
    pub fn unique(self, key: impl Into<String>) -> Self {
        self.with(|run| run.unique(key))
    }

    /// See [`NewRun::unique_within`].
    pub fn unique_within(self, key: impl Into<String>, scope: UniqueScope) -> Self {
        self.with(|run| run.unique_within(key, scope))
    }

    /// See [`NewRun::reference`].
    pub fn reference(self, reference: impl Into<String>) -> Self {
        self.with(|run| run.reference(reference))
    }

    /// Sets its priority among due runs.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|run| run.priority(priority))
    }

    fn with(self, change: impl FnOnce(NewRun) -> NewRun) -> Self {
        Self { target: self.target, run: self.run.map(change) }
    }
}

impl IntoFuture for Enqueue {
    type Output = Result<Enqueued, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let answers = enqueue(vec![self.run?], |runs| self.target.enqueue(runs)).await?;
            answers.first().copied().ok_or_else(no_answer)
        })
    }
}

/// Enqueues runs by `put` in a span, whose trace they carry, and counts what comes of it.
pub(crate) async fn enqueue<A>(
    mut runs: Vec<NewRun>,
    put: impl FnOnce(Vec<NewRun>) -> A,
) -> Result<Vec<Enqueued>, Error>
where
    A: Future<Output = Result<Vec<Enqueued>, Error>>,
{
    let span = spans::enqueue(&mut runs);
    let answers = enqueued(runs.len(), put(runs)).instrument(span.clone()).await;
    spans::enqueued(&span, &answers);
    answers
}

pub(crate) fn no_answer() -> Error {
    Error::new(ErrorKind::Corrupt, "enqueue", "the store returned no run")
}

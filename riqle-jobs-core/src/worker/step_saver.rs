use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::natural_batch::flush_waiting;
use crate::{Error, ErrorKind, LeaseAnswer, Queue, StepSave, Store, backoff::Backoff, context::SaveStep};

const MOST_AT_ONCE: usize = 500;

/// Saves step results of all bodies of a worker, many in one round trip; a body goes on once its own is stored.
pub(super) struct StepSaver {
    waiting: mpsc::Sender<Waiting>,
}

struct Waiting {
    step: StepSave,
    answer: oneshot::Sender<Result<LeaseAnswer, Error>>,
}

impl StepSaver {
    /// The saver, and the task that flushes it.
    pub(super) fn new(
        store: Arc<dyn Store>,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (waiting, steps) = mpsc::channel(2 * MOST_AT_ONCE);
        let flushing = async move {
            flush_waiting(steps, MOST_AT_ONCE, closing, |batch| {
                let store = Arc::clone(&store);
                async move { flush(&*store, batch).await }
            })
            .await;
        };
        (Self { waiting }, flushing)
    }
}

#[async_trait]
impl SaveStep for StepSaver {
    async fn save(&self, step: StepSave) -> Result<LeaseAnswer, Error> {
        let (answer, answered) = oneshot::channel();
        let stopped = || Error::new(ErrorKind::Unavailable, "save_steps", "the worker has stopped");
        self.waiting.send(Waiting { step, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

async fn flush(store: &dyn Store, batch: Vec<Waiting>) {
    let mut batch = batch;
    let mut backoff = Backoff::new(batch.len() as u64);
    loop {
        // A body that has been dropped waits for nothing.
        batch.retain(|waiting| !waiting.answer.is_closed());
        if batch.is_empty() {
            return;
        }
        let steps = batch.iter().map(|waiting| waiting.step.clone()).collect();
        match Queue::save_steps(store, steps).await {
            Ok(answers) => {
                for (waiting, answer) in batch.into_iter().zip(answers) {
                    let _ = waiting.answer.send(Ok(answer));
                }
                return;
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(%error, "can't save steps, trying on");
                backoff.wait().await;
            }
            Err(error) if batch.len() == 1 => {
                for waiting in batch.drain(..) {
                    let _ = waiting.answer.send(Err(Error::new(error.kind(), "save_steps", error.message())));
                }
            }
            Err(error) => {
                tracing::error!(%error, "a batch of steps was refused, saving one by one");
                for waiting in batch.drain(..) {
                    Box::pin(flush(store, vec![waiting])).await;
                }
            }
        }
    }
}

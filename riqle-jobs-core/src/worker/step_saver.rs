//! Saves step results of all bodies of a worker.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::natural_batch::ByQueue;
use crate::{
    Error, LeaseAnswer, Store,
    backoff::Backoff,
    process_metrics::OfWorker,
    run::{Save, SaveStep},
};

const MOST_AT_ONCE: usize = 500;

/// Saves step results of all bodies of a worker, many in one round trip; a body goes on once its own is stored.
pub(super) struct StepSaver {
    waiting: ByQueue<Save>,
}

impl StepSaver {
    /// The saver of steps of runs of these queues, and the task that flushes it.
    pub(super) fn new(
        store: Arc<dyn Store>,
        metrics: Arc<OfWorker>,
        queues: &[BTreeSet<String>],
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (waiting, flushing) = ByQueue::new(queues, MOST_AT_ONCE, closing, move |batch| {
            let (store, metrics) = (Arc::clone(&store), Arc::clone(&metrics));
            async move { flush(&*store, &metrics, batch).await }
        });
        (Self { waiting }, flushing)
    }
}

impl SaveStep for StepSaver {
    fn save(&self, save: Save) {
        let Some(waiting) = self.waiting.of(&save.step.lease.queue) else { return };
        // A caller that stops waiting for a place takes no result with it.
        if let Err(TrySendError::Full(save)) = waiting.try_send(save) {
            let waiting = waiting.clone();
            tokio::spawn(async move { waiting.send(save).await });
        }
    }
}

async fn flush(store: &dyn Store, metrics: &OfWorker, batch: Vec<Save>) {
    let mut backoff = Backoff::new(batch.len() as u64);
    loop {
        let steps = batch.iter().map(|save| save.step.clone()).collect();
        match metrics.save_steps.timed(store.save_steps(steps)).await {
            Ok(answers) => {
                backoff.succeeded("save steps", None);
                for (save, answer) in batch.into_iter().zip(answers) {
                    if answer == LeaseAnswer::LeaseLost {
                        metrics.fenced_steps.another();
                    }
                    save.end(Ok(answer));
                }
                return;
            }
            // Nothing of this is the fault of a result: it waits until somebody has put it right.
            Err(error) if backoff.outlasts(&error) => {
                backoff.log("save steps", None, &error);
                backoff.wait().await;
            }
            Err(error) => return refused(store, metrics, batch, error).await,
        }
    }
}

/// One bad result must not hold up its neighbours.
async fn refused(store: &dyn Store, metrics: &OfWorker, mut batch: Vec<Save>, error: Error) {
    if batch.len() > 1 {
        tracing::error!(%error, "a batch of steps was refused; saving one by one");
        for save in batch {
            Box::pin(flush(store, metrics, vec![save])).await;
        }
    } else if let Some(save) = batch.pop() {
        save.end(Err(error));
    }
}

//! Gathers what waits while a write is under way, so that it shares the next one, queue by queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

use futures_util::future::join_all;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// What waits of a worker's queues. Those of a group share round trips; groups stand on servers of their own, and one that
/// is slow or away holds up what waits of no other.
pub(crate) struct ByQueue<T> {
    waiting: BTreeMap<String, mpsc::Sender<T>>,
}

impl<T> ByQueue<T> {
    /// Those of these groups, and the task that flushes each as [`flush_waiting`] does. At most twice `most` of one wait.
    pub(crate) fn new<F, W>(
        groups: &[BTreeSet<String>],
        most: usize,
        closing: CancellationToken,
        flush: W,
    ) -> (Self, impl Future<Output = ()> + use<T, F, W>)
    where
        W: Fn(Vec<T>) -> F,
        F: Future<Output = ()>,
    {
        let (mut waiting, mut received) = (BTreeMap::new(), Vec::new());
        for group in groups {
            // Bounded: while the store is unavailable, what is to be written waits with who brings it.
            let (sender, receiver) = mpsc::channel(2 * most);
            waiting.extend(group.iter().map(|queue| (queue.clone(), sender.clone())));
            received.push(receiver);
        }
        let flush = Arc::new(flush);
        let flushing = async move {
            join_all(received.into_iter().map(|receiver| {
                let flush = Arc::clone(&flush);
                flush_waiting(receiver, most, closing.clone(), move |batch| flush(batch))
            }))
            .await;
        };
        (Self { waiting }, flushing)
    }

    /// Where what belongs to a queue waits; `None` of a queue that is none of the worker's.
    pub(crate) fn of(&self, queue: &str) -> Option<&mpsc::Sender<T>> {
        self.waiting.get(queue)
    }
}

/// Hands `flush` whatever waits, at most `most` at a time, as soon as one of the two flushes before is done: while one
/// waits for its commit, the next is on its way. No timer: an idle system waits for nothing, a busy one shares its round
/// trips. Once `closing` fires it takes nothing new, flushes what waits and ends.
async fn flush_waiting<T, F>(
    waiting: mpsc::Receiver<T>,
    most: usize,
    closing: CancellationToken,
    flush: impl Fn(Vec<T>) -> F,
) where
    F: Future<Output = ()>,
{
    let waiting = Mutex::new(waiting);
    let flush_one_by_one = || async {
        loop {
            let batch = next_batch(&mut *waiting.lock().await, most, &closing).await;
            if batch.is_empty() {
                return;
            }
            flush(batch).await;
        }
    };
    tokio::join!(flush_one_by_one(), flush_one_by_one());
}

/// Nothing: it is over.
async fn next_batch<T>(waiting: &mut mpsc::Receiver<T>, most: usize, closing: &CancellationToken) -> Vec<T> {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            _ = waiting.recv_many(&mut batch, most) => break,
            () = closing.cancelled(), if !waiting.is_closed() => waiting.close(),
        }
    }
    gather(waiting, &mut batch, most).await;
    batch
}

/// Lets the tasks run that are ready to: those that the flush before has just answered come with their next item, and
/// without this would each miss the batch by microseconds.
async fn gather<T>(waiting: &mut mpsc::Receiver<T>, batch: &mut Vec<T>, most: usize) {
    let mut seen = 0;
    while seen < batch.len() && batch.len() < most {
        seen = batch.len();
        tokio::task::yield_now().await;
        while batch.len() < most
            && let Ok(item) = waiting.try_recv()
        {
            batch.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queues_of_a_group_share_their_writes() {
        let (written, mut writes) = mpsc::unbounded_channel();
        let group = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let (waiting, flushing) = ByQueue::new(&[group], 10, CancellationToken::new(), |batch: Vec<&str>| {
            written.send(batch).unwrap();
            std::future::ready(())
        });
        waiting.of("a").unwrap().send("a").await.unwrap();
        waiting.of("b").unwrap().send("b").await.unwrap();
        drop(waiting);
        tokio::select! {
            () = flushing => {}
            written = writes.recv() => assert_eq!(written.unwrap(), ["a", "b"]),
        }
    }

    #[tokio::test]
    async fn a_queue_whose_writes_hang_holds_up_no_other() {
        let (written, mut writes) = mpsc::unbounded_channel();
        let queues = ["away", "there"].map(|queue| BTreeSet::from([queue.to_owned()]));
        let closing = CancellationToken::new();
        let (waiting, flushing) = ByQueue::new(&queues, 10, closing, move |batch: Vec<&str>| {
            let written = written.clone();
            async move {
                if batch.contains(&"away") {
                    std::future::pending::<()>().await;
                }
                let _ = written.send(batch);
            }
        });
        let flushing = tokio::spawn(flushing);
        // More than one flush of it hangs.
        for _ in 0..3 {
            waiting.of("away").unwrap().send("away").await.unwrap();
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            waiting.of("there").unwrap().send("there").await.unwrap();
            assert_eq!(writes.recv().await.unwrap(), ["there"]);
        }
        assert!(waiting.of("nobody's").is_none());
        flushing.abort();
    }
}

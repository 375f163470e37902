use std::future::Future;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// Hands `flush` whatever waits, at most `most` at a time, as soon as one of the two flushes before is done: while one
/// waits for its commit, the next is on its way. No timer: an idle system waits for nothing, a busy one shares its round
/// trips. Once `closing` fires it takes nothing new, flushes what waits and ends.
pub(super) async fn flush_waiting<T, F>(
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

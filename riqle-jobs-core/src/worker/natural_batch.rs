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
            _ = waiting.recv_many(&mut batch, most) => return batch,
            () = closing.cancelled(), if !waiting.is_closed() => waiting.close(),
        }
    }
}

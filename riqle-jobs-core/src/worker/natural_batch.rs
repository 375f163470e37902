use std::future::Future;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Hands `flush` whatever waits, at most `most` at a time, as soon as the flush before is done. No timer: an idle
/// system waits for nothing, a busy one shares its round trips. Once `closing` fires it takes nothing new,
/// flushes what waits and ends.
pub(super) async fn flush_waiting<T, F>(
    mut waiting: mpsc::Receiver<T>,
    most: usize,
    closing: CancellationToken,
    mut flush: impl FnMut(Vec<T>) -> F,
) where
    F: Future<Output = ()>,
{
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            count = waiting.recv_many(&mut batch, most) => {
                if count == 0 {
                    return;
                }
            }
            () = closing.cancelled(), if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        }
        flush(batch).await;
    }
}

//! Lines on standard error that block no caller: it may be closed, full, or a pipe without a reader.

use std::{
    io::Write,
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use tokio::sync::oneshot;

/// Lines that wait to be written; more are dropped.
const WAITING: usize = 1_000;

enum Entry {
    Line(String),
    Flush(oneshot::Sender<()>),
}

/// What writes them, on a thread of its own.
static WRITER: LazyLock<SyncSender<Entry>> = LazyLock::new(|| {
    let (sender, entries) = sync_channel(WAITING);
    std::thread::spawn(move || {
        for entry in entries {
            match entry {
                // If it can't be written, there is nowhere to report it.
                Entry::Line(line) => drop(writeln!(std::io::stderr(), "shop: {line}")),
                Entry::Flush(done) => drop(done.send(())),
            }
        }
    });
    sender
});

/// Writes a line soon; never waits, never fails.
pub fn line(text: String) {
    let _ = WRITER.try_send(Entry::Line(text));
}

/// Waits until what was given before is written, for a second at most.
pub async fn flush() {
    let (sender, done) = oneshot::channel();
    if WRITER.try_send(Entry::Flush(sender)).is_ok() {
        let _ = tokio::time::timeout(Duration::from_secs(1), done).await;
    }
}

//! Lines on standard error that block no caller: it may be closed, full, or a pipe without a reader.

use std::{
    io::{self, Write},
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use opentelemetry_sdk::trace::SdkTracerProvider;
use riqle_jobs::otel;
use tokio::sync::oneshot;
use tracing_subscriber::{Layer, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{Failure, trace};

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

/// Shows what riqle-jobs and the other crates log: warnings and errors, and what is rare. Answers what sends traces to a
/// collector, where there is one; it is to be shut down at the end.
pub fn install() -> Result<Option<SdkTracerProvider>, Failure> {
    let lines = tracing_subscriber::fmt::layer().with_writer(Event::default).with_ansi(false).without_time();
    let (provider, traces) = trace::exporter()?.unzip();
    tracing_subscriber::registry().with(lines.with_filter(LevelFilter::INFO)).with(traces).init();
    if provider.is_some() {
        otel::propagate();
    }
    Ok(provider)
}

/// What the subscriber writes of an event.
#[derive(Default)]
struct Event(Vec<u8>);

impl Write for Event {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        line(String::from_utf8_lossy(&self.0).trim().to_owned());
    }
}

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

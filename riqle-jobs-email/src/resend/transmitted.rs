//! The body of a request, which records that it begins before its first byte leaves.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use riqle_jobs_core::{Error, email::Transmission};

type Record = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The body of a request, which records that it begins before it hands out its first byte, and hands out none where that
/// fails. It is asked for only once the connection stands, so what fails before was certainly not sent.
pub(super) struct Transmitted {
    /// Gone once recorded. The lock is never taken; it makes the future `Sync`, which a body must be.
    record: Option<Mutex<Record>>,
    bytes: Option<Bytes>,
    progress: Progress,
}

/// The progress of a body.
#[derive(Clone, Default)]
pub(super) struct Progress {
    begun: Arc<OnceLock<Result<(), String>>>,
}

impl Progress {
    /// Whether anything of it may have left; the email log's reason if it refused.
    pub(super) fn begun(&self) -> Result<bool, String> {
        match self.begun.get() {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(error.clone()),
        }
    }
}

impl Transmitted {
    pub(super) fn new(bytes: Bytes, transmission: Transmission, progress: Progress) -> Self {
        let record: Record = Box::pin(async move { transmission.body_begins().await });
        Self { record: Some(Mutex::new(record)), bytes: Some(bytes), progress }
    }
}

/// The email log does not let the email out; the reason is in [`Progress`].
#[derive(Debug)]
pub(super) struct NotLetOut;

impl fmt::Display for NotLetOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the email log does not let the email out")
    }
}

impl std::error::Error for NotLetOut {}

impl Body for Transmitted {
    type Data = Bytes;
    type Error = NotLetOut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NotLetOut>>> {
        if let Some(record) = &mut self.record {
            let record = record.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            let recorded = ready!(record.as_mut().poll(context)).map_err(|error| error.to_string());
            self.record = None;
            let let_out = recorded.is_ok();
            let _ = self.progress.begun.set(recorded);
            if !let_out {
                self.bytes = None;
                return Poll::Ready(Some(Err(NotLetOut)));
            }
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

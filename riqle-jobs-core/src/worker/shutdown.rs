//! Tells workers and relays to stop, by call or by signal.

use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind};

/// Tells workers and relays to stop; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    stopping: CancellationToken,
    now: CancellationToken,
}

impl Shutdown {
    /// A handle that fires only by [`stop`](Self::stop) and [`stop_now`](Self::stop_now).
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that fires on SIGTERM or Ctrl-C; a second signal stops at once. Needs a tokio runtime.
    ///
    /// # Errors
    /// `Misconfigured` if the signal handler can't be set.
    pub fn on_signals() -> Result<Self, Error> {
        let mut signals = Signals::listen().map_err(|cause| {
            Error::new(ErrorKind::Misconfigured, "run", "can't listen for signals").caused_by(cause)
        })?;
        let shutdown = Self::new();
        let fired = shutdown.clone();
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!("stopping; a second signal stops at once");
            fired.stop();
            signals.next().await;
            fired.stop_now();
        });
        Ok(shutdown)
    }

    /// Claims no more; running attempts have the grace time to finish, then they are given back, which does not
    /// count as a failure.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Gives running attempts back at once.
    pub fn stop_now(&self) {
        self.stopping.cancel();
        self.now.cancel();
    }

    /// Runs what it stops, and stops it once `stop` resolves.
    pub(crate) async fn fired_by<T>(
        &self,
        stop: impl Future<Output = ()>,
        stopped: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(stopped);
        tokio::select! {
            ended = &mut stopped => return ended,
            () = stop => self.stop(),
        }
        stopped.await
    }

    /// Whether stopping has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Resolves once stopping has begun.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Resolves once an immediate stop was requested: nothing is waited for any more.
    pub async fn stopping_now(&self) {
        self.now.cancelled().await;
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

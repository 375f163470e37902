//! Ctrl-C, a closed terminal, a `kill`: each ends an action between two of its parts, so that it is recorded.

use std::sync::Arc;

use tokio::sync::watch;

use crate::failure::Failure;

/// Told of by the first signal; the second ends the process at once.
#[derive(Clone)]
pub(crate) struct Interruption(Arc<watch::Sender<bool>>);

impl Interruption {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let told = Arc::new(watch::Sender::new(false));
        let mut signals = Signals::listen()
            .map_err(|error| Failure::refused(format!("can't listen for signals: {error}")))?;
        let tells = Arc::clone(&told);
        tokio::spawn(async move {
            signals.next().await;
            tells.send_replace(true);
            signals.next().await;
            std::process::exit(i32::from(crate::failure::REFUSED));
        });
        Ok(Self(told))
    }

    pub(crate) fn has_come(&self) -> bool {
        *self.0.borrow()
    }

    /// Once it comes.
    pub(crate) async fn comes(self) {
        // Its sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|has_come| *has_come).await;
    }
}

#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
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
            std::future::pending::<()>().await;
        }
    }
}

//! Ctrl-C, `kill` and a closed terminal end an action between two of its parts, so that its end is recorded; a second signal ends
//! the process at once.

use riqle_jobs::Shutdown;

use crate::failure::{Failure, REFUSED};

/// Listens from now on.
pub(crate) fn interruption() -> Result<Shutdown, Failure> {
    let interruption = Shutdown::on_signals()?;
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let cannot = |error| Failure::refused(format!("can't listen for signals: {error}"));
        let (mut hangup, stops) = (signal(SignalKind::hangup()).map_err(cannot)?, interruption.clone());
        tokio::spawn(async move {
            if hangup.recv().await.is_some() {
                stops.stop();
            }
        });
    }
    let ends = interruption.clone();
    tokio::spawn(async move {
        ends.stopping_now().await;
        std::process::exit(i32::from(REFUSED));
    });
    Ok(interruption)
}

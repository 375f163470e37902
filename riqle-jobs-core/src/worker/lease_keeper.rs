//! Extends a worker's leases, from a thread of its own.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::held_leases::HeldLeases;
use crate::{
    Error, LeaseConnection, LeaseRef, Store, outside::Instant, process_metrics::OfWorker, store::Repeated,
};

const MOST_AT_ONCE: usize = 1_000;

/// Keeps the worker's leases on the runtime that runs it, whose clock a simulation has paused.
#[cfg(riqle_simulation)]
pub(super) fn keep_on_own_thread(
    store: Arc<dyn Store>,
    held: Arc<HeldLeases>,
    lease: Duration,
    metrics: Arc<OfWorker>,
    stop: CancellationToken,
) -> Result<(), Error> {
    tokio::spawn(async move {
        tokio::select! {
            () = keep(&*store, &held, lease, &metrics) => {}
            () = stop.cancelled() => {}
        }
    });
    Ok(())
}

/// Keeps the worker's leases from a thread of its own, so that a body that blocks the application's runtime
/// loses none.
#[cfg(not(riqle_simulation))]
pub(super) fn keep_on_own_thread(
    store: Arc<dyn Store>,
    held: Arc<HeldLeases>,
    lease: Duration,
    metrics: Arc<OfWorker>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let failed = |cause: std::io::Error| {
        Error::new(crate::ErrorKind::Misconfigured, "run", "can't start the lease keeper's thread")
            .caused_by(cause)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    std::thread::Builder::new()
        .name("riqle-jobs-leases".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = keep(&*store, &held, lease, &metrics) => {}
                    () = stop.cancelled() => {}
                }
            });
        })
        .map(drop)
        .map_err(failed)
}

/// Extends what is a third of a lease old; looks twice in that time.
async fn keep(store: &dyn Store, held: &HeldLeases, lease: Duration, metrics: &OfWorker) {
    let mut connection = None;
    let failing = Repeated::new();
    loop {
        sleep(lease / 6).await;
        let mut due = held.older_than(lease / 3);
        // One that does not answer is in as few of the calls as can be, and is waited for once.
        due.sort_unstable_by(|one, other| one.queue.cmp(&other.queue));
        let (mut silent, mut unanswered) = (BTreeSet::new(), Vec::new());
        let mut is_extended = true;
        for leases in due.chunks(MOST_AT_ONCE) {
            let leases: Vec<_> =
                leases.iter().filter(|lease| !silent.contains(&lease.queue)).cloned().collect();
            if leases.is_empty() {
                continue;
            }
            let begun = Instant::now();
            // A half-open connection must not eat the lease: a new one has time for a second try.
            let extended =
                timeout(lease / 3, metrics.extend.timed(extend(store, &mut connection, &leases, lease)))
                    .await;
            match extended {
                Ok(Ok(answers)) => {
                    let mut answering = BTreeSet::new();
                    for (of, answer) in leases.iter().zip(answers) {
                        match answer {
                            Some(answer) => {
                                held.extended(of, begun, lease, answer);
                                answering.insert(&of.queue);
                            }
                            None => unanswered.push(of.clone()),
                        }
                    }
                    let queues = leases.iter().map(|of| &of.queue);
                    silent.extend(queues.filter(|queue| !answering.contains(queue)).cloned());
                }
                failed => {
                    connection = None;
                    is_extended = false;
                    if let Some(times) = failing.happened() {
                        let error = match failed {
                            Ok(Err(error)) => error.to_string(),
                            _ => "no answer in time".to_owned(),
                        };
                        tracing::warn!(error, times, "can't extend leases; will retry");
                    }
                }
            }
        }
        // That nothing is said of one at the first try is nothing: its run may be settled just then.
        let late = if unanswered.is_empty() { Vec::new() } else { held.older_than(lease / 2) };
        unanswered.retain(|of| late.contains(of));
        if !unanswered.is_empty() {
            let unknown = unanswered.len();
            if let Some(times) = failing.happened() {
                tracing::warn!(unknown, times, "can't extend some leases; will retry");
            }
        } else if is_extended
            && !due.is_empty()
            && let Some(after) = failing.ended()
        {
            tracing::info!(?after, "can extend leases again");
        }
    }
}

async fn extend(
    store: &dyn Store,
    connection: &mut Option<Box<dyn LeaseConnection>>,
    leases: &[LeaseRef],
    lease: Duration,
) -> Result<Vec<Option<crate::LeaseAnswer>>, Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(store.lease_connection().await?),
    };
    connection.extend(leases.to_vec(), lease).await
}

//! Counts what a worker does, and reports it to the store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::buffer::HeldRun;
use crate::{
    AttemptOutcome, Ending, Error, Settlement, Store, WorkerId, clock,
    outside::Instant,
    process_metrics::OfJob,
    store::{JobMetrics, Span},
};

/// Spans that start before the newest by more than this are let go, once they are reported.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Counts what a worker does, by job, minute and quarter of an hour; a report replaces the one before, so none is lost or
/// counted twice.
#[derive(Default)]
pub(super) struct Meter {
    spans: Mutex<Spans>,
}

/// By job, span and the start of it in milliseconds.
type Spans = BTreeMap<(Arc<str>, Span, i64), Counted>;

struct Counted {
    metrics: JobMetrics,
    /// Changed since it was last reported.
    is_new: bool,
}

/// One attempt, by the monotonic clock; its place in time is the store's.
pub(super) struct Measured {
    job: Arc<str>,
    process: Arc<OfJob>,
    begun: Instant,
    begun_at: Timestamp,
    took: Duration,
}

impl Measured {
    /// An attempt that begins now.
    pub(super) fn begin(job: Arc<str>, process: Arc<OfJob>, held: &HeldRun) -> Self {
        let begun_at = clock::later(held.run.claimed_at, held.since.elapsed());
        Self { job, process, begun: Instant::now(), begun_at, took: Duration::ZERO }
    }

    /// It ends now.
    pub(super) fn end(self) -> Self {
        Self { took: self.begun.elapsed(), ..self }
    }
}

impl Meter {
    pub(super) fn begun(&self, measured: &Measured, due_at: Timestamp) {
        let wait = Duration::try_from(measured.begun_at.duration_since(due_at)).unwrap_or_default();
        measured.process.started(wait);
        self.count(&measured.job, measured.begun_at, |metrics| {
            metrics.started += 1;
            metrics.wait.record(wait);
        });
    }

    /// Its end is stored.
    pub(super) fn settled(&self, measured: &Measured, settlement: &Settlement) {
        measured.process.ended(settlement, measured.took);
        self.count(&measured.job, clock::later(measured.begun_at, measured.took), |metrics| {
            match settlement.outcome {
                AttemptOutcome::Succeeded => metrics.succeeded += 1,
                AttemptOutcome::Failed => metrics.failed += 1,
                _ => {}
            }
            if matches!(settlement.ending, Ending::Dead { .. }) {
                metrics.dead += 1;
            }
            if !matches!(settlement.outcome, AttemptOutcome::GivenBack | AttemptOutcome::Crashed) {
                metrics.run_time.record(measured.took);
            }
        });
    }

    /// Reports what has changed.
    pub(super) async fn report(&self, store: &Arc<dyn Store>, worker: WorkerId) -> Result<(), Error> {
        let changed: Vec<_> = self
            .spans()
            .values()
            .filter(|counted| counted.is_new)
            .map(|counted| counted.metrics.clone())
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        store.report_metrics(worker, changed.clone()).await?;
        self.reported(&changed);
        Ok(())
    }

    fn reported(&self, reported: &[JobMetrics]) {
        let mut spans = self.spans();
        for counted in spans.values_mut() {
            counted.is_new &= !reported.contains(&counted.metrics);
        }
        let newest = spans.keys().map(|(_, _, start)| *start).max().unwrap_or_default();
        let oldest = newest.saturating_sub(clock::millis_of(KEPT));
        spans.retain(|(_, _, start), counted| counted.is_new || *start >= oldest);
    }

    fn count(&self, job: &Arc<str>, at: Timestamp, change: impl Fn(&mut JobMetrics)) {
        let mut spans = self.spans();
        for span in Span::ALL.iter().copied() {
            let counted = spans
                .entry((Arc::clone(job), span, span.start_of(at).as_millisecond()))
                .or_insert_with(|| Counted { metrics: JobMetrics::new(&**job, span, at), is_new: true });
            counted.is_new = true;
            change(&mut counted.metrics);
        }
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

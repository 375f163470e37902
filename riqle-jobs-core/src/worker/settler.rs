//! Recording how claims ended.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    dead_log::DeadLog,
    held_leases::HeldLeases,
    hooks::{Hooks, Subject},
    metrics::{Measured, Meter},
    natural_batch::ByQueue,
    note_writer::NoteWriter,
    running::Counters,
    verdict::{self, AttemptEnd},
};
use crate::{
    ClaimedRun, Ending, Error, ErrorKind, LeaseAnswer, LeaseRef, LogLevel, RetryPolicy, Settlement, Store,
    backoff::Backoff,
    limits::plain_text,
    process_metrics::OfWorker,
    store::{LogLine, Note},
    trace::spans,
};

const MOST_AT_ONCE: usize = 1_000;
/// How the line begins that is noted of a settlement that was refused altogether.
const REFUSED: &str = "the store refused to record how an attempt ended";

/// Records how claims ended, many in one round trip. A lease is held until its settlement is stored.
pub(super) struct Settler {
    waiting: ByQueue<Ended>,
    ledger: Arc<Ledger>,
}

struct Ended {
    settlement: Settlement,
    subject: Subject,
}

/// What the flush needs.
pub(super) struct Ledger {
    pub(super) store: Arc<dyn Store>,
    pub(super) held: Arc<HeldLeases>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) dead_log: Arc<DeadLog>,
    pub(super) counters: Arc<Counters>,
    pub(super) meter: Arc<Meter>,
    pub(super) process: Arc<OfWorker>,
    pub(super) notes: Arc<NoteWriter>,
    pub(super) lease: Duration,
}

impl Settler {
    /// The settler of runs of these queues, and the task that flushes it.
    pub(super) fn new(
        ledger: Ledger,
        queues: &[BTreeSet<String>],
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let ledger = Arc::new(ledger);
        let writing = Arc::clone(&ledger);
        let (waiting, flushing) = ByQueue::new(queues, MOST_AT_ONCE, closing, move |batch| {
            let ledger = Arc::clone(&writing);
            async move { ledger.flush(batch).await }
        });
        (Self { waiting, ledger }, flushing)
    }

    /// Takes a settlement, to be written soon.
    pub(super) async fn settle(
        &self,
        run: &ClaimedRun,
        settlement: Settlement,
        alert: bool,
        measured: Option<Measured>,
    ) {
        let subject = Subject { job: run.job.clone(), reference: run.reference.clone(), alert, measured };
        let ended = Ended { settlement, subject };
        let taken = match self.waiting.of(&run.lease.queue) {
            Some(waiting) => waiting.send(ended).await.is_ok(),
            None => false,
        };
        if !taken {
            // The worker is gone; the lease runs out by itself.
            self.drop_lease(run);
        }
    }

    /// Gives a run back, uncharged.
    pub(super) async fn give_back(&self, run: &ClaimedRun) {
        self.settle(run, verdict::settle(run, &RetryPolicy::none(), AttemptEnd::GivenBack), false, None)
            .await;
    }

    /// Lets a lease go that can't be written under any more.
    pub(super) fn drop_lease(&self, run: &ClaimedRun) {
        self.ledger.held.let_go(&run.lease);
    }

    /// Why the store refused to record how an earlier attempt of a run ended, where it did.
    pub(super) async fn refusal_of(&self, run: &ClaimedRun) -> Option<String> {
        let notes = self.ledger.store.notes(run.lease.run).await.ok()?;
        notes.lines.into_iter().rev().map(|line| line.text).find(|text| text.starts_with(REFUSED))
    }
}

impl Ledger {
    async fn flush(&self, batch: Vec<Ended>) {
        let (settlements, subjects): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|ended| (ended.settlement, ended.subject)).unzip();
        let written = match self.write(&settlements).await {
            Ok(answers) => settlements.into_iter().zip(answers.into_iter().map(Some)).collect(),
            Err(error) => {
                tracing::error!(%error, "a batch of settlements was refused; settling one by one");
                self.write_one_by_one(settlements, error).await
            }
        };
        for ((settlement, answer), subject) in written.iter().zip(&subjects) {
            self.held.let_go(&settlement.lease);
            match answer {
                Some(LeaseAnswer::Done) => {
                    self.counters.settled(settlement);
                    if let Some(measured) = &subject.measured {
                        self.meter.settled(measured, settlement);
                    }
                    self.dead_log.settled(settlement, subject);
                    self.hooks.settled(settlement, subject);
                }
                Some(answer @ (LeaseAnswer::LeaseLost | LeaseAnswer::CancelRequested)) => {
                    self.counters.lease_lost();
                    let LeaseRef { run, queue, .. } = &settlement.lease;
                    if *answer == LeaseAnswer::LeaseLost {
                        self.process.fenced_settlements.another();
                        self.process.lease_lost();
                        tracing::warn!(%run, job = subject.job, queue = &**queue, "lease lost; the attempt's end was refused");
                    }
                }
                None => {}
            }
        }
    }

    /// One bad row must not hold up its neighbours. Returns what was written in the end.
    async fn write_one_by_one(
        &self,
        settlements: Vec<Settlement>,
        refusal: Error,
    ) -> Vec<(Settlement, Option<LeaseAnswer>)> {
        let mut written = Vec::with_capacity(settlements.len());
        let mut known = (settlements.len() == 1).then_some(refusal);
        for settlement in settlements {
            let answer = match known.take() {
                Some(refusal) => Err(refusal),
                None => self.write(std::slice::from_ref(&settlement)).await,
            };
            written.push(match answer {
                Ok(answers) => (settlement, answers.first().copied()),
                Err(refusal) => self.write_refused(settlement, &refusal).await,
            });
        }
        written
    }

    /// What a store refuses for its content is written without it. What it refuses altogether counts as a crash, once the
    /// lease has run out; why is noted, for the reason of a run that ends so.
    async fn write_refused(
        &self,
        settlement: Settlement,
        refusal: &Error,
    ) -> (Settlement, Option<LeaseAnswer>) {
        let run = settlement.lease.run;
        if refusal.kind() != ErrorKind::Rejected {
            self.note_refusal(&settlement, refusal).await;
            return (settlement, None);
        }
        tracing::error!(%run, %refusal, "a settlement was refused; writing it without its content");
        let poorer = verdict::without_content(&settlement, refusal);
        match self.write(std::slice::from_ref(&poorer)).await {
            Ok(answers) => (poorer, answers.first().copied()),
            Err(refusal) => {
                self.note_refusal(&settlement, &refusal).await;
                (settlement, None)
            }
        }
    }

    async fn note_refusal(&self, settlement: &Settlement, refusal: &Error) {
        let run = settlement.lease.run;
        tracing::error!(%run, %refusal, "a settlement was refused altogether; it counts as a crash");
        let text = format!("{REFUSED}: {}", plain_text(refusal.message()));
        let line = LogLine { number: u32::MAX, level: LogLevel::Warn, text };
        let note = Note { lease: settlement.lease.clone(), progress: None, lines: vec![line] };
        if let Err(error) = self.store.annotate(vec![note]).await {
            tracing::error!(%run, %error, "can't note why a settlement was refused");
        }
    }

    /// Waits while the store is unavailable, or not as it must be: neither is the fault of a settlement.
    async fn write(&self, settlements: &[Settlement]) -> Result<Vec<LeaseAnswer>, Error> {
        let mut backoff = Backoff::new(settlements.len() as u64);
        loop {
            match self.try_write(settlements).await {
                Err(error) if backoff.outlasts(&error) => {
                    backoff.log("settle", None, &error);
                    backoff.wait().await;
                }
                other => {
                    backoff.succeeded("settle", None);
                    return other;
                }
            }
        }
    }

    /// Before the settle: a crash in between repeats the attempt, which can still send the email. Only under a lease that
    /// holds, and now for its whole length: another claim may be about to send it.
    async fn fail_emails(&self, settlements: &[Settlement]) -> Result<(), Error> {
        let is_dead = |settlement: &&Settlement| matches!(settlement.ending, Ending::Dead { .. });
        let dead: Vec<&Settlement> = settlements.iter().filter(is_dead).collect();
        if dead.is_empty() {
            return Ok(());
        }
        let leases = dead.iter().map(|settlement| settlement.lease.clone()).collect();
        let answers = self.store.extend(leases, self.lease).await?;
        for (dead, answer) in dead.into_iter().zip(answers) {
            if answer == LeaseAnswer::Done {
                let error = dead.error.as_deref().unwrap_or("the run is dead");
                self.store.fail_emails_of_run(dead.lease.run, error).await?;
            }
        }
        Ok(())
    }

    async fn try_write(&self, settlements: &[Settlement]) -> Result<Vec<LeaseAnswer>, Error> {
        self.fail_emails(settlements).await?;
        self.notes.write_last(settlements).await?;
        let span = spans::settle(settlements.len());
        let written = self.store.settle(settlements.to_vec()).instrument(span.clone());
        let answer = self.process.settle.timed(written).await;
        answer.inspect_err(|error| spans::call_failed(&span, error))
    }
}

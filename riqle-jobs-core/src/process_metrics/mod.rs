//! What this process does, for the recorder that the application has installed for the `metrics` facade: the feature `metrics`.
//! What the store knows is told by the web crate's `/metrics`, under other names.

mod facade;

use std::time::Duration;

use self::facade::{Counter, Gauge, Histogram, counter, gauge, histogram};
use crate::{AttemptOutcome, Ending, Enqueued, Error, Settlement, outside::Instant};

const IS_ON: bool = cfg!(feature = "metrics");

const ENQUEUED: &str = "riqle_jobs_enqueued_total";
const ENQUEUE_DURATION: &str = "riqle_jobs_enqueue_duration_seconds";
const START_DELAY: &str = "riqle_jobs_start_delay_seconds";
const RUNS: &str = "riqle_jobs_runs_total";
const RUN_DURATION: &str = "riqle_jobs_run_duration_seconds";
const STEP_DURATION: &str = "riqle_jobs_step_duration_seconds";
const LEASES_LOST: &str = "riqle_jobs_leases_lost_total";
const FENCED_WRITES: &str = "riqle_jobs_fenced_writes_total";
const STORE_CALL_DURATION: &str = "riqle_jobs_store_call_duration_seconds";
const STORE_CALL_ERRORS: &str = "riqle_jobs_store_call_errors_total";
const EMAILS: &str = "riqle_jobs_emails_total";
const PROCESS_SLOTS: &str = "riqle_jobs_process_slots";
const PROCESS_SLOTS_USED: &str = "riqle_jobs_process_slots_used";

/// All of them, as exporters describe them.
const METRICS: [(&str, &str); 13] = [
    (ENQUEUED, "Runs that this process has enqueued, or tried to"),
    (ENQUEUE_DURATION, "How long its enqueues took"),
    (START_DELAY, "From due to started, of the attempts that it has started"),
    (RUNS, "Attempts whose end it has recorded"),
    (RUN_DURATION, "How long these attempts took"),
    (STEP_DURATION, "How long the code of its steps took"),
    (LEASES_LOST, "Attempts whose lease it has lost"),
    (FENCED_WRITES, "Writes that the store has refused for a lease that was lost"),
    (STORE_CALL_DURATION, "How long its workers' calls of the store took"),
    (STORE_CALL_ERRORS, "Its workers' calls of the store that failed"),
    (EMAILS, "What mailers have answered it"),
    (PROCESS_SLOTS, "Attempts that its workers run at once at most"),
    (PROCESS_SLOTS_USED, "Attempts that its workers run"),
];

/// Of a job of a worker that runs.
pub(crate) struct OfJob {
    start_delay: Histogram,
    duration: Histogram,
    step_duration: Histogram,
    completed: Counter,
    retried: Counter,
    snoozed: Counter,
    given_back: Counter,
    dead: Counter,
    cancelled: Counter,
}

impl OfJob {
    pub(crate) fn new(job: &str, queue: &str) -> Self {
        let labels = [("job_name", job), ("queue", queue)];
        let ended = |outcome| counter(RUNS, &[("job_name", job), ("queue", queue), ("outcome", outcome)]);
        Self {
            start_delay: histogram(START_DELAY, &labels),
            duration: histogram(RUN_DURATION, &labels),
            step_duration: histogram(STEP_DURATION, &labels),
            completed: ended("completed"),
            retried: ended("retried"),
            snoozed: ended("snoozed"),
            given_back: ended("given-back"),
            dead: ended("dead"),
            cancelled: ended("cancelled"),
        }
    }

    pub(crate) fn started(&self, delay: Duration) {
        self.start_delay.record(delay);
    }

    pub(crate) fn step(&self, took: Duration) {
        self.step_duration.record(took);
    }

    /// The end of an attempt is stored.
    pub(crate) fn ended(&self, settlement: &Settlement, took: Duration) {
        self.duration.record(took);
        let counter = match (&settlement.ending, settlement.outcome) {
            (Ending::Succeeded { .. }, _) => &self.completed,
            (Ending::Dead { .. }, _) => &self.dead,
            (Ending::Cancelled { .. }, _) => &self.cancelled,
            (Ending::GiveBack, _) | (_, AttemptOutcome::GivenBack) => &self.given_back,
            (Ending::Again { .. }, AttemptOutcome::Snoozed) => &self.snoozed,
            (Ending::Again { .. }, _) => &self.retried,
        };
        counter.increment(1);
    }
}

/// Of a worker that runs.
pub(crate) struct OfWorker {
    pub(crate) claim: StoreCall,
    pub(crate) extend: StoreCall,
    pub(crate) save_steps: StoreCall,
    pub(crate) settle: StoreCall,
    leases_lost: Counter,
    /// Refused for a lease that was lost.
    pub(crate) fenced_steps: Fenced,
    pub(crate) fenced_settlements: Fenced,
    slots_used: Gauge,
}

impl OfWorker {
    pub(crate) fn new() -> Self {
        facade::describe(&METRICS);
        Self {
            claim: StoreCall::new("claim"),
            extend: StoreCall::new("extend"),
            save_steps: StoreCall::new("save_steps"),
            settle: StoreCall::new("settle"),
            leases_lost: counter(LEASES_LOST, &[]),
            fenced_steps: Fenced::new("save_steps"),
            fenced_settlements: Fenced::new("settle"),
            slots_used: gauge(PROCESS_SLOTS_USED),
        }
    }

    pub(crate) fn lease_lost(&self) {
        self.leases_lost.increment(1);
    }

    /// One slot is used until this is dropped.
    pub(crate) fn use_slot(&self) -> UsedSlot<'_> {
        self.slots_used.increment(1.0);
        UsedSlot(self)
    }
}

pub(crate) struct UsedSlot<'a>(&'a OfWorker);

impl Drop for UsedSlot<'_> {
    fn drop(&mut self) {
        self.0.slots_used.decrement(1.0);
    }
}

/// The slots of a worker that runs, until this is dropped.
pub(crate) struct Slots {
    all: Gauge,
    count: f64,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        let (all, count) = (gauge(PROCESS_SLOTS), u32::try_from(count).unwrap_or(u32::MAX).into());
        all.increment(count);
        Self { all, count }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.all.decrement(self.count);
    }
}

/// Of one of the calls of a store that a worker lives by.
pub(crate) struct StoreCall {
    name: &'static str,
    duration: Histogram,
}

impl StoreCall {
    fn new(name: &'static str) -> Self {
        Self { name, duration: histogram(STORE_CALL_DURATION, &[("call", name)]) }
    }

    pub(crate) async fn timed<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        if !IS_ON {
            return call.await;
        }
        let begun = Instant::now();
        let answer = call.await;
        self.duration.record(begun.elapsed());
        if let Err(error) = &answer {
            let kind = error.kind().as_str();
            counter(STORE_CALL_ERRORS, &[("call", self.name), ("kind", kind)]).increment(1);
        }
        answer
    }
}

/// Writes of one kind that were refused for their lease.
pub(crate) struct Fenced(Counter);

impl Fenced {
    fn new(call: &str) -> Self {
        Self(counter(FENCED_WRITES, &[("call", call)]))
    }

    pub(crate) fn another(&self) {
        self.0.increment(1);
    }
}

/// Times an enqueue of so many runs, and counts what came of it.
pub(crate) async fn enqueued(
    runs: usize,
    call: impl Future<Output = Result<Vec<Enqueued>, Error>>,
) -> Result<Vec<Enqueued>, Error> {
    if !IS_ON {
        return call.await;
    }
    let begun = Instant::now();
    let answers = call.await;
    histogram(ENQUEUE_DURATION, &[]).record(begun.elapsed());
    let count = |result, runs: usize| {
        if runs > 0 {
            counter(ENQUEUED, &[("result", result)]).increment(runs as u64);
        }
    };
    match &answers {
        Ok(answers) => {
            let new = answers.iter().filter(|answer| answer.is_new()).count();
            let staged = answers.iter().filter(|answer| matches!(answer, Enqueued::Staged(_))).count();
            count("new", new);
            count("staged", staged);
            count("existing", answers.len() - new - staged);
        }
        Err(_) => count("failed", runs),
    }
    answers
}

/// Counts what a mailer has answered.
pub(crate) fn email(provider: &str, outcome: &'static str) {
    if IS_ON {
        counter(EMAILS, &[("provider", provider), ("outcome", outcome)]).increment(1);
    }
}

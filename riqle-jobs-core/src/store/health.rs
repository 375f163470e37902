//! The health of a store and its work, and what counts as a problem.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{COUNTED_TO, Inspect, RegisteredWorker, RunFilter, TroubleKind, WorkerOrder, WorkerTrouble};
use crate::Error;

/// A worker not seen for this long counts as gone.
pub const WORKER_GONE_AFTER: Duration = Duration::from_secs(60);
/// Housekeeping that has failed for this long will not recover by itself.
const FAILING_FOR_LONG: Duration = Duration::from_secs(10 * 60);
/// A provider that accepts nothing for this long is more than briefly overloaded.
const REFUSED_FOR_LONG: Duration = Duration::from_secs(60);

/// The health of a store and its work: what a health page shows first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The due time of the run that has waited longest in a queue that is not paused; `None`: nothing is due.
    pub oldest_due: Option<Timestamp>,
    /// Running runs whose lease has run out and that no claim has taken over yet.
    pub expired_leases: u64,
    /// Jobs with due runs that no worker seen within [`WORKER_GONE_AFTER`] takes, by name: no worker registers
    /// them, or those that do are draining.
    pub jobs_without_worker: Vec<String>,
    /// Due runs in a queue from which no worker takes their job, though some worker takes it from another queue.
    pub misplaced: Vec<Misplaced>,
    /// The number of the schema's newest migration, if the store has a schema.
    pub schema: Option<u32>,
    /// Why nothing can be written, if this handle's newest writes have failed: reads may still work.
    pub write_error: Option<String>,
    /// What else is wrong with the store or with what workers do for it, one line each, with what to do about
    /// it.
    pub problems: Vec<String>,
}

/// The first due run of a job in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstDue {
    /// The queue.
    pub queue: String,
    /// The job.
    pub job: String,
    /// When it was due.
    pub due_at: Timestamp,
}

/// Runs of a job that wait in another queue than its workers take it from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Misplaced {
    /// The job.
    pub job: String,
    /// The queue that they wait in.
    pub queue: String,
    /// The queues that workers take the job from, by name.
    pub taken_from: Vec<String>,
    /// How many are pending there, due or later; counted to [`COUNTED_TO`].
    pub runs: u64,
}

impl Health {
    /// The health of what is due and of the workers: `due` has what is due first of each job in queues that are
    /// not paused. What is misplaced is not counted yet: see [`with_misplaced`](Self::with_misplaced).
    pub fn of_due(due: Vec<FirstDue>, workers: &[RegisteredWorker], now: Timestamp) -> Self {
        let is_there = |worker: &&RegisteredWorker| worker.order == WorkerOrder::Work && worker.is_alive(now);
        let mut taken: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (job, queue) in workers.iter().filter(is_there).flat_map(|worker| &worker.report.jobs) {
            taken.entry(job).or_default().insert(queue);
        }
        let (mut without, mut misplaced) = (BTreeSet::new(), BTreeSet::new());
        for FirstDue { queue, job, .. } in &due {
            match taken.get(job.as_str()) {
                None => {
                    without.insert(job.clone());
                }
                Some(queues) if !queues.contains(queue.as_str()) => {
                    let taken_from = queues.iter().map(|queue| (*queue).to_owned()).collect();
                    misplaced.insert(Misplaced {
                        job: job.clone(),
                        queue: queue.clone(),
                        taken_from,
                        runs: 0,
                    });
                }
                Some(_) => {}
            }
        }
        Self {
            oldest_due: due.iter().map(|first| first.due_at).min(),
            jobs_without_worker: without.into_iter().collect(),
            misplaced: misplaced.into_iter().collect(),
            problems: worker_problems(workers, now),
            ..Self::default()
        }
    }

    /// Counts the runs that are misplaced, and names them among the problems: for stores.
    ///
    /// # Errors
    /// As [`Inspect::count_runs`].
    pub async fn with_misplaced(mut self, store: &dyn Inspect) -> Result<Self, Error> {
        for misplaced in &mut self.misplaced {
            let filter = RunFilter::pending().job(&misplaced.job).queue(&misplaced.queue);
            misplaced.runs = store.count_runs(filter, COUNTED_TO).await?;
            self.problems.push(misplaced.problem());
        }
        Ok(self)
    }
}

impl Misplaced {
    fn problem(&self) -> String {
        let Self { job, queue, taken_from, runs } = self;
        let or_more = if *runs >= COUNTED_TO { " or more" } else { "" };
        format!(
            "runs of job {job:?} wait in queue {queue:?} ({runs}{or_more}), but its workers take it from {}: give producers \
             and workers the same queue, then cancel these and enqueue them again",
            taken_from.iter().map(|queue| format!("{queue:?}")).collect::<Vec<_>>().join(", ")
        )
    }
}

/// For each kind of trouble, the one that has lasted longest.
fn worker_problems(workers: &[RegisteredWorker], now: Timestamp) -> Vec<String> {
    let alive = workers.iter().filter(|worker| worker.is_alive(now));
    let troubles: Vec<(&RegisteredWorker, &WorkerTrouble)> = alive
        .flat_map(|worker| worker.report.troubles.iter().map(move |trouble| (worker, trouble)))
        .collect();
    let longest = |kind, for_long, told: &str| {
        let troubles =
            troubles.iter().filter(|(_, trouble)| trouble.kind == kind && trouble.lasting >= for_long);
        let (worker, trouble) = troubles.max_by_key(|(_, trouble)| trouble.lasting)?;
        let (minutes, label) = (trouble.lasting.as_secs() / 60, &worker.report.label);
        Some(format!("{told} for {minutes} min (worker {label}): {}", trouble.error))
    };
    let housekeeping = longest(TroubleKind::Housekeeping, FAILING_FOR_LONG, "housekeeping has been failing");
    housekeeping
        .into_iter()
        .chain(longest(TroubleKind::Mailer, REFUSED_FOR_LONG, "no email was accepted"))
        .collect()
}

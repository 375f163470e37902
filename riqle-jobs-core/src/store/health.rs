use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{RegisteredWorker, TroubleKind, WorkerOrder, WorkerTrouble};

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
    /// The number of the schema's newest migration, if the store has a schema.
    pub schema: Option<u32>,
    /// Why nothing can be written, if this handle's newest writes have failed: reads may still work.
    pub write_error: Option<String>,
    /// What else is wrong with the store or with what workers do for it, one line each, with what to do about
    /// it.
    pub problems: Vec<String>,
}

impl Health {
    /// The health of what is due and of the workers: `due` has the first due time of each job's runs in queues that are
    /// not paused.
    pub fn of_due(due: Vec<(String, Timestamp)>, workers: &[RegisteredWorker], now: Timestamp) -> Self {
        let is_there = |worker: &&RegisteredWorker| worker.order == WorkerOrder::Work && worker.is_alive(now);
        let known: BTreeSet<&str> = workers
            .iter()
            .filter(is_there)
            .flat_map(|worker| &worker.report.jobs)
            .map(String::as_str)
            .collect();
        let without: BTreeSet<&str> =
            due.iter().map(|(job, _)| job.as_str()).filter(|job| !known.contains(job)).collect();
        Self {
            oldest_due: due.iter().map(|(_, due_at)| *due_at).min(),
            jobs_without_worker: without.into_iter().map(str::to_owned).collect(),
            problems: worker_problems(workers, now),
            ..Self::default()
        }
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

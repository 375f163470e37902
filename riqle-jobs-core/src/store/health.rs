//! The health of a store and its work, and what counts as a problem.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    AT_ONCE, COUNTED_TO, DueRequest, RegisteredWorker, RunFilter, Store, TroubleKind, WorkerOrder,
    WorkerTrouble,
};
use crate::Error;

/// A worker not seen for this long counts as gone.
pub const WORKER_GONE_AFTER: Duration = Duration::from_secs(60);
/// Housekeeping that has failed for this long will not recover by itself.
const FAILING_FOR_LONG: Duration = Duration::from_secs(10 * 60);
/// Claims that fail for this long are more than a store that was busy.
const CLAIMS_FAIL_FOR_LONG: Duration = Duration::from_secs(10);
/// A provider that accepts nothing for this long is more than briefly overloaded.
const REFUSED_FOR_LONG: Duration = Duration::from_secs(60);

/// A schedule that has been due for longer, or can't be ticked for longer, is late.
const LATE: Duration = Duration::from_secs(60);
/// So many late schedules of a queue are named, of the first so many that are due: those that the end of a run has made due come
/// before them.
const LATE_NAMED: usize = 10;
const LATE_LOOKED_AT: usize = 200;

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
    /// What else is wrong with the store or with what workers do for it.
    pub problems: Vec<Problem>,
}

/// What is wrong with a store or its work, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is.
    pub what: String,
    /// What to do about it, in a sentence.
    pub cure: String,
    /// Whether it may be meant, such as a setting.
    pub may_be_meant: bool,
}

impl Problem {
    /// Something that nobody wants.
    pub fn new(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.into(), cure: cure.into(), may_be_meant: false }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.what, self.cure)
    }
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
    /// not paused. What is misplaced is not counted yet: see [`with_what_waits`](Self::with_what_waits).
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

    /// Names what waits in vain among the problems, for stores: runs that are misplaced, which are counted, and schedules that
    /// have been due for more than a minute, though a worker of their job lives.
    ///
    /// # Errors
    /// As [`Inspect::count_runs`](super::Inspect::count_runs) and
    /// [`Schedules::due_schedules`](super::Schedules::due_schedules).
    pub async fn with_what_waits<S: Store + ?Sized>(mut self, store: &S) -> Result<Self, Error> {
        for misplaced in &mut self.misplaced {
            let filter = RunFilter::pending().job(&misplaced.job).queue(&misplaced.queue);
            misplaced.runs = store.count_runs(filter, COUNTED_TO).await?;
            self.problems.push(misplaced.problem());
        }
        self.problems.extend(late_schedules(store).await?);
        Ok(self)
    }
}

async fn late_schedules<S: Store + ?Sized>(store: &S) -> Result<Vec<Problem>, Error> {
    let (mut problems, now) = (Vec::new(), store.now().await?);
    let mut queues: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for worker in store.workers().await?.into_iter().filter(|worker| worker.is_alive(now)) {
        for (job, queue) in worker.report.jobs {
            queues.entry(queue).or_default().insert(job);
        }
    }
    for (queue, jobs) in queues {
        let request = DueRequest { queue, jobs: jobs.into_iter().collect(), limit: LATE_LOOKED_AT };
        let due = store.due_schedules(request).await?;
        let mut named = 0;
        let late = |due_at: Timestamp| Duration::try_from(due.now.duration_since(due_at)).unwrap_or_default();
        for schedule in &due.schedules {
            // One that was made due by the end of a run says not since when.
            let Some(due_at) = schedule.row.due_at.filter(|due_at| *due_at != AT_ONCE) else { continue };
            if late(due_at) > LATE && named < LATE_NAMED {
                named += 1;
                let (name, job, minutes) = (&schedule.name, &schedule.job, late(due_at).as_secs() / 60);
                problems.push(Problem::new(
                    format!(
                        "schedule {name:?} of job {job:?} has been due for {minutes} min, although a worker for it is alive"
                    ),
                    "See the worker's log.",
                ));
            }
        }
    }
    Ok(problems)
}

impl Misplaced {
    fn problem(&self) -> Problem {
        let Self { job, queue, taken_from, runs } = self;
        let or_more = if *runs >= COUNTED_TO { " or more" } else { "" };
        let taken_from = taken_from.iter().map(|queue| format!("{queue:?}")).collect::<Vec<_>>().join(", ");
        Problem::new(
            format!(
                "runs of job {job:?} wait in queue {queue:?} ({runs}{or_more}), but its workers take it from {taken_from}"
            ),
            "Give producers and workers the same queue, then cancel these runs and enqueue them again.",
        )
    }
}

/// For each kind of trouble, the one that has lasted longest.
fn worker_problems(workers: &[RegisteredWorker], now: Timestamp) -> Vec<Problem> {
    let alive = workers.iter().filter(|worker| worker.is_alive(now));
    let troubles: Vec<(&RegisteredWorker, &WorkerTrouble)> = alive
        .flat_map(|worker| worker.report.troubles.iter().map(move |trouble| (worker, trouble)))
        .collect();
    let longest = |kind, for_long, what: &str, cure| {
        let troubles =
            troubles.iter().filter(|(_, trouble)| trouble.kind == kind && trouble.lasting >= for_long);
        let (worker, trouble) = troubles.max_by_key(|(_, trouble)| trouble.lasting)?;
        let (minutes, label) = (trouble.lasting.as_secs() / 60, &worker.report.label);
        let lasting = if minutes > 0 { format!(" for {minutes} min") } else { String::new() };
        Some(Problem::new(format!("{what}{lasting} (worker {label}): {}", trouble.error), cure))
    };
    [
        longest(
            TroubleKind::Claims,
            CLAIMS_FAIL_FOR_LONG,
            "runs can't be claimed",
            "Mend what the error names; nothing is lost, and workers continue by themselves.",
        ),
        longest(
            TroubleKind::Housekeeping,
            FAILING_FOR_LONG,
            "housekeeping has been failing",
            "Mend what the error names; until then what has ended is not pruned.",
        ),
        longest(
            TroubleKind::MailerSetup,
            Duration::ZERO,
            "no email can be sent",
            "Correct the mailer's settings and restart the workers, then make the waiting runs due.",
        ),
        longest(
            TroubleKind::Mailer,
            REFUSED_FOR_LONG,
            "no email was accepted",
            "Nothing is lost; the emails are sent when the provider accepts them again. See its status page.",
        ),
        longest(
            TroubleKind::Schedules,
            LATE,
            "schedules have been failing to tick",
            "Mend what the error names; missed ticks are made up for as their schedules say.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

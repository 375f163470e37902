//! How things are, in one word, and what to do about what is not as it should be.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::{
    Error, ErrorKind, RunFilter, Store, earlier,
    email::{EmailDetail, EmailFilter, EmailRecord},
    later,
    show::{length, many, percent, percent_text},
    state::closed_set,
    store::{
        COUNTED_TO, Health, JobMetrics, MetricsFilter, Problem, QueueStatus, RegisteredWorker, Span,
        WorkerOrder,
    },
};

const LATE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const FAR_TOO_LATE: Duration = Duration::from_secs(10 * 60);
/// The percentage of ended runs that may become dead letters.
const DEAD_PERCENT: f64 = 1.0;

/// Emails whose outcome is unknown are counted to one more than this.
pub const MOST_OPEN: usize = 20;

closed_set! {
    /// How bad a finding is.
    Level {
        /// Nothing to do.
        Good = "good",
        /// Intended, or worth a look at some time.
        Notice = "notice",
        /// Needs a look.
        Warning = "warning",
        /// Work has stopped.
        Bad = "bad",
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What is, with a capital.
    pub what: String,
    /// What to do, in a sentence or two; empty where `what` says it.
    pub remedy: String,
    /// Where to look.
    pub about: Option<About>,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum About {
    /// The queues and the workers.
    Queues,
    /// The jobs.
    Jobs,
    /// The dead letters.
    DeadLetters,
    /// The emails that an operator must resolve.
    OpenEmails,
}

/// What a verdict is made of.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Of the store.
    pub health: Health,
    /// All known ones.
    pub workers: Vec<RegisteredWorker>,
    /// Those that are paused or not empty.
    pub queues: Vec<QueueStatus>,
    /// What all jobs did in the last hour.
    pub last_hour: JobMetrics,
    /// Dead letters that were not replayed, counted to 10,000.
    pub dead: u64,
    /// Emails that wait for an operator's decision, counted to one more than [`MOST_OPEN`].
    pub open_emails: usize,
    /// The store's time.
    pub now: Timestamp,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` where what is stored can't be read.
    pub async fn read(store: &dyn Store) -> Result<Self, Error> {
        let now = store.now().await?;
        let (health, workers, queues, dead, open_emails, metrics) = tokio::try_join!(
            store.health(),
            store.workers(),
            store.queues(),
            store.count_runs(RunFilter::dead(), COUNTED_TO),
            open_emails(store),
            store.metrics(MetricsFilter::between(Span::Minute, earlier(now, HOUR), later(now, LATE))),
        )?;
        let mut last_hour = JobMetrics::new("", Span::Minute, earlier(now, HOUR));
        for metrics in &metrics {
            last_hour.merge(metrics);
        }
        Ok(Self { health, workers, queues, last_hour, dead, open_emails, now })
    }

    /// What is not as it should be, worst first.
    pub fn findings(&self) -> Vec<Finding> {
        let bad = |what: &str, cure: &str| Finding::new(Level::Bad, what, cure, None);
        let unwritable = self.health.write_error.iter().map(|error| bad(error, WRITABLE_AGAIN));
        let problems = self.health.problems.iter().map(|problem| bad(&problem.what, &problem.cure));
        let mut found: Vec<_> = unwritable.chain(problems).collect();
        of_workers(self, &mut found);
        of_what_waits(self, &mut found);
        of_dead_letters(self, &mut found);
        of_emails(self, &mut found);
        of_pauses(self, &mut found);
        found.sort_by_key(|finding| Reverse(finding.level));
        found
    }
}

/// What is not as it should be, worst first, for a doctor: the verdict, and what takes longer to find out. A store in
/// which no job has been registered yet needs no workers.
///
/// # Errors
/// `Unavailable`; `Corrupt` where what is stored can't be read.
pub async fn examine(store: &dyn Store) -> Result<Vec<Finding>, Error> {
    let (facts, jobs) = tokio::try_join!(Facts::read(store), store.jobs())?;
    let problems = match store.examine().await {
        Ok(problems) => problems,
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        // The rest was looked at.
        Err(error) => vec![Problem {
            may_be_meant: true,
            ..Problem::new(
                format!("the store can't be examined further: {}", error.message()),
                "Give the user of the URL the right to look, if you want to know.",
            )
        }],
    };
    let mut found = facts.findings();
    if jobs.is_empty() && facts.queues.is_empty() && facts.workers.is_empty() {
        found.retain(|finding| finding.about != Some(About::Queues));
    }
    let alive: Vec<_> = facts.workers.iter().filter(|worker| worker.is_alive(facts.now)).collect();
    let builds: BTreeSet<_> = alive.iter().map(|worker| worker.report.version.as_str()).collect();
    if builds.len() > 1 {
        let builds: Vec<_> = builds.into_iter().collect();
        let what = format!("workers of several versions are running: {}", builds.join(", "));
        let remedy = "Finish the deploy; until then, runs are claimed by any of them.";
        found.push(Finding::new(Level::Notice, &what, remedy, Some(About::Queues)));
    }
    let is_run = |name: &String| alive.iter().any(|worker| worker.report.jobs.contains_key(name));
    let idle: Vec<_> = jobs
        .iter()
        .map(|job| &job.declaration.name)
        .filter(|name| !is_run(name))
        .map(String::as_str)
        .collect();
    if !alive.is_empty() && !idle.is_empty() {
        let named = idle.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = idle.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = format!("no live worker runs {named}{more}");
        let remedy = "Start a worker that registers them, unless they were removed from the code.";
        found.push(Finding::new(Level::Notice, &what, remedy, Some(About::Jobs)));
    }
    found.extend(problems.iter().map(|problem| {
        let level = if problem.may_be_meant { Level::Notice } else { Level::Warning };
        Finding::new(level, &problem.what, &problem.cure, None)
    }));
    found.sort_by_key(|finding| Reverse(finding.level));
    Ok(found)
}

/// What to do where nothing can be written.
const WRITABLE_AGAIN: &str = "Mend what the error names; workers and producers continue by themselves.";

/// So many jobs are named in a finding.
const MOST_NAMED: usize = 10;

/// Which emails may be open.
pub const OPEN: [EmailDetail; 2] = [EmailDetail::Unknown, EmailDetail::Held];

/// Whether an operator must say if an email was sent.
pub fn is_open(email: &EmailRecord) -> bool {
    OPEN.contains(&email.detail) && email.may_have_been_sent()
}

/// How many emails wait for an operator's decision, counted to one more than [`MOST_OPEN`].
///
/// # Errors
/// As [`EmailLog::emails`](crate::EmailLog::emails).
pub async fn open_emails(store: &dyn Store) -> Result<usize, Error> {
    let open = store.emails(EmailFilter::all().details(OPEN).limit(MOST_OPEN + 1)).await?;
    Ok(open.iter().filter(|email| is_open(email)).count())
}

/// The verdict in a few words.
pub fn headline(findings: &[Finding]) -> String {
    match findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Good) {
        Level::Good => "Healthy".to_owned(),
        Level::Notice => match findings.len() {
            1 => "Healthy, with one note".to_owned(),
            several => format!("Healthy, with {several} notes"),
        },
        Level::Warning => "Needs attention".to_owned(),
        Level::Bad => "Something is wrong".to_owned(),
    }
}

impl Finding {
    fn new(level: Level, what: &str, remedy: &str, about: Option<About>) -> Self {
        Self { level, what: sentence(what), remedy: remedy.to_owned(), about }
    }
}

fn of_workers(facts: &Facts, found: &mut Vec<Finding>) {
    let alive = facts.workers.iter().filter(|worker| worker.is_alive(facts.now));
    let (draining, working): (Vec<_>, Vec<_>) = alive.partition(|worker| worker.order == WorkerOrder::Drain);
    let mut say =
        |level, what: &str, remedy| found.push(Finding::new(level, what, remedy, Some(About::Queues)));
    match (working.len(), draining.len()) {
        (0, 0) => {
            let remedy = match facts.workers.is_empty() {
                true => "Start a process that runs a Worker on this store.",
                false => {
                    "Restart it if its process has ended or hangs; otherwise its log says why it can't report."
                }
            };
            return say(Level::Bad, "no worker is alive", remedy);
        }
        (0, _) => {
            return say(Level::Bad, "every worker is draining", "Stop draining one of them.");
        }
        (_, 0) => {}
        (_, 1) => {
            let remedy = "Stop draining it, or stop its process.";
            say(Level::Notice, "1 worker is draining", remedy);
        }
        (_, several) => {
            let what = format!("{several} workers are draining");
            say(Level::Notice, &what, "Stop draining them, or stop their processes.");
        }
    }
    let without_worker = &facts.health.jobs_without_worker;
    if !without_worker.is_empty() {
        let what = format!("runs of {} are due, but no worker takes them", without_worker.join(", "));
        let remedy = "Start a worker that registers these jobs, or cancel the runs.";
        found.push(Finding::new(Level::Bad, &what, remedy, Some(About::Jobs)));
    }
}

fn of_what_waits(facts: &Facts, found: &mut Vec<Finding>) {
    let since = |due| Duration::try_from(facts.now.duration_since(due)).unwrap_or_default();
    if let Some(waits) = facts.health.oldest_due.map(since).filter(|waits| *waits >= LATE) {
        let level = if waits >= FAR_TOO_LATE { Level::Bad } else { Level::Warning };
        let what = format!("the oldest due run has been waiting for {}", length(waits));
        let remedy = "Start more workers, or raise their concurrency.";
        found.push(Finding::new(level, &what, remedy, Some(About::Queues)));
    }
    let expired = facts.health.expired_leases;
    if expired > 0 {
        let what = format!("expired lease on {}", many(expired, "run"));
        let remedy = "A worker died or is stuck; another worker takes over its runs.";
        found.push(Finding::new(Level::Warning, &what, remedy, Some(About::Queues)));
    }
}

fn of_dead_letters(facts: &Facts, found: &mut Vec<Finding>) {
    let last_hour = &facts.last_hour;
    let ended = last_hour.succeeded.saturating_add(last_hour.dead);
    let rate = percent(last_hour.dead, ended).unwrap_or_default();
    if rate > DEAD_PERCENT {
        let what = format!(
            "{} of the runs that ended in the last hour became dead letters",
            percent_text(Some(rate))
        );
        let remedy = "Find what they have in common, and fix it.";
        found.push(Finding::new(Level::Warning, &what, remedy, Some(About::DeadLetters)));
    }
    if facts.dead > 0 {
        let at_least = if facts.dead >= COUNTED_TO { " or more" } else { "" };
        let what = match facts.dead {
            1 => "1 dead letter needs a decision".to_owned(),
            dead => format!("{}{at_least} need a decision", many(dead, "dead letter")),
        };
        let remedy = "Replay a group once its cause is fixed, or discard it.";
        found.push(Finding::new(Level::Notice, &what, remedy, Some(About::DeadLetters)));
    }
}

fn of_emails(facts: &Facts, found: &mut Vec<Finding>) {
    let emails = match facts.open_emails {
        0 => return,
        few if few <= MOST_OPEN => many(few as u64, "email"),
        _ => format!("more than {MOST_OPEN} emails"),
    };
    let what = format!("{emails} may or may not have been sent");
    let remedy = "Check the provider's log, then mark each as sent or not sent.";
    found.push(Finding::new(Level::Warning, &what, remedy, Some(About::OpenEmails)));
}

fn of_pauses(facts: &Facts, found: &mut Vec<Finding>) {
    for queue in facts.queues.iter().filter(|queue| queue.pause.is_some()) {
        let waits = queue.oldest_due.is_some_and(|due| later(due, LATE) <= facts.now);
        let level = if waits { Level::Warning } else { Level::Notice };
        let what = format!("the queue {} is paused", queue.name);
        found.push(Finding::new(level, &what, "Resume it once the reason is gone.", Some(About::Queues)));
    }
}

/// With a capital, since it stands alone.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

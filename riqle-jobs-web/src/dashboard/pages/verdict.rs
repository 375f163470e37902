//! The overall state in one word, and what to do about problems.

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{
    later,
    store::{COUNTED_TO, Health, QueueStatus, RegisteredWorker, WorkerOrder},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::overview::MOST_OPEN;
use crate::dashboard::{
    history::History,
    show::{Took, many, percent, percent_text},
};

const LATE: Duration = Duration::from_secs(60);
const FAR_TOO_LATE: Duration = Duration::from_secs(10 * 60);
/// The percentage of ended runs that may become dead letters.
const DEAD_PERCENT: f64 = 1.0;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Nothing to do.
    Good,
    /// Intended, or worth a look at some time.
    Notice,
    /// Needs a look.
    Warning,
    /// Work has stopped.
    Bad,
}

impl Level {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Level::Good => "good",
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Bad => "bad",
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What is.
    pub(crate) what: String,
    /// What to do.
    pub(crate) remedy: String,
    /// Where to look, within the dashboard.
    pub(crate) path: Option<&'static str>,
}

/// What a verdict is made of.
pub(crate) struct Facts<'a> {
    pub(crate) health: &'a Health,
    pub(crate) workers: &'a [RegisteredWorker],
    pub(crate) queues: &'a [QueueStatus],
    pub(crate) last_hour: &'a History,
    /// Dead letters that were not replayed, counted to 10,000.
    pub(crate) dead: u64,
    /// Emails that wait for an operator's decision.
    pub(crate) open_emails: usize,
    pub(crate) now: Timestamp,
}

/// What is wrong, worst first; empty if nothing is.
pub(crate) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let problems = facts.health.write_error.iter().chain(&facts.health.problems);
    let mut found: Vec<_> = problems.map(|problem| Finding::new(Level::Bad, problem, "", None)).collect();
    of_workers(facts, &mut found);
    of_what_waits(facts, &mut found);
    of_dead_letters(facts, &mut found);
    of_emails(facts, &mut found);
    of_pauses(facts, &mut found);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    found
}

impl Finding {
    fn new(level: Level, what: &str, remedy: &str, path: Option<&'static str>) -> Self {
        Self { level, what: sentence(what), remedy: remedy.to_owned(), path }
    }
}

fn of_workers(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let alive = facts.workers.iter().filter(|worker| worker.is_alive(facts.now));
    let (draining, working): (Vec<_>, Vec<_>) = alive.partition(|worker| worker.order == WorkerOrder::Drain);
    let mut say = |level, what: &str, remedy| found.push(Finding::new(level, what, remedy, Some("queues")));
    match (working.len(), draining.len()) {
        (0, 0) => {
            let remedy = "Start a process that runs a Worker on this store.";
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
        found.push(Finding::new(Level::Bad, &what, remedy, Some("jobs")));
    }
}

fn of_what_waits(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let since = |due| Duration::try_from(facts.now.duration_since(due)).unwrap_or_default();
    if let Some(waits) = facts.health.oldest_due.map(since).filter(|waits| *waits >= LATE) {
        let level = if waits >= FAR_TOO_LATE { Level::Bad } else { Level::Warning };
        let what = format!("the oldest due run has been waiting for {}", Took(waits));
        let remedy = "Start more workers, or raise their concurrency.";
        found.push(Finding::new(level, &what, remedy, Some("queues")));
    }
    let expired = facts.health.expired_leases;
    if expired > 0 {
        let what = format!("expired lease on {}", many(expired, "run"));
        let remedy = "A worker died or is stuck; another worker takes over its runs.";
        found.push(Finding::new(Level::Warning, &what, remedy, Some("queues")));
    }
}

fn of_dead_letters(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let last_hour = &facts.last_hour.all;
    let ended = last_hour.succeeded.saturating_add(last_hour.dead);
    let rate = percent(last_hour.dead, ended).unwrap_or_default();
    if rate > DEAD_PERCENT {
        let what = format!(
            "{} of the runs that ended in the last hour became dead letters",
            percent_text(Some(rate))
        );
        let remedy = "Find what they have in common, and fix it.";
        found.push(Finding::new(Level::Warning, &what, remedy, Some("dead-letters")));
    }
    if facts.dead > 0 {
        let at_least = if facts.dead >= COUNTED_TO { " or more" } else { "" };
        let what = match facts.dead {
            1 => "1 dead letter needs a decision".to_owned(),
            dead => format!("{}{at_least} need a decision", many(dead, "dead letter")),
        };
        let remedy = "Replay a group once its cause is fixed, or discard it.";
        found.push(Finding::new(Level::Notice, &what, remedy, Some("dead-letters")));
    }
}

fn of_emails(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let emails = match facts.open_emails {
        0 => return,
        few if few <= MOST_OPEN => many(few as u64, "email"),
        _ => format!("more than {MOST_OPEN} emails"),
    };
    let what = format!("{emails} may or may not have been sent");
    let remedy = "Check the provider's log, then mark each as sent or not sent.";
    found.push(Finding::new(Level::Warning, &what, remedy, Some("emails?state=open")));
}

fn of_pauses(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for queue in facts.queues.iter().filter(|queue| queue.pause.is_some()) {
        let waits = queue.oldest_due.is_some_and(|due| later(due, LATE) <= facts.now);
        let level = if waits { Level::Warning } else { Level::Notice };
        let what = format!("the queue {} is paused", queue.name);
        found.push(Finding::new(level, &what, "Resume it once the reason is gone.", Some("queues")));
    }
}

/// With a capital, since it stands alone.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

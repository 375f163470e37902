//! How things are, in one word, and what to do where they are not well.

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
/// Of the runs that end, so many percent may become dead letters.
const DEAD_PERCENT: f64 = 1.0;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Nothing to do.
    Good,
    /// Somebody wants it so, or it is to be looked at some time.
    Notice,
    /// It is to be looked at.
    Warning,
    /// Work stands still.
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
    /// Emails that wait for somebody's word.
    pub(crate) open_emails: usize,
    pub(crate) now: Timestamp,
}

/// What is wrong, the worst first; empty where nothing is.
pub(crate) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |level, what: String, remedy: &str, path| {
        found.push(Finding { level, what: sentence(&what), remedy: remedy.to_owned(), path });
    };
    let Facts { health, workers, queues, last_hour, dead, open_emails, now } = facts;
    for problem in &health.problems {
        say(Level::Bad, problem.clone(), "", None);
    }
    let alive: Vec<_> = workers.iter().filter(|worker| worker.is_alive(*now)).collect();
    if !alive.is_empty() && alive.iter().all(|worker| worker.order == WorkerOrder::Drain) {
        say(
            Level::Bad,
            "every worker was told to take no more runs".to_owned(),
            "Tell one to work again.",
            Some("queues"),
        );
    }
    if alive.is_empty() {
        say(
            Level::Bad,
            "no worker is alive".to_owned(),
            "Start a process that runs a Worker on this store.",
            Some("queues"),
        );
    } else if !health.jobs_without_worker.is_empty() {
        let jobs = health.jobs_without_worker.join(", ");
        let what = format!("runs of {jobs} are due, and no worker takes them");
        say(Level::Bad, what, "Start a worker that registers them, or cancel the runs.", Some("jobs"));
    }
    let waits = health.oldest_due.map(|due| Duration::try_from(now.duration_since(due)).unwrap_or_default());
    if let Some(waits) = waits.filter(|waits| *waits >= LATE) {
        let level = if waits >= FAR_TOO_LATE { Level::Bad } else { Level::Warning };
        let what = format!("the oldest due run has waited for {}", Took(waits));
        say(level, what, "Start more workers, or raise their concurrency.", Some("queues"));
    }
    if health.expired_leases > 0 {
        let what = format!("{} not taken over whose lease has run out", many(health.expired_leases, "run"));
        say(
            Level::Warning,
            what,
            "A worker has died or stands still; another one takes its runs over.",
            Some("queues"),
        );
    }
    if *dead > 0 {
        let ended = last_hour.all.succeeded.saturating_add(last_hour.all.dead);
        let rate = percent(last_hour.all.dead, ended).unwrap_or_default();
        let level = if rate > DEAD_PERCENT { Level::Warning } else { Level::Notice };
        let at_least = if *dead >= COUNTED_TO { " or more" } else { "" };
        let what = format!(
            "{}{at_least}, {} of the runs that ended in the last hour",
            many(*dead, "dead letter"),
            percent_text(Some(rate))
        );
        let remedy = "Look at what they have in common, mend it, and replay the group.";
        say(level, what, remedy, Some("dead-letters"));
    }
    if *open_emails > 0 {
        let emails = match *open_emails {
            few if few <= MOST_OPEN => many(few as u64, "email"),
            _ => format!("more than {MOST_OPEN} emails"),
        };
        let what = format!("{emails} may or may not have been sent");
        say(
            Level::Warning,
            what,
            "Look at the provider's log and say which it was.",
            Some("emails?state=open"),
        );
    }
    for queue in queues.iter().filter(|queue| queue.pause.is_some()) {
        let what = format!("the queue {} is paused", queue.name);
        let waits = queue.oldest_due.is_some_and(|due| later(due, LATE) <= *now);
        say(
            if waits { Level::Warning } else { Level::Notice },
            what,
            "Resume it when its reason has gone.",
            Some("queues"),
        );
    }
    let draining = alive.iter().filter(|worker| worker.order == WorkerOrder::Drain).count();
    if draining > 0 {
        say(
            Level::Notice,
            format!("{}, told to take no more runs", many(draining as u64, "worker")),
            "Tell them to work again, or stop their processes.",
            Some("queues"),
        );
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    found
}

/// With a capital, as it stands alone.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

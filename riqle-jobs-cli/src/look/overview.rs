//! `status`, `queues`, `workers`, `jobs`.

use jiff::Timestamp;
use riqle_jobs::{
    show::{length, many},
    store::{JobRules, Pause, QueueStatus, RegisteredJob, RegisteredWorker},
    verdict::{About, Facts, Finding, Level, headline},
};
use serde::Serialize;

use crate::{
    context::Context,
    failure::Failure,
    print::{Row, Tone},
    times::{ago, since},
};

/// `status` as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    verdict: Level,
    headline: String,
    findings: Vec<FindingRow>,
    /// Due runs that wait for a worker; counted to 10,000 per job and queue.
    due: u64,
    scheduled: u64,
    running: u64,
    waiting: u64,
    dead: u64,
    workers: usize,
    oldest_due_at: Option<Timestamp>,
    succeeded_last_hour: u64,
    failed_last_hour: u64,
    dead_last_hour: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FindingRow {
    pub(crate) level: Level,
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) cure: String,
    /// The command that shows more.
    pub(crate) look: Option<&'static str>,
}

impl From<Finding> for FindingRow {
    fn from(Finding { level, what, remedy, about, .. }: Finding) -> Self {
        let look = about.and_then(|about| match about {
            About::Queues => Some("queues"),
            About::Jobs => Some("jobs"),
            About::DeadLetters => Some("dead list"),
            About::OpenEmails => Some("emails list --open"),
            _ => None,
        });
        Self { level, what, cure: remedy, look }
    }
}

impl Row for FindingRow {
    const HEADS: &'static [&'static str] = &["LEVEL", "FINDING", "FIX", "SEE"];

    fn cells(&self) -> Vec<String> {
        let look = self.look.map(|look| format!("riqle-jobs {look}")).unwrap_or_default();
        vec![self.level.to_string(), self.what.clone(), self.cure.clone(), look]
    }

    fn tone(&self) -> Tone {
        match self.level {
            Level::Good => Tone::Good,
            Level::Notice => Tone::Plain,
            Level::Warning => Tone::Warning,
            Level::Bad => Tone::Bad,
        }
    }
}

pub(crate) async fn status(context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let facts = Facts::read(&**jobs.store()).await?;
    let found = facts.findings();
    let sum = |count: fn(&QueueStatus) -> u64| facts.queues.iter().map(count).sum();
    let status = Status {
        verdict: found.iter().map(|finding| finding.level).max().unwrap_or(Level::Good),
        headline: headline(&found),
        findings: found.into_iter().map(FindingRow::from).collect(),
        due: sum(|queue| queue.due),
        scheduled: sum(|queue| queue.scheduled),
        running: sum(|queue| queue.running),
        waiting: sum(|queue| queue.waiting),
        dead: facts.dead,
        workers: facts.workers.iter().filter(|worker| worker.is_alive(facts.now)).count(),
        oldest_due_at: facts.health.oldest_due,
        succeeded_last_hour: facts.last_hour.succeeded,
        failed_last_hour: facts.last_hour.failed,
        dead_last_hour: facts.last_hour.dead,
    };
    if context.json {
        return context.print_json(&status);
    }
    let oldest =
        status.oldest_due_at.map(|due| format!(", the oldest for {}", length(since(due, facts.now))));
    context.console.say(&format!(
        "{}\n{} due{}, {} scheduled, {} running, {} waiting, {}; {}\nin the last hour {} succeeded, {} failed, {} became dead letters\n",
        status.headline,
        status.due,
        oldest.unwrap_or_default(),
        status.scheduled,
        status.running,
        status.waiting,
        many(status.dead, "dead letter"),
        many(status.workers as u64, "live worker"),
        status.succeeded_last_hour,
        many(status.failed_last_hour, "attempt"),
        status.dead_last_hour,
    ))?;
    if status.findings.is_empty() {
        return Ok(());
    }
    context.console.say("\n")?;
    context.print(&status.findings, "")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueRow {
    queue: String,
    due: u64,
    scheduled: u64,
    running: u64,
    waiting: u64,
    oldest_due_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<Pause>,
    #[serde(skip)]
    now: Timestamp,
}

impl Row for QueueRow {
    const HEADS: &'static [&'static str] =
        &["QUEUE", "DUE", "SCHEDULED", "RUNNING", "WAITING", "OLDEST DUE FOR", "PAUSED"];

    fn cells(&self) -> Vec<String> {
        let counts = [self.due, self.scheduled, self.running, self.waiting].map(|count| count.to_string());
        let oldest = self.oldest_due_at.map(|due| length(since(due, self.now))).unwrap_or_default();
        let pause = self.pause.as_ref().map(|pause| {
            let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
            format!("by {}, {}{why}", pause.by, ago(pause.at, self.now))
        });
        [vec![self.queue.clone()], counts.into(), vec![oldest, pause.unwrap_or_default()]].concat()
    }

    fn tone(&self) -> Tone {
        if self.pause.is_some() { Tone::Warning } else { Tone::Plain }
    }
}

pub(crate) async fn queues(context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let now = jobs.store().now().await?;
    let rows: Vec<_> = jobs
        .queues()
        .await?
        .into_iter()
        .map(|queue| QueueRow {
            queue: queue.name,
            due: queue.due,
            scheduled: queue.scheduled,
            running: queue.running,
            waiting: queue.waiting,
            oldest_due_at: queue.oldest_due,
            pause: queue.pause,
            now,
        })
        .collect();
    context.print(&rows, "all queues are empty, and none is paused")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkerRow {
    id: String,
    label: String,
    version: String,
    /// `work`, `drain`, or `gone` if it has not reported for a minute.
    state: &'static str,
    slots: u32,
    running: u32,
    jobs: Vec<String>,
    started_at: Timestamp,
    seen_at: Timestamp,
    troubles: Vec<String>,
    #[serde(skip)]
    now: Timestamp,
}

impl WorkerRow {
    fn of(worker: RegisteredWorker, now: Timestamp) -> Self {
        let state = if worker.is_alive(now) { worker.order.as_str() } else { "gone" };
        let report = worker.report;
        Self {
            id: report.id.to_string(),
            label: report.label,
            version: report.version,
            state,
            slots: report.concurrency,
            running: report.running,
            jobs: report.jobs.into_keys().collect(),
            started_at: worker.started_at,
            seen_at: worker.seen_at,
            troubles: report.troubles.into_iter().map(|trouble| trouble.error).collect(),
            now,
        }
    }
}

impl Row for WorkerRow {
    const HEADS: &'static [&'static str] =
        &["WORKER", "STATE", "RUNNING", "SLOTS", "JOBS", "VERSION", "SEEN", "ID"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.label.clone(),
            self.state.to_owned(),
            self.running.to_string(),
            self.slots.to_string(),
            self.jobs.join(" "),
            self.version.clone(),
            ago(self.seen_at, self.now),
            self.id.clone(),
        ]
    }

    fn tone(&self) -> Tone {
        match self.state {
            _ if !self.troubles.is_empty() => Tone::Bad,
            "work" => Tone::Good,
            _ => Tone::Warning,
        }
    }
}

pub(crate) async fn workers(context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let now = jobs.store().now().await?;
    let workers = jobs.store().workers().await?;
    let rows: Vec<_> = workers.into_iter().map(|worker| WorkerRow::of(worker, now)).collect();
    context.print(&rows, "no workers seen in the last 24 hours")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobRow {
    job: String,
    queue: String,
    trigger: Option<String>,
    /// In words.
    policy: Option<String>,
    /// The templates of its runs' keys.
    rules: JobRules,
    /// Live workers that run it.
    workers: usize,
    seen_at: Timestamp,
    #[serde(skip)]
    now: Timestamp,
}

impl JobRow {
    fn of(job: RegisteredJob, workers: &[RegisteredWorker], now: Timestamp) -> Self {
        let RegisteredJob { declaration, seen_at } = job;
        let runs_it = |worker: &&RegisteredWorker| {
            worker.is_alive(now) && worker.report.jobs.contains_key(&declaration.name)
        };
        Self {
            workers: workers.iter().filter(runs_it).count(),
            rules: declaration.rules,
            job: declaration.name,
            queue: declaration.queue,
            trigger: declaration.trigger,
            policy: declaration.policy,
            seen_at,
            now,
        }
    }
}

impl Row for JobRow {
    const HEADS: &'static [&'static str] = &["JOB", "QUEUE", "TRIGGER", "WORKERS", "REGISTERED", "RETRIES"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.job.clone(),
            self.queue.clone(),
            self.trigger.clone().unwrap_or_default(),
            self.workers.to_string(),
            ago(self.seen_at, self.now),
            self.policy.clone().unwrap_or_default(),
        ]
    }

    fn tone(&self) -> Tone {
        if self.workers == 0 { Tone::Warning } else { Tone::Plain }
    }
}

pub(crate) async fn jobs(context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let store = jobs.store();
    let (known, workers, now) = (store.jobs().await?, store.workers().await?, store.now().await?);
    let rows: Vec<_> = known.into_iter().map(|job| JobRow::of(job, &workers, now)).collect();
    context.print(&rows, "no registered jobs")
}

//! What `top` shows, as it was read at one time.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use riqle_jobs::{
    Error,
    show::{length, many},
    store::{JobMetrics, MetricsFilter, QueueStatus, RegisteredWorker, Span, Store, earlier, later},
    verdict::{Facts, Level, headline},
};

use crate::{
    look::FindingRow,
    print::{Row, Tone},
    times::{ago, since},
};

/// Rates are of the minute that runs and of so many before it.
const MINUTES_BEFORE: u32 = 4;

/// What is shown, read at one time.
pub(super) struct Reading {
    pub(super) at: Timestamp,
    pub(super) tone: Tone,
    pub(super) headline: String,
    pub(super) counts: String,
    pub(super) findings: Vec<FindingRow>,
    pub(super) tables: [Table; 3],
}

/// One of the tables.
pub(super) struct Table {
    pub(super) title: String,
    pub(super) heads: &'static [&'static str],
    pub(super) rows: Vec<(Tone, Vec<String>)>,
    /// What to say where there are no rows.
    pub(super) none: &'static str,
}

impl Reading {
    pub(super) async fn of(store: &dyn Store) -> Result<Self, Error> {
        let facts = Facts::read(store).await?;
        let minute = Span::Minute.start_of(facts.now);
        let from = earlier(minute, Span::Minute.length() * MINUTES_BEFORE);
        let before = later(minute, Span::Minute.length());
        let metrics = store.metrics(MetricsFilter::between(Span::Minute, from, before)).await?;
        let findings = facts.findings();
        let level = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Good);
        Ok(Self {
            at: facts.now,
            tone: match level {
                Level::Good | Level::Notice => Tone::Good,
                Level::Warning => Tone::Warning,
                Level::Bad => Tone::Bad,
            },
            headline: headline(&findings),
            counts: counts(&facts),
            tables: [queues(&facts), jobs(&metrics, since(from, facts.now)), workers(&facts)],
            findings: findings.into_iter().map(FindingRow::from).collect(),
        })
    }
}

fn counts(facts: &Facts) -> String {
    let sum = |count: fn(&QueueStatus) -> u64| facts.queues.iter().map(count).sum::<u64>();
    let alive = facts.workers.iter().filter(|worker| worker.is_alive(facts.now)).count();
    format!(
        "{} due, {} scheduled, {} running, {} waiting, {}; {}",
        sum(|queue| queue.due),
        sum(|queue| queue.scheduled),
        sum(|queue| queue.running),
        sum(|queue| queue.waiting),
        many(facts.dead, "dead letter"),
        many(alive as u64, "live worker"),
    )
}

fn queues(facts: &Facts) -> Table {
    let row = |queue: &QueueStatus| {
        let counts =
            [queue.due, queue.scheduled, queue.running, queue.waiting].map(|count| count.to_string());
        let oldest = queue.oldest_due.map(|due| length(since(due, facts.now))).unwrap_or_default();
        let paused = queue.pause.as_ref().map(|pause| format!("paused by {}", pause.by)).unwrap_or_default();
        let tone = if queue.pause.is_some() { Tone::Warning } else { Tone::Plain };
        (tone, [vec![queue.name.clone()], counts.into(), vec![oldest, paused]].concat())
    };
    Table {
        title: "Queues".to_owned(),
        heads: &["QUEUE", "DUE", "SCHEDULED", "RUNNING", "WAITING", "OLDEST DUE FOR", ""],
        rows: facts.queues.iter().map(row).collect(),
        none: "all queues are empty, and none is paused",
    }
}

/// `spanned` is how long the reported minutes last so far.
fn jobs(metrics: &[JobMetrics], spanned: Duration) -> Table {
    let mut of_jobs: BTreeMap<&str, JobMetrics> = BTreeMap::new();
    for minute in metrics {
        let all = of_jobs
            .entry(&minute.job)
            .or_insert_with(|| JobMetrics::new(minute.job.clone(), minute.span, minute.start));
        all.merge(minute);
    }
    let minutes = (spanned.as_secs_f64() / 60.0).max(1.0);
    let row = |job: JobMetrics| {
        let rate = |count: u64| format!("{:.1}", count as f64 / minutes);
        let percentile = |of: Option<Duration>| of.map(length).unwrap_or_default();
        let tone = match (job.dead, job.failed) {
            (0, 0) => Tone::Plain,
            (0, _) => Tone::Warning,
            _ => Tone::Bad,
        };
        let cells = vec![
            job.job,
            rate(job.succeeded),
            rate(job.failed),
            job.dead.to_string(),
            percentile(job.wait.percentile(50.0)),
            percentile(job.wait.percentile(95.0)),
            percentile(job.run_time.percentile(95.0)),
        ];
        (tone, cells)
    };
    Table {
        title: format!("Jobs, in the last {}", length(Duration::from_secs(spanned.as_secs()))),
        heads: &["JOB", "SUCCEEDED/MIN", "FAILED/MIN", "DEAD", "START DELAY P50", "P95", "RUN TIME P95"],
        rows: of_jobs.into_values().map(row).collect(),
        none: "no attempts in this time",
    }
}

fn workers(facts: &Facts) -> Table {
    let row = |worker: &RegisteredWorker| {
        let report = &worker.report;
        let (state, tone) = match () {
            () if !worker.is_alive(facts.now) => ("gone", Tone::Warning),
            () if !report.troubles.is_empty() => ("in trouble", Tone::Bad),
            () if worker.order == riqle_jobs::store::WorkerOrder::Drain => ("draining", Tone::Warning),
            () => ("working", Tone::Good),
        };
        let cells = vec![
            report.label.clone(),
            state.to_owned(),
            format!("{} of {}", report.running, report.concurrency),
            ago(worker.seen_at, facts.now),
            report.version.clone(),
            report.jobs.keys().map(String::as_str).collect::<Vec<_>>().join(" "),
        ];
        (tone, cells)
    };
    let mut rows: Vec<_> =
        facts.workers.iter().map(|worker| (worker.is_alive(facts.now), row(worker))).collect();
    rows.sort_by_key(|(is_alive, _)| !is_alive);
    Table {
        title: "Workers".to_owned(),
        heads: &["WORKER", "STATE", "RUNNING", "SEEN", "VERSION", "JOBS"],
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        none: "no workers seen in the last 24 hours",
    }
}

/// The line of a finding.
pub(super) fn told(finding: &FindingRow) -> (Tone, String) {
    (finding.tone(), format!("{}. {}", finding.what.trim_end_matches('.'), finding.cure))
}

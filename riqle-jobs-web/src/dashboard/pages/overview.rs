//! The first page: how things are, and what the jobs did.

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    RunFilter,
    store::{COUNTED_TO, JobMetrics},
    verdict::{About, Facts, Finding, Level, headline, open_emails},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::claimed::Claimed;
use crate::dashboard::{
    Web,
    chart::{Chart, charts},
    failure::Failure,
    history::{History, Range, success_rate},
    openapi::levels,
    page::{Page, Place},
    show::{Count, Took, When, percent_text},
    visit::{Query, Visit},
};

/// How things are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OverviewPage {
    #[serde(skip)]
    headline: String,
    /// The worst of the findings.
    #[schema(schema_with = levels)]
    verdict: Level,
    findings: Vec<FindingView>,
    /// Due runs that no worker has claimed; counted to 10,000 per job and queue.
    due: Count,
    /// Runs whose attempt has a slot of a worker; counted likewise.
    running: Count,
    /// Runs that workers have claimed for their next free slots, as reported within 10 s.
    claimed_ahead: Count,
    /// Dead letters that were not replayed; counted to 10,000.
    dead: Count,
    workers: usize,
    /// Since when the oldest due run has been waiting.
    oldest_due: Option<When>,
    range: Range,
    /// Of the range.
    summary: Summary,
    /// Of the range, job by job.
    jobs: Vec<Summary>,
    #[serde(skip)]
    charts: Vec<Chart>,
}

/// Something that is not as it should be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FindingView {
    #[schema(schema_with = levels)]
    level: Level,
    /// What is.
    what: String,
    /// What to do.
    remedy: String,
    /// Where to look, within the dashboard.
    path: Option<&'static str>,
}

impl FindingView {
    fn of(Finding { level, what, remedy, about, .. }: Finding) -> Self {
        let path = about.and_then(|about| match about {
            About::Queues => Some("queues"),
            About::Jobs => Some("jobs"),
            About::DeadLetters => Some("dead-letters"),
            About::OpenEmails => Some("emails?state=open"),
            _ => None,
        });
        Self { level, what, remedy, path }
    }
}

/// What a job, or all of them, did over the range.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// The job's name; empty for all of them.
    pub(crate) job: String,
    pub(crate) succeeded: Count,
    pub(crate) failed: Count,
    pub(crate) dead: Count,
    /// Of the attempts that ended, in percent.
    pub(crate) success_percent: Option<f64>,
    pub(crate) wait_ms: Percentiles,
    pub(crate) run_time_ms: Percentiles,
}

/// The 50th, 95th and 99th percentile, in milliseconds.
#[derive(Serialize, ToSchema)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<Took>,
    pub(crate) p95: Option<Took>,
    pub(crate) p99: Option<Took>,
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(default)]
#[derive(Default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// `hour`, `day` or `week`.
    pub(crate) range: Range,
}

/// The verdict, and what happened lately.
#[utoipa::path(get, path = "/overview", tag = "overview", params(Asked), responses((status = 200, body = OverviewPage)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>, Query(asked): Query<Asked>) -> Response {
    let viewer = visit.clone();
    visit.show(move || OverviewPage::load(web.clone(), viewer.clone(), asked.range)).await
}

impl OverviewPage {
    async fn load(web: Web, visit: Visit, range: Range) -> Result<Self, Failure> {
        let store = &**web.jobs.store();
        let (health, workers, queues, open_emails, last_hour, dead, now) = tokio::try_join!(
            store.health(),
            store.workers(),
            store.queues(),
            open_emails(store),
            History::read(store, Range::Hour, None),
            store.count_runs(RunFilter::dead(), COUNTED_TO),
            store.now(),
        )?;
        let facts =
            Facts { health, workers, queues, last_hour: last_hour.all.clone(), dead, open_emails, now };
        let found = facts.findings();
        let headline = headline(&found);
        let mut findings: Vec<_> = found.into_iter().map(FindingView::of).collect();
        let Facts { health, workers, queues, .. } = facts;
        for finding in &mut findings {
            finding.what = visit.text(&finding.what);
        }
        let claimed = queues.iter().map(|queue| queue.running).sum();
        let Claimed { running, ahead } = Claimed::of(claimed, None, &workers, now);
        let history =
            if range == Range::Hour { last_hour } else { History::read(store, range, None).await? };
        Ok(Self {
            headline,
            verdict: findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Good),
            findings,
            due: Count(queues.iter().map(|queue| queue.due).sum()),
            dead: Count(dead),
            running,
            claimed_ahead: ahead,
            workers: workers.iter().filter(|worker| worker.is_alive(now)).count(),
            oldest_due: health.oldest_due.map(When),
            range,
            summary: Summary::of("", &history.all),
            jobs: history.jobs.iter().map(|(job, metrics)| Summary::of(job, metrics)).collect(),
            charts: charts(&history),
        })
    }
}

impl Summary {
    pub(crate) fn of(job: &str, metrics: &JobMetrics) -> Self {
        Self {
            job: job.to_owned(),
            succeeded: Count(metrics.succeeded),
            failed: Count(metrics.failed),
            dead: Count(metrics.dead),
            success_percent: success_rate(metrics),
            wait_ms: Percentiles::of(&metrics.wait),
            run_time_ms: Percentiles::of(&metrics.run_time),
        }
    }

    pub(crate) fn success(&self) -> String {
        percent_text(self.success_percent)
    }
}

impl Percentiles {
    fn of(histogram: &riqle_jobs_core::store::Histogram) -> Self {
        let at = |percent| histogram.percentile(percent).map(Took);
        Self { p50: at(50.0), p95: at(95.0), p99: at(99.0) }
    }

    pub(crate) fn shown(took: &Option<Took>) -> String {
        took.map_or_else(|| "–".to_owned(), |took| took.to_string())
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Html<'a> {
    page: &'a OverviewPage,
    visit: &'a Visit,
}

impl Page for OverviewPage {
    const PLACE: Place = Place::Overview;

    fn title(&self) -> String {
        self.headline.clone()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}

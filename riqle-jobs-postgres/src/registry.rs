//! Registers jobs and workers, and takes their metrics and events (`Registry`).

use async_trait::async_trait;
use riqle_jobs_core::{
    Error, ErrorKind, Priority, Registry, WorkerId, millis_of,
    store::{
        EventRun, EventStart, JobDeclaration, JobMetrics, NewEvent, RegisteredJob, RegisteredWorker,
        StoredEvent, WORKER_FORGOTTEN_AFTER, WorkerOrder, WorkerReport,
    },
};
use sqlx::postgres::PgRow;

use crate::{
    Postgres,
    error::{Failure, Result as Fallible},
    events::{idle_events, mark_started},
    lanes::{Lane, store_lanes},
    metrics::report_metrics,
    rows::{get, get_u32, json, small, time, word},
    work::Work,
};

#[async_trait]
impl Registry for Postgres {
    async fn register_jobs(&self, jobs: Vec<JobDeclaration>) -> Result<(), Error> {
        self.ask("register_jobs", &jobs, |work, jobs| Box::pin(register_jobs(work, jobs))).await
    }

    async fn jobs(&self) -> Result<Vec<RegisteredJob>, Error> {
        self.ask("jobs", &(), |work, ()| Box::pin(registered_jobs(work))).await
    }

    async fn report_worker(&self, worker: WorkerReport) -> Result<WorkerOrder, Error> {
        self.ask("report_worker", &worker, |work, worker| Box::pin(report_worker(work, worker))).await
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        self.ask("remove_worker", &worker, |work, worker| {
            let query = work.query("DELETE FROM riqle.workers WHERE id = $1").bind(worker.as_uuid());
            Box::pin(work.run(query))
        })
        .await
    }

    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        self.ask("workers", &(), |work, ()| Box::pin(registered_workers(work))).await
    }

    async fn report_metrics(&self, worker: WorkerId, metrics: Vec<JobMetrics>) -> Result<(), Error> {
        self.ask("report_metrics", &(worker, metrics), |work, (worker, metrics)| {
            Box::pin(report_metrics(work, *worker, metrics))
        })
        .await
    }

    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        self.store_all_events(events).await
    }

    async fn start_events(&self, events: Vec<EventStart>) -> Result<Vec<StoredEvent>, Error> {
        self.shared.limits.check_event_runs(&events)?;
        self.start_all_events(events).await
    }

    async fn mark_started(&self, event_id: &str, runs: Vec<EventRun>) -> Result<(), Error> {
        self.ask("mark_started", &(event_id.to_owned(), runs), |work, (id, runs)| {
            Box::pin(mark_started(work, id, runs.clone()))
        })
        .await
    }

    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.ask("idle_events", &(names, limit), |work, (names, limit)| {
            Box::pin(idle_events(work, names, *limit))
        })
        .await
    }
}

async fn register_jobs(work: &mut Work<'_>, jobs: &[JobDeclaration]) -> Fallible<()> {
    // So that who enqueues in a transaction of the application need not make them there.
    let lane =
        |job: &JobDeclaration| Lane { queue: &job.queue, job: &job.name, priority: job.priority }.number();
    let lanes: Vec<_> = jobs
        .iter()
        .map(|job| (lane(job), Lane { queue: &job.queue, job: &job.name, priority: job.priority }))
        .collect();
    store_lanes(work, &lanes).await?;
    Ok(work
        .timed(include_str!("../queries/register_jobs.sql"))
        .bind(jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.queue.clone()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| i16::from(job.priority.number())).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.trigger.clone()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.policy.clone()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| serde_json::json!(job.rules).to_string()).collect::<Vec<_>>())
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}

/// Every job ever registered, by name.
pub(crate) async fn registered_jobs(work: &mut Work<'_>) -> Fallible<Vec<RegisteredJob>> {
    let jobs = work.query("SELECT * FROM riqle.jobs ORDER BY name");
    jobs.fetch_all(&mut *work.connection).await?.iter().map(registered_job).collect()
}

fn registered_job(row: &PgRow) -> Fallible<RegisteredJob> {
    let declaration = JobDeclaration {
        name: get(row, "name")?,
        queue: get(row, "queue")?,
        priority: Priority::from_number(small(row, "priority")?)?,
        trigger: get(row, "trigger")?,
        policy: get(row, "policy")?,
        rules: json(row, "rules")?,
    };
    Ok(RegisteredJob { declaration, seen_at: time(row, "seen_at")? })
}

async fn report_worker(work: &mut Work<'_>, worker: &WorkerReport) -> Fallible<WorkerOrder> {
    let row = work
        .timed(include_str!("../queries/report_worker.sql"))
        .bind(worker.id.as_uuid())
        .bind(worker.label.clone())
        .bind(worker.version.clone())
        .bind(serde_json::json!(worker.jobs).to_string())
        .bind(i64::from(worker.concurrency))
        .bind(i64::from(worker.running))
        .bind(serde_json::json!(worker.claimed_ahead).to_string())
        .bind(serde_json::json!(worker.troubles).to_string())
        .fetch_one(&mut *work.connection)
        .await?;
    word(&row, "ordered")
}

/// What a worker is to do from its next report on.
pub(crate) async fn order_worker(work: &mut Work<'_>, worker: WorkerId, order: WorkerOrder) -> Fallible<()> {
    let ordered = work
        .query("UPDATE riqle.workers SET ordered = $2 WHERE id = $1")
        .bind(worker.as_uuid())
        .bind(order.as_str())
        .execute(&mut *work.connection)
        .await?;
    if ordered.rows_affected() == 0 {
        let message = format!("no worker {worker} is registered");
        return Err(Failure::from(Error::new(ErrorKind::NotFound, "order_worker", message)));
    }
    Ok(())
}

/// Every worker that has reported within a day, the one seen last first.
pub(crate) async fn registered_workers(work: &mut Work<'_>) -> Fallible<Vec<RegisteredWorker>> {
    let select = "SELECT * FROM riqle.workers WHERE seen_at >= riqle.now($1) - $2 ORDER BY seen_at DESC, id";
    let workers = work.timed(select).bind(millis_of(WORKER_FORGOTTEN_AFTER));
    workers.fetch_all(&mut *work.connection).await?.iter().map(registered_worker).collect()
}

fn registered_worker(row: &PgRow) -> Fallible<RegisteredWorker> {
    let report = WorkerReport {
        id: WorkerId::from_uuid(get(row, "id")?),
        label: get(row, "label")?,
        version: get(row, "version")?,
        jobs: json(row, "jobs")?,
        concurrency: get_u32(row, "concurrency")?,
        running: get_u32(row, "running")?,
        claimed_ahead: json(row, "claimed_ahead")?,
        troubles: json(row, "troubles")?,
    };
    Ok(RegisteredWorker {
        report,
        started_at: time(row, "started_at")?,
        seen_at: time(row, "seen_at")?,
        order: word(row, "ordered")?,
    })
}

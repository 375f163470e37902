//! Registers jobs and workers, and takes their metrics and events (`Registry`).

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    Error, ErrorKind, Priority, Registry, WorkerId, earlier,
    store::{
        EventRun, EventStart, JobDeclaration, JobMetrics, NewEvent, RegisteredJob, RegisteredWorker,
        StoredEvent, WORKER_FORGOTTEN_AFTER, WorkerOrder, WorkerReport,
    },
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Sqlite,
    error::{Failure, Result as Fallible},
    events::{mark_started, store_events, stored_event},
    metrics::report_metrics,
    rows::{get, json, millis, time, word},
};

#[async_trait]
impl Registry for Sqlite {
    async fn register_jobs(&self, jobs: Vec<JobDeclaration>) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("register_jobs", jobs, |write, jobs| {
                Box::pin(register_jobs(&mut write.connection, jobs, write.now))
            })
            .await
    }

    async fn jobs(&self) -> Result<Vec<RegisteredJob>, Error> {
        self.read("jobs", |mut connection| async move { registered_jobs(&mut connection).await }).await
    }

    async fn report_worker(&self, worker: WorkerReport) -> Result<WorkerOrder, Error> {
        let writer = &self.shared.writer;
        writer
            .change("report_worker", worker, |write, worker| {
                Box::pin(report_worker(&mut write.connection, worker, write.now))
            })
            .await
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("remove_worker", worker, |write, worker| {
                let query = sqlx::query("DELETE FROM riqle_workers WHERE id = ?1").bind(worker.as_uuid());
                Box::pin(write.run(query))
            })
            .await
    }

    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        let clock = Arc::clone(&self.shared.clock);
        self.read("workers", |mut connection| async move {
            let now = clock.now_in(&mut connection).await?;
            registered_workers(&mut connection, now).await
        })
        .await
    }

    async fn report_metrics(&self, worker: WorkerId, metrics: Vec<JobMetrics>) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("report_metrics", (worker, metrics), |write, (worker, metrics)| {
                Box::pin(report_metrics(&mut write.connection, *worker, metrics))
            })
            .await
    }

    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        let writer = &self.shared.writer;
        writer
            .change("store_events", events, |write, events| {
                Box::pin(async {
                    let events: Vec<_> = events.iter().collect();
                    store_events(&mut write.connection, &events, write.now).await
                })
            })
            .await
    }

    async fn start_events(&self, events: Vec<EventStart>) -> Result<Vec<StoredEvent>, Error> {
        self.shared.limits.check_event_runs(&events)?;
        self.shared.writer.ask("start_events", events).await
    }

    async fn mark_started(&self, event_id: &str, runs: Vec<EventRun>) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("mark_started", (event_id.to_owned(), runs), |write, started| {
                Box::pin(mark_started(&mut write.connection, std::slice::from_ref(started)))
            })
            .await
    }

    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.read("idle_events", |mut connection| async move {
            let rows = sqlx::query(include_str!("../queries/idle_events.sql"))
                .bind(serde_json::json!(names).to_string())
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&mut *connection)
                .await?;
            rows.iter().map(stored_event).collect()
        })
        .await
    }
}

async fn register_jobs(
    connection: &mut SqliteConnection,
    jobs: &[JobDeclaration],
    now: Timestamp,
) -> Fallible<()> {
    for job in jobs {
        sqlx::query(include_str!("../queries/register_job.sql"))
            .bind(&job.name)
            .bind(&job.queue)
            .bind(job.priority.number())
            .bind(&job.trigger)
            .bind(&job.policy)
            .bind(serde_json::json!(job.rules).to_string())
            .bind(millis(now))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Every job ever registered, by name.
pub(crate) async fn registered_jobs(connection: &mut SqliteConnection) -> Fallible<Vec<RegisteredJob>> {
    let rows = sqlx::query("SELECT * FROM riqle_jobs ORDER BY name").fetch_all(connection).await?;
    rows.iter().map(registered_job).collect()
}

pub(crate) fn registered_job(row: &SqliteRow) -> Fallible<RegisteredJob> {
    let declaration = JobDeclaration {
        name: get(row, "name")?,
        queue: get(row, "queue")?,
        priority: Priority::from_number(get(row, "priority")?)?,
        trigger: get(row, "trigger")?,
        policy: get(row, "policy")?,
        rules: json(row, "rules")?,
    };
    Ok(RegisteredJob { declaration, seen_at: time(row, "seen_at")? })
}

async fn report_worker(
    connection: &mut SqliteConnection,
    worker: &WorkerReport,
    now: Timestamp,
) -> Fallible<WorkerOrder> {
    let row = sqlx::query(include_str!("../queries/report_worker.sql"))
        .bind(worker.id.as_uuid())
        .bind(&worker.label)
        .bind(&worker.version)
        .bind(serde_json::json!(worker.jobs).to_string())
        .bind(worker.concurrency)
        .bind(worker.running)
        .bind(serde_json::json!(worker.claimed_ahead).to_string())
        .bind(serde_json::json!(worker.troubles).to_string())
        .bind(millis(now))
        .fetch_one(connection)
        .await?;
    word(&row, "ordered")
}

/// Tells a worker what to do from its next report on.
pub(crate) async fn order_worker(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    order: WorkerOrder,
) -> Fallible<()> {
    let ordered = sqlx::query("UPDATE riqle_workers SET ordered = ?2 WHERE id = ?1")
        .bind(worker.as_uuid())
        .bind(order.as_str())
        .execute(connection)
        .await?;
    if ordered.rows_affected() == 0 {
        let message = format!("no worker {worker} is registered");
        return Err(Failure::from(Error::new(ErrorKind::NotFound, "order_worker", message)));
    }
    Ok(())
}

/// Every worker that has reported within a day, the one seen last first.
pub(crate) async fn registered_workers(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Fallible<Vec<RegisteredWorker>> {
    let select = "SELECT * FROM riqle_workers WHERE seen_at >= ?1 ORDER BY seen_at DESC, id";
    let workers = sqlx::query(select).bind(millis(earlier(now, WORKER_FORGOTTEN_AFTER)));
    workers.fetch_all(connection).await?.iter().map(registered_worker).collect()
}

pub(crate) fn registered_worker(row: &SqliteRow) -> Fallible<RegisteredWorker> {
    let report = WorkerReport {
        id: WorkerId::from_uuid(get(row, "id")?),
        label: get(row, "label")?,
        version: get(row, "version")?,
        jobs: json(row, "jobs")?,
        concurrency: get(row, "concurrency")?,
        running: get(row, "running")?,
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

use async_trait::async_trait;
use riqle_jobs_core::{
    Error, Priority, Registry, WorkerId,
    events::EVENT_ID_KEPT,
    millis_of,
    store::{
        JobDeclaration, MinuteMetrics, NewEvent, RegisteredJob, RegisteredWorker, StoredEvent, WorkerReport,
    },
};
use sqlx::postgres::PgRow;

use crate::{
    Postgres,
    error::{Result as DriverResult, into_driver},
    lanes::{Lane, store_lanes},
    metrics::report_metrics,
    rows::{codec, get, get_u32, maybe_time, millis, payload, size, small, time},
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

    async fn report_worker(&self, worker: WorkerReport) -> Result<(), Error> {
        self.ask("report_worker", &worker, |work, worker| Box::pin(report_worker(work, worker))).await
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        self.ask("remove_worker", &worker, |work, worker| {
            let query = work.query("DELETE FROM riqle.workers WHERE id = $1").bind(worker.as_uuid());
            Box::pin(async move { query.execute(&mut *work.connection).await.map(drop) })
        })
        .await
    }

    async fn workers(&self) -> Result<Vec<RegisteredWorker>, Error> {
        self.ask("workers", &(), |work, ()| Box::pin(registered_workers(work))).await
    }

    async fn report_metrics(&self, worker: WorkerId, minutes: Vec<MinuteMetrics>) -> Result<(), Error> {
        self.ask("report_metrics", &(worker, minutes), |work, (worker, minutes)| {
            Box::pin(report_metrics(work, *worker, minutes))
        })
        .await
    }

    async fn store_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        self.change("store_events", &events, |work, events| Box::pin(store_events(work, events))).await
    }

    async fn mark_started(&self, event_id: &str, runs: u32) -> Result<(), Error> {
        self.ask("mark_started", &(event_id.to_owned(), runs), |work, (id, runs)| {
            Box::pin(mark_started(work, id, *runs))
        })
        .await
    }

    async fn idle_events(&self, names: Vec<String>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.ask("idle_events", &(names, limit), |work, (names, limit)| {
            Box::pin(async move {
                let rows = work
                    .query(include_str!("../queries/idle_events.sql"))
                    .bind(names.clone())
                    .bind(size(*limit))
                    .fetch_all(&mut *work.connection)
                    .await?;
                rows.iter().map(stored_event).collect()
            })
        })
        .await
    }
}

async fn register_jobs(work: &mut Work<'_>, jobs: &[JobDeclaration]) -> DriverResult<()> {
    // So that who enqueues in a transaction of the application need not make them there.
    let lane =
        |job: &JobDeclaration| Lane { queue: &job.queue, job: &job.name, priority: job.priority }.number();
    let lanes: Vec<_> = jobs
        .iter()
        .map(|job| (lane(job), Lane { queue: &job.queue, job: &job.name, priority: job.priority }))
        .collect();
    store_lanes(work, &lanes).await?;
    work.timed(include_str!("../queries/register_jobs.sql"))
        .bind(jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.queue.clone()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| i16::from(job.priority.number())).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.trigger.clone()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.policy.clone()).collect::<Vec<_>>())
        .execute(&mut *work.connection)
        .await
        .map(drop)
}

/// Every job ever registered, by name.
pub(crate) async fn registered_jobs(work: &mut Work<'_>) -> DriverResult<Vec<RegisteredJob>> {
    let jobs = work.query("SELECT * FROM riqle.jobs ORDER BY name");
    jobs.fetch_all(&mut *work.connection).await?.iter().map(registered_job).collect()
}

fn registered_job(row: &PgRow) -> DriverResult<RegisteredJob> {
    let declaration = JobDeclaration {
        name: get(row, "name")?,
        queue: get(row, "queue")?,
        priority: Priority::from_number(small(row, "priority")?).map_err(into_driver)?,
        trigger: get(row, "trigger")?,
        policy: get(row, "policy")?,
    };
    Ok(RegisteredJob { declaration, seen_at: time(row, "seen_at")? })
}

async fn report_worker(work: &mut Work<'_>, worker: &WorkerReport) -> DriverResult<()> {
    work.timed(include_str!("../queries/report_worker.sql"))
        .bind(worker.id.as_uuid())
        .bind(worker.label.clone())
        .bind(worker.version.clone())
        .bind(worker.jobs.clone())
        .bind(i64::from(worker.concurrency))
        .bind(i64::from(worker.running))
        .execute(&mut *work.connection)
        .await
        .map(drop)
}

/// Every worker that reported, the one seen last first.
pub(crate) async fn registered_workers(work: &mut Work<'_>) -> DriverResult<Vec<RegisteredWorker>> {
    let workers = work.query("SELECT * FROM riqle.workers ORDER BY seen_at DESC, id");
    workers.fetch_all(&mut *work.connection).await?.iter().map(registered_worker).collect()
}

fn registered_worker(row: &PgRow) -> DriverResult<RegisteredWorker> {
    let report = WorkerReport {
        id: WorkerId::from_uuid(get(row, "id")?),
        label: get(row, "label")?,
        version: get(row, "version")?,
        jobs: get(row, "jobs")?,
        concurrency: get_u32(row, "concurrency")?,
        running: get_u32(row, "running")?,
    };
    Ok(RegisteredWorker { report, started_at: time(row, "started_at")?, seen_at: time(row, "seen_at")? })
}

/// Stores events; answers with what is stored under each id. In the order of their ids, as everybody does.
pub(crate) async fn store_events(work: &mut Work<'_>, events: &[NewEvent]) -> DriverResult<Vec<StoredEvent>> {
    work.timed(include_str!("../queries/forget_event.sql"))
        .bind(events.iter().map(|event| event.id.clone()).collect::<Vec<_>>())
        .bind(millis_of(EVENT_ID_KEPT))
        .execute(&mut *work.connection)
        .await?;
    let mut by_id: Vec<(usize, &NewEvent)> = events.iter().enumerate().collect();
    by_id.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
    let mut stored = Vec::with_capacity(events.len());
    for (n, event) in by_id {
        let row = work
            .timed(include_str!("../queries/store_event.sql"))
            .bind(event.id.clone())
            .bind(event.name.clone())
            .bind(event.due_at.map(millis))
            .bind(codec(event.data.codec))
            .bind(event.data.bytes.clone())
            .fetch_one(&mut *work.connection)
            .await?;
        stored.push((n, stored_event(&row)?));
    }
    stored.sort_by_key(|(n, _)| *n);
    Ok(stored.into_iter().map(|(_, event)| event).collect())
}

/// Counts `runs` as started by the event.
pub(crate) async fn mark_started(work: &mut Work<'_>, id: &str, runs: u32) -> DriverResult<()> {
    work.query("UPDATE riqle.events SET started = $2 WHERE id = $1")
        .bind(id.to_owned())
        .bind(i64::from(runs))
        .execute(&mut *work.connection)
        .await
        .map(drop)
}

fn stored_event(row: &PgRow) -> DriverResult<StoredEvent> {
    let event = NewEvent {
        id: get(row, "id")?,
        name: get(row, "name")?,
        data: payload(row, "codec", "data")?,
        due_at: maybe_time(row, "due_at")?,
    };
    Ok(StoredEvent { event, received_at: time(row, "received_at")?, started: get_u32(row, "started")? })
}

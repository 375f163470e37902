//! What is read of runs, queues and counts, for people and dashboards (`Inspect`).

use std::sync::Arc;

use async_trait::async_trait;
use riqle_jobs_core::{
    Error, Inspect, Priority, Run, RunFilter, RunId, RunState, SavedStep, WorkerId,
    schedule::Tick,
    store::{
        COUNTED_TO, DeadError, DeadGroup, EventFilter, Health, Holder, JobCount, JobMetrics, ListedEvent,
        MetricsFilter, Pause, Problem, QueueStatus, RunNotes,
    },
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Sqlite,
    attempts::read_attempts,
    dead_groups::dead_groups,
    error::Result as Fallible,
    events::list_events,
    examine::examine,
    health::{free_bytes, health, little_left},
    list::{count_runs, dead_errors, list_runs},
    metrics::read_metrics,
    notes::read_notes,
    rows::{
        count, get, get_count, maybe_run_id, maybe_time, maybe_word, millis, payload, run_id, time, trace,
        word,
    },
    steps::saved_step,
};

pub(crate) const RUN: &str = include_str!("../queries/run.sql");

#[async_trait]
impl Inspect for Sqlite {
    async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.read("run", |mut connection| async move { find_run(&mut connection, id).await }).await
    }

    async fn steps(&self, id: RunId) -> Result<Vec<SavedStep>, Error> {
        self.read("steps", |mut connection| async move {
            let rows = sqlx::query("SELECT * FROM riqle_steps WHERE run = ?1 ORDER BY number")
                .bind(id.as_uuid())
                .fetch_all(&mut *connection)
                .await?;
            rows.iter().map(saved_step).collect()
        })
        .await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, Error> {
        self.read("runs", |mut connection| async move { list_runs(&mut connection, filter).await }).await
    }

    async fn count_runs(&self, filter: RunFilter, most: u64) -> Result<u64, Error> {
        self.read(
            "count_runs",
            |mut connection| async move { count_runs(&mut connection, filter, most).await },
        )
        .await
    }

    async fn dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error> {
        self.read("dead_groups", |mut connection| async move { dead_groups(&mut connection, limit).await })
            .await
    }

    async fn dead_errors(&self, filter: RunFilter) -> Result<Vec<DeadError>, Error> {
        self.read("dead_errors", |mut connection| async move { dead_errors(&mut connection, filter).await })
            .await
    }

    async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        self.read("counts", |mut connection| async move {
            let rows = sqlx::query(include_str!("../queries/counts.sql")).fetch_all(&mut *connection).await?;
            let mut counts = rows.iter().map(job_count).collect::<Fallible<Vec<_>>>()?;
            counts.sort_by(|a, b| (&a.job, a.state).cmp(&(&b.job, b.state)));
            Ok(counts)
        })
        .await
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        let clock = Arc::clone(&self.shared.clock);
        self.read("queues", |mut connection| async move {
            let now = millis(clock.now_in(&mut connection).await?);
            let queues = include_str!("../queries/queues.sql");
            let rows =
                sqlx::query(queues).bind(now).bind(count(COUNTED_TO)).fetch_all(&mut *connection).await?;
            rows.iter().map(queue_status).collect()
        })
        .await
    }

    async fn health(&self) -> Result<Health, Error> {
        // What is read of it now is gone with the last connection.
        if let Err(error) = self.shared.file.check("health") {
            return Ok(Health { write_error: Some(error.message().to_owned()), ..Health::default() });
        }
        let clock = Arc::clone(&self.shared.clock);
        let read = self.read("health", |mut connection| async move {
            let now = clock.now_in(&mut connection).await?;
            health(&mut connection, now).await
        });
        let mut health = read.await?;
        health.problems.extend(self.shared.clock.problem());
        health.problems.extend(free_bytes(self.shared.file.log()).and_then(little_left));
        Health { write_error: self.shared.writer.writes.error(), ..health }.with_what_waits(self).await
    }

    async fn examine(&self) -> Result<Vec<Problem>, Error> {
        Ok(examine(&self.shared.file, self.shared.synchronous))
    }

    async fn notes(&self, id: RunId) -> Result<RunNotes, Error> {
        self.read("notes", |mut connection| async move { read_notes(&mut connection, id).await }).await
    }

    async fn events(&self, filter: EventFilter) -> Result<Vec<ListedEvent>, Error> {
        self.read("events", |mut connection| async move { list_events(&mut connection, &filter).await }).await
    }

    async fn metrics(&self, filter: MetricsFilter) -> Result<Vec<JobMetrics>, Error> {
        self.read("metrics", |mut connection| async move { read_metrics(&mut connection, &filter).await })
            .await
    }
}

fn job_count(row: &SqliteRow) -> Fallible<JobCount> {
    Ok(JobCount { job: get(row, "job")?, state: word(row, "state")?, runs: get_count(row, "runs")? })
}

fn queue_status(row: &SqliteRow) -> Fallible<QueueStatus> {
    let pause = match maybe_time(row, "paused_at")? {
        Some(at) => Some(Pause {
            by: get::<Option<String>>(row, "paused_by")?.unwrap_or_default(),
            why: get::<Option<String>>(row, "reason")?.unwrap_or_default(),
            at,
        }),
        None => None,
    };
    let due = get_count(row, "due")?;
    let oldest = maybe_time(row, "oldest_due")?;
    Ok(QueueStatus {
        name: get(row, "queue")?,
        pause,
        due,
        scheduled: get_count(row, "scheduled")?,
        running: get_count(row, "running")?,
        waiting: get_count(row, "waiting")?,
        // The earliest of all pending runs; it is due where any is.
        oldest_due: oldest.filter(|_| due > 0),
    })
}

/// A run, wherever it stands.
pub(crate) async fn find_run(connection: &mut SqliteConnection, id: RunId) -> Fallible<Option<Run>> {
    let row = sqlx::query(RUN).bind(id.as_uuid()).fetch_optional(connection).await?;
    row.as_ref().map(shown).transpose()
}

pub(crate) fn shown(row: &SqliteRow) -> Fallible<Run> {
    let id = run_id(row, "id")?;
    let state: RunState = word(row, "state")?;
    let holder = match state {
        RunState::Running => Some(Holder {
            worker: WorkerId::from_uuid(get(row, "worker")?),
            claimed_at: time(row, "claimed_at")?,
            lease_until: time(row, "lease_until")?,
        }),
        _ => None,
    };
    let output = match get::<Option<u8>>(row, "output_codec")? {
        Some(_) => Some(payload(row, "output_codec", "output")?),
        None => None,
    };
    Ok(Run {
        id,
        job: get(row, "job")?,
        queue: get(row, "queue")?,
        priority: Priority::from_number(get(row, "priority")?)?,
        state,
        reason: maybe_word(row, "reason")?,
        input: payload(row, "input_codec", "input")?,
        output,
        failures: get(row, "failures")?,
        crashes: get(row, "crashes")?,
        enqueued_at: time(row, "enqueued_at")?,
        due_at: time(row, "due_at")?,
        ended_at: maybe_time(row, "ended_at")?,
        holder,
        attempts: read_attempts(get(row, "attempts")?)?,
        error_fingerprint: get(row, "error_fingerprint")?,
        root: maybe_run_id(row, "root")?.unwrap_or(id),
        replay_of: maybe_run_id(row, "replay_of")?,
        replayed_by: maybe_run_id(row, "replayed_by")?,
        unique_key: get(row, "unique_key")?,
        reference: get(row, "reference")?,
        event_id: get(row, "event_id")?,
        tick: tick(row)?,
        trace: trace(row)?,
    })
}

fn tick(row: &SqliteRow) -> Fallible<Option<Tick>> {
    let Some(schedule) = get(row, "schedule")? else { return Ok(None) };
    Ok(Some(Tick { schedule, at: time(row, "tick")? }))
}

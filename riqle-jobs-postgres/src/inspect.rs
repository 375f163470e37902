//! What is read of runs, queues and counts, for people and dashboards (`Inspect`).

use async_trait::async_trait;
use riqle_jobs_core::{
    Error, Inspect, Priority, Run, RunFilter, RunId, RunState, SavedStep, WorkerId,
    store::{
        COUNTED_TO, DeadError, DeadGroup, EventFilter, Health, Holder, JobCount, JobMetrics, ListedEvent,
        MetricsFilter, Pause, Problem, QueueStatus, RunNotes,
    },
};
use sqlx::postgres::PgRow;

use crate::{
    Postgres,
    attempts::read_attempts,
    error::Result as Fallible,
    events::list_events,
    health::{check_writable, health},
    list::{count_runs, dead_errors, list_runs},
    metrics::read_metrics,
    notes::read_notes,
    rows::{
        count, get, get_count, get_narrow, maybe_run_id, maybe_time, maybe_word, payload, run_id, small,
        tick, time, trace, word,
    },
    steps::saved_step,
    work::Work,
};

#[async_trait]
impl Inspect for Postgres {
    async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.ask("run", &id, |work, id| Box::pin(find_run(work, *id))).await
    }

    async fn steps(&self, id: RunId) -> Result<Vec<SavedStep>, Error> {
        self.ask("steps", &id, |work, id| {
            let query =
                work.query("SELECT * FROM riqle.steps WHERE run = $1 ORDER BY number").bind(id.as_uuid());
            Box::pin(
                async move { query.fetch_all(&mut *work.connection).await?.iter().map(saved_step).collect() },
            )
        })
        .await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, Error> {
        self.ask("runs", &filter, |work, filter| Box::pin(list_runs(work, filter))).await
    }

    async fn count_runs(&self, filter: RunFilter, most: u64) -> Result<u64, Error> {
        self.ask("count_runs", &(filter, most), |work, (filter, most)| {
            Box::pin(count_runs(work, filter, *most))
        })
        .await
    }

    async fn dead_groups(&self, limit: usize) -> Result<Vec<DeadGroup>, Error> {
        self.ask("dead_groups", &limit, |work, limit| {
            Box::pin(async move {
                let groups = work.query(include_str!("../queries/dead_groups.sql"));
                let rows = groups.fetch_all(&mut *work.connection).await?;
                let groups = rows.iter().map(dead_group).collect::<Fallible<Vec<_>>>()?;
                Ok(DeadGroup::merged(groups, *limit))
            })
        })
        .await
    }

    async fn dead_errors(&self, filter: RunFilter) -> Result<Vec<DeadError>, Error> {
        self.ask("dead_errors", &filter, |work, filter| Box::pin(dead_errors(work, filter))).await
    }

    async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        self.ask("counts", &(), |work, ()| {
            Box::pin(async move {
                let counts = work.query(include_str!("../queries/counts.sql"));
                let rows = counts.fetch_all(&mut *work.connection).await?;
                let mut counts = rows.iter().map(job_count).collect::<Fallible<Vec<_>>>()?;
                counts.sort_by(|a, b| (&a.job, a.state).cmp(&(&b.job, b.state)));
                Ok(counts)
            })
        })
        .await
    }

    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        self.ask("queues", &(), |work, ()| {
            Box::pin(async move {
                let queues = work.timed(include_str!("../queries/queues.sql")).bind(count(COUNTED_TO));
                queues.fetch_all(&mut *work.connection).await?.iter().map(queue_status).collect()
            })
        })
        .await
    }

    async fn health(&self) -> Result<Health, Error> {
        // Reads continue beside it; a process that writes little may not know yet that the server is read-only.
        let writable = self.ask("health", &(), |work, ()| Box::pin(check_writable(work))).await;
        let health = self.ask("health", &(), |work, ()| Box::pin(health(work))).await?;
        let read_only = || writable.err().map(|error| error.message().to_owned());
        let health = Health { write_error: self.shared.writes.error().or_else(read_only), ..health };
        health.with_what_waits(self).await
    }

    async fn examine(&self) -> Result<Vec<Problem>, Error> {
        self.look_into().await
    }

    async fn notes(&self, id: RunId) -> Result<RunNotes, Error> {
        self.ask("notes", &id, |work, id| Box::pin(read_notes(work, *id))).await
    }

    async fn events(&self, filter: EventFilter) -> Result<Vec<ListedEvent>, Error> {
        self.ask("events", &filter, |work, filter| Box::pin(list_events(work, filter))).await
    }

    async fn metrics(&self, filter: MetricsFilter) -> Result<Vec<JobMetrics>, Error> {
        self.ask("metrics", &filter, |work, filter| Box::pin(read_metrics(work, filter))).await
    }
}

fn job_count(row: &PgRow) -> Fallible<JobCount> {
    Ok(JobCount { job: get(row, "job")?, state: word(row, "state")?, runs: get_count(row, "runs")? })
}

fn dead_group(row: &PgRow) -> Fallible<DeadGroup> {
    Ok(DeadGroup {
        job: get(row, "job")?,
        error_fingerprint: get(row, "error_fingerprint")?,
        runs: get_count(row, "runs")?,
        first_at: time(row, "first_at")?,
        last_at: time(row, "last_at")?,
        newest: run_id(row, "newest")?,
    })
}

fn queue_status(row: &PgRow) -> Fallible<QueueStatus> {
    let pause = match maybe_time(row, "paused_at")? {
        Some(at) => Some(Pause { by: get(row, "paused_by")?, why: get(row, "reason")?, at }),
        None => None,
    };
    Ok(QueueStatus {
        name: get(row, "queue")?,
        pause,
        due: get_count(row, "due")?,
        scheduled: get_count(row, "scheduled")?,
        running: get_count(row, "running")?,
        waiting: get_count(row, "waiting")?,
        oldest_due: maybe_time(row, "oldest_due")?,
    })
}

/// A run, wherever it stands.
pub(crate) async fn find_run(work: &mut Work<'_>, id: RunId) -> Fallible<Option<Run>> {
    let run = work.query(include_str!("../queries/run.sql")).bind(id.as_uuid());
    run.fetch_optional(&mut *work.connection).await?.as_ref().map(shown).transpose()
}

pub(crate) fn shown(row: &PgRow) -> Fallible<Run> {
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
    let output = match get::<Option<i16>>(row, "output_codec")? {
        Some(_) => Some(payload(row, "output_codec", "output")?),
        None => None,
    };
    Ok(Run {
        id,
        job: get(row, "job")?,
        queue: get(row, "queue")?,
        priority: Priority::from_number(small(row, "priority")?)?,
        state,
        reason: maybe_word(row, "reason")?,
        input: payload(row, "input_codec", "input")?,
        output,
        failures: get_narrow(row, "failures")?,
        crashes: get_narrow(row, "crashes")?,
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

use async_trait::async_trait;
use riqle_jobs_core::{
    Error, Inspect, Priority, Run, RunFilter, RunId, RunState, SavedStep, WorkerId,
    store::{Holder, JobCount},
};
use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Sqlite,
    attempts::read_attempts,
    error::{Result as DriverResult, into_driver},
    rows::{get, maybe_run_id, maybe_time, maybe_word, payload, run_id, time, word},
    steps::saved_step,
};

const RUN: &str = include_str!("../queries/run.sql");

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

    async fn counts(&self) -> Result<Vec<JobCount>, Error> {
        self.read("counts", |mut connection| async move {
            let rows = sqlx::query(include_str!("../queries/counts.sql")).fetch_all(&mut *connection).await?;
            let mut counts = rows.iter().map(job_count).collect::<DriverResult<Vec<_>>>()?;
            counts.sort_by(|a, b| (&a.job, a.state).cmp(&(&b.job, b.state)));
            Ok(counts)
        })
        .await
    }
}

fn job_count(row: &SqliteRow) -> DriverResult<JobCount> {
    let runs = get::<i64>(row, "runs")?.unsigned_abs();
    Ok(JobCount { job: get(row, "job")?, state: word(row, "state")?, runs })
}

/// A run, wherever it stands.
pub(crate) async fn find_run(connection: &mut SqliteConnection, id: RunId) -> DriverResult<Option<Run>> {
    let row = sqlx::query(RUN).bind(id.as_uuid()).fetch_optional(connection).await?;
    row.as_ref().map(shown).transpose()
}

async fn list_runs(connection: &mut SqliteConnection, filter: RunFilter) -> DriverResult<Vec<Run>> {
    // Above every id.
    let before = filter.before.map_or(vec![0xff; 17], |id| id.as_uuid().as_bytes().to_vec());
    let mut page = "id < ?1".to_owned();
    if !filter.states.is_empty() {
        page.push_str(
            " AND state IN (SELECT value FROM json_each(?2)) AND (state <> 'dead' OR replayed_by IS NULL)",
        );
    }
    if filter.job.is_some() {
        page.push_str(" AND lane IN (SELECT lane FROM riqle_lanes WHERE job = ?3)");
    }
    if filter.queue.is_some() {
        page.push_str(" AND lane IN (SELECT lane FROM riqle_lanes WHERE queue = ?4)");
    }
    if filter.reference.is_some() {
        page.push_str(" AND reference = ?5");
    }
    page.push_str(" ORDER BY id DESC LIMIT ?6");
    // The page is found first, since only so the order of the tables serves.
    let rows = sqlx::query(AssertSqlSafe(RUN.replace("id = ?1", &page)))
        .bind(before)
        .bind(serde_json::json!(filter.states).to_string())
        .bind(&filter.job)
        .bind(&filter.queue)
        .bind(&filter.reference)
        .bind(i64::try_from(filter.page_size()).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let mut runs = rows.iter().map(shown).collect::<DriverResult<Vec<_>>>()?;
    runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
    Ok(runs)
}

fn shown(row: &SqliteRow) -> DriverResult<Run> {
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
        priority: Priority::from_number(get(row, "priority")?).map_err(into_driver)?,
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
        root: maybe_run_id(row, "root")?.unwrap_or(id),
        replay_of: maybe_run_id(row, "replay_of")?,
        replayed_by: maybe_run_id(row, "replayed_by")?,
        unique_key: get(row, "unique_key")?,
        reference: get(row, "reference")?,
        event_id: get(row, "event_id")?,
    })
}

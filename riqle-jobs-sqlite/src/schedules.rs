//! Keeps schedules (`Schedules`).

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    Error, Hint, RunId, from_millis,
    store::{
        DueRequest, DueSchedules, ScheduleAnswer, ScheduleFilter, ScheduleRow, ScheduleWrite, Schedules,
        StoredSchedule,
    },
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Sqlite,
    enqueue::{enqueue, index, position},
    error::Result as Fallible,
    lanes::Lanes,
    own_connection::all_or_nothing,
    rows::{Query, for_each, get, json, maybe_time, millis, payload},
    writer::Write,
};

#[async_trait]
impl Schedules for Sqlite {
    async fn due_schedules(&self, request: DueRequest) -> Result<DueSchedules, Error> {
        self.read("due_schedules", |mut connection| async move {
            let now = wall_time(self.now_in(&mut connection).await?, &mut connection).await?;
            let jobs = serde_json::json!(*request.jobs).to_string();
            let most = i64::try_from(request.limit).unwrap_or(i64::MAX).saturating_add(1);
            let rows = sqlx::query(include_str!("../queries/due_schedules.sql"))
                .bind(&request.queue)
                .bind(&jobs)
                .bind(millis(now))
                .bind(most)
                .fetch_all(&mut *connection)
                .await?;
            let mut schedules = rows.iter().map(stored).collect::<Fallible<Vec<_>>>()?;
            let next_due = match schedules.get(request.limit) {
                Some(next) => next.row.due_at,
                None => {
                    let next = sqlx::query(include_str!("../queries/next_schedule.sql"))
                        .bind(&request.queue)
                        .bind(&jobs)
                        .bind(millis(now));
                    maybe_time(&next.fetch_one(&mut *connection).await?, "due_at")?
                }
            };
            schedules.truncate(request.limit);
            Ok(DueSchedules { schedules, next_due, now })
        })
        .await
    }

    async fn write_schedules(&self, writes: Vec<ScheduleWrite>) -> Result<Vec<ScheduleAnswer>, Error> {
        let runs: Vec<_> = writes.iter().filter_map(|write| write.run.clone()).collect();
        self.shared.limits.check_runs("write_schedules", &runs)?;
        let writer = &self.shared.writer;
        writer.change("write_schedules", writes, |write, writes| Box::pin(write_all(write, writes))).await
    }

    async fn wall_time(&self) -> Result<Timestamp, Error> {
        self.read("wall_time", |mut connection| async move {
            wall_time(self.now_in(&mut connection).await?, &mut connection).await
        })
        .await
    }

    async fn schedule(&self, job: &str, name: &str) -> Result<Option<StoredSchedule>, Error> {
        self.read("schedule", |mut connection| async move {
            let row = sqlx::query("SELECT * FROM riqle_schedules_seen WHERE job = ?1 AND name = ?2");
            row.bind(job).bind(name).fetch_optional(&mut *connection).await?.as_ref().map(stored).transpose()
        })
        .await
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<StoredSchedule>, Error> {
        let page = i64::try_from(filter.page()).unwrap_or(i64::MAX);
        let (job, name) = filter.after.unwrap_or_default();
        self.read("schedules", |mut connection| async move {
            let rows = sqlx::query(include_str!("../queries/schedules.sql"))
                .bind(job)
                .bind(name)
                .bind(filter.job)
                .bind(filter.prefix)
                .bind(page)
                .fetch_all(&mut *connection)
                .await?;
            rows.iter().map(stored).collect()
        })
        .await
    }

    async fn gather_schedules(&self, job: &str, queue: &str) -> Result<(), Error> {
        let elsewhere = self.read("gather_schedules", |mut connection| async move {
            let any = sqlx::query("SELECT 1 FROM riqle_schedules WHERE job = ?1 AND queue <> ?2 LIMIT 1")
                .bind(job)
                .bind(queue);
            Ok(any.fetch_optional(&mut *connection).await?.is_some())
        });
        // Mostly there is nothing to write.
        if !elsewhere.await? {
            return Ok(());
        }
        let moved = (job.to_owned(), queue.to_owned());
        let writer = &self.shared.writer;
        writer
            .change("gather_schedules", moved, |write, (job, queue)| {
                write.hint(Hint::Schedules(Some(queue.clone())));
                let gather = sqlx::query(
                    "UPDATE riqle_schedules SET queue = ?2, version = version + 1 WHERE job = ?1 AND queue <> ?2",
                );
                Box::pin(write.run(gather.bind(job).bind(queue)))
            })
            .await
    }
}

/// What the machine's clock shows when the file's shows this.
async fn wall_time(time: Timestamp, connection: &mut SqliteConnection) -> Fallible<Timestamp> {
    let offset =
        sqlx::query("SELECT offset FROM riqle_clock WHERE one = 1").fetch_optional(connection).await?;
    let offset: i64 = offset.map_or(Ok(0), |row| row.try_get(0))?;
    Ok(from_millis(millis(time).saturating_sub(offset)))
}

/// All, or an error.
async fn write_all(write: &mut Write, writes: &[ScheduleWrite]) -> Fallible<Vec<ScheduleAnswer>> {
    let now = write.now;
    // The writer's own lanes would keep those of what is undone.
    let mut lanes = Lanes::default();
    let written = all_or_nothing(&mut write.connection, async |connection| {
        write_schedules(connection, &mut lanes, writes, now).await
    });
    let answers = written.await?;
    for (written, answer) in writes.iter().zip(&answers) {
        if let ScheduleAnswer::Written(run) = answer {
            written.hints(*run).for_each(|hint| write.hint(hint));
        }
    }
    Ok(answers)
}

pub(crate) async fn write_schedules(
    connection: &mut SqliteConnection,
    lanes: &mut Lanes,
    writes: &[ScheduleWrite],
    now: Timestamp,
) -> Fallible<Vec<ScheduleAnswer>> {
    let versions = versions(connection, writes).await?;
    let ended = have_ended(connection, writes).await?;
    let mut answers = vec![ScheduleAnswer::Stale; writes.len()];
    let (mut kept, mut gone, mut started) = (Vec::new(), Vec::new(), Vec::new());
    for (n, write) in writes.iter().enumerate() {
        if let Some(answer) = write.answer_without_writing(versions.get(&n).copied()) {
            answers[n] = answer;
            continue;
        }
        if ended.contains(&n) {
            continue;
        }
        answers[n] = ScheduleAnswer::Written(None);
        match &write.row {
            Some(row) => kept.push((write, row)),
            None => gone.push(write),
        }
        started.extend(write.run.as_ref().map(|run| (n, std::slice::from_ref(run))));
    }
    let groups: Vec<_> = started.iter().map(|(_, run)| *run).collect();
    for ((n, _), answer) in started.iter().zip(enqueue(connection, lanes, &groups, now).await?) {
        answers[*n] = ScheduleAnswer::Written(answer?.first().copied());
    }
    keep(connection, &kept).await?;
    for write in gone {
        let delete = sqlx::query("DELETE FROM riqle_schedules WHERE job = ?1 AND name = ?2");
        delete.bind(&write.job).bind(&write.name).execute(&mut *connection).await?;
    }
    Ok(answers)
}

/// The versions of those that are there.
async fn versions(
    connection: &mut SqliteConnection,
    writes: &[ScheduleWrite],
) -> Fallible<HashMap<usize, u64>> {
    let template = include_str!("../queries/schedule_versions.sql");
    let row = |query: Query<'static>, n: usize, write: &ScheduleWrite| {
        query.bind(index(n)).bind(write.job.clone()).bind(write.name.clone())
    };
    let mut versions = HashMap::new();
    for row in for_each(connection, template, |query| query, writes, row).await? {
        versions.extend(json::<Vec<(usize, u64)>>(&row, "versions")?);
    }
    Ok(versions)
}

/// Those that wait for a run that has ended.
async fn have_ended(connection: &mut SqliteConnection, writes: &[ScheduleWrite]) -> Fallible<HashSet<usize>> {
    let waits = writes.iter().enumerate();
    let waits: Vec<_> =
        waits.flat_map(|(n, write)| write.waits_for().iter().map(move |run| (n, *run))).collect();
    let template = include_str!("../queries/ended_runs.sql");
    let row = |query: Query<'static>, _, (n, run): &(usize, RunId)| query.bind(index(*n)).bind(run.as_uuid());
    for_each(connection, template, |query| query, &waits, row).await?.iter().map(position).collect()
}

async fn keep(connection: &mut SqliteConnection, kept: &[(&ScheduleWrite, &ScheduleRow)]) -> Fallible<()> {
    let template = include_str!("../queries/write_schedules.sql");
    let row = |query: Query<'static>, _, (write, row): &(&ScheduleWrite, &ScheduleRow)| {
        query
            .bind(write.job.clone())
            .bind(write.name.clone())
            .bind(write.queue.clone())
            .bind(i64::try_from(write.version).unwrap_or(i64::MAX))
            .bind(row.due_at.map(millis))
            .bind(row.wakes)
            .bind(row.input.codec.0)
            .bind(row.input.bytes.clone())
            .bind(row.state.clone())
    };
    for_each(connection, template, |query| query, kept, row).await.map(drop)
}

/// Makes due those that wait for the end of a run, and of which none lives.
pub(crate) async fn wake_forgotten(write: &mut Write) -> Fallible<()> {
    let woken =
        sqlx::query(include_str!("../queries/wake_forgotten.sql")).execute(&mut write.connection).await?;
    if woken.rows_affected() > 0 {
        write.hint(Hint::Schedules(None));
    }
    Ok(())
}

fn stored(row: &SqliteRow) -> Fallible<StoredSchedule> {
    Ok(StoredSchedule {
        queue: get(row, "queue")?,
        job: get(row, "job")?,
        name: get(row, "name")?,
        version: get::<i64>(row, "version")?.unsigned_abs(),
        row: ScheduleRow {
            due_at: maybe_time(row, "due_at")?,
            wakes: get(row, "wakes")?,
            input: payload(row, "input_codec", "input")?,
            state: get(row, "state")?,
        },
        live: json::<Vec<RunId>>(row, "live")?,
    })
}

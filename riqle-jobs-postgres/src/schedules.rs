//! Keeps schedules (`Schedules`).

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    Enqueued, Error, Hint, NewRun, Queue, RunId, from_millis,
    store::{
        DueRequest, DueSchedules, ScheduleAnswer, ScheduleFilter, ScheduleRow, ScheduleWrite, Schedules,
        StoredSchedule,
    },
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{
    Postgres,
    batches::{HARDLY_WAIT, WAIT_A_MOMENT},
    enqueue::{Within, enqueue},
    error::{Failure, HeldUp, Result as Fallible},
    rows::{codec, get, maybe_time, millis, numbers, payload, position, size},
    work::Work,
};

#[async_trait]
impl Schedules for Postgres {
    async fn due_schedules(&self, request: DueRequest) -> Result<DueSchedules, Error> {
        self.ask("due_schedules", &request, |work, request| Box::pin(due_schedules(work, request))).await
    }

    async fn write_schedules(&self, writes: Vec<ScheduleWrite>) -> Result<Vec<ScheduleAnswer>, Error> {
        let runs: Vec<_> = writes.iter().filter_map(|write| write.run.clone()).collect();
        self.shared.limits.check_runs("write_schedules", &runs)?;
        let mut answers = vec![ScheduleAnswer::Stale; writes.len()];
        let mut parts: Vec<Range<usize>> = std::iter::once(0..writes.len()).collect();
        while let Some(part) = parts.pop() {
            let wait = if part.len() == writes.len() { WAIT_A_MOMENT } else { HARDLY_WAIT };
            let question = (&writes[part.clone()], wait);
            let written = self.change("write_schedules", &question, |work, (writes, wait)| {
                Box::pin(async move {
                    if writes.iter().filter_map(|write| write.run.as_ref()).any(NewRun::has_key) {
                        work.query(wait).execute(&mut *work.connection).await?;
                    }
                    write_all(work, writes).await
                })
            });
            match written.await {
                Ok(of_part) => answers[part].copy_from_slice(&of_part),
                Err(error) if !HeldUp::is_cause_of(&error) => return Err(error),
                // Halved until the one whose unique key an open transaction holds stands alone: it has its turn later.
                Err(_) if part.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
                Err(_) => {}
            }
        }
        Ok(answers)
    }

    async fn wall_time(&self) -> Result<Timestamp, Error> {
        self.now().await
    }

    async fn schedule(&self, job: &str, name: &str) -> Result<Option<StoredSchedule>, Error> {
        self.ask("schedule", &(job.to_owned(), name.to_owned()), |work, (job, name)| {
            let select = "SELECT * FROM riqle.schedules s, riqle.live_runs(s.job, s.name) AS live WHERE s.job = $1 AND s.name = $2";
            let query = work.query(select).bind(job.clone()).bind(name.clone());
            Box::pin(async move { query.fetch_optional(&mut *work.connection).await?.as_ref().map(stored).transpose() })
        })
        .await
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<StoredSchedule>, Error> {
        self.ask("schedules", &filter, |work, filter| {
            let (job, name) = filter.after.clone().unwrap_or_default();
            let query = work
                .query(include_str!("../queries/schedules.sql"))
                .bind(job)
                .bind(name)
                .bind(filter.job.clone())
                .bind(filter.prefix.clone())
                .bind(size(filter.page()));
            Box::pin(
                async move { query.fetch_all(&mut *work.connection).await?.iter().map(stored).collect() },
            )
        })
        .await
    }

    async fn gather_schedules(&self, job: &str, queue: &str) -> Result<(), Error> {
        self.ask("gather_schedules", &(job.to_owned(), queue.to_owned()), |work, (job, queue)| {
            let gather = work
                .query(include_str!("../queries/gather_schedules.sql"))
                .bind(job.clone())
                .bind(queue.clone());
            Box::pin(async move {
                if gather.execute(&mut *work.connection).await?.rows_affected() > 0 {
                    work.hint(Hint::Schedules(Some(queue.clone())));
                }
                Ok(())
            })
        })
        .await
    }
}

async fn due_schedules(work: &mut Work<'_>, request: &DueRequest) -> Fallible<DueSchedules> {
    let rows = work
        .timed(include_str!("../queries/due_schedules.sql"))
        .bind(request.queue.clone())
        .bind(request.jobs.to_vec())
        .bind(size(request.limit).saturating_add(1))
        .fetch_all(&mut *work.connection)
        .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (now, next) = (from_millis(get(first, "now")?), maybe_time(first, "next_due")?);
    let mut schedules = Vec::with_capacity(rows.len());
    for row in &rows {
        if get::<Option<String>>(row, "name")?.is_some() {
            schedules.push(stored(row)?);
        }
    }
    let next_due = schedules.get(request.limit).map_or(next, |next| next.row.due_at);
    schedules.truncate(request.limit);
    Ok(DueSchedules { schedules, next_due, now })
}

/// All, or an error.
async fn write_all(work: &mut Work<'_>, writes: &[ScheduleWrite]) -> Fallible<Vec<ScheduleAnswer>> {
    let mut answers = vec![ScheduleAnswer::Stale; writes.len()];
    let (mut to_write, mut found) = (Vec::new(), lock(work, writes).await?);
    for (n, write) in writes.iter().enumerate() {
        let version = match found.remove(&n) {
            Some(Locked::Ours(version)) => Some(version),
            // It has its turn later.
            Some(Locked::OfOthers) => continue,
            None => None,
        };
        match write.answer_without_writing(version) {
            Some(answer) => answers[n] = answer,
            None => to_write.push(n),
        }
    }
    drop_stale(work, writes, &mut to_write).await?;
    for n in &to_write {
        answers[*n] = ScheduleAnswer::Written(None);
    }
    write_rows(work, to_write.iter().map(|n| &writes[*n]).collect()).await?;
    let runs: Vec<(usize, &NewRun)> =
        to_write.iter().filter_map(|n| Some((*n, writes[*n].run.as_ref()?))).collect();
    let groups: Vec<&[NewRun]> = runs.iter().map(|(_, run)| std::slice::from_ref(*run)).collect();
    for ((n, _), answer) in runs.iter().zip(enqueue(work, Within::Ours, &groups).await?) {
        let answer: Option<Enqueued> = answer.map_err(Failure::from)?.first().copied();
        answers[*n] = ScheduleAnswer::Written(answer);
    }
    for n in to_write {
        if let ScheduleAnswer::Written(run) = answers[n] {
            writes[n].hints(run).for_each(|hint| work.hint(hint));
        }
    }
    Ok(answers)
}

/// Those that wait for a run that has ended are not to be written. They are locked: a run that lives here ends behind this
/// transaction, and wakes them.
async fn drop_stale(
    work: &mut Work<'_>,
    writes: &[ScheduleWrite],
    to_write: &mut Vec<usize>,
) -> Fallible<()> {
    let waited_for =
        to_write.iter().flat_map(|n| writes[*n].waits_for().iter().map(|run| (*n, run.as_uuid())));
    let (places, runs): (Vec<_>, Vec<_>) = waited_for.map(|(n, run)| (size(n), run)).unzip();
    if runs.is_empty() {
        return Ok(());
    }
    let ended = work
        .query(include_str!("../queries/ended_runs.sql"))
        .bind(places)
        .bind(runs)
        .fetch_all(&mut *work.connection)
        .await?;
    let stale = ended.iter().map(position).collect::<Fallible<HashSet<_>>>()?;
    to_write.retain(|n| !stale.contains(n));
    Ok(())
}

/// A schedule that is there.
enum Locked {
    /// By this transaction, at this version.
    Ours(u64),
    OfOthers,
}

/// Locks those that are there and that no other transaction has.
async fn lock(work: &mut Work<'_>, writes: &[ScheduleWrite]) -> Fallible<HashMap<usize, Locked>> {
    let rows = work
        .query(include_str!("../queries/lock_schedules.sql"))
        .bind(numbers(writes.len()))
        .bind(writes.iter().map(|write| write.job.clone()).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| write.name.clone()).collect::<Vec<_>>())
        .fetch_all(&mut *work.connection)
        .await?;
    let locked = |row: &PgRow| {
        let version = get::<Option<i64>>(row, "version")?;
        Ok((position(row)?, version.map_or(Locked::OfOthers, |version| Locked::Ours(version.unsigned_abs()))))
    };
    rows.iter().map(locked).collect()
}

pub(crate) async fn write_rows(work: &mut Work<'_>, writes: Vec<&ScheduleWrite>) -> Fallible<()> {
    let (kept, gone): (Vec<_>, Vec<_>) = writes.into_iter().partition(|write| write.row.is_some());
    if !gone.is_empty() {
        let delete = work
            .query(
                "DELETE FROM riqle.schedules WHERE (job, name) IN (SELECT * FROM unnest($1::text[], $2::text[]) AS v(job, name))",
            )
            .bind(gone.iter().map(|write| write.job.clone()).collect::<Vec<_>>())
            .bind(gone.iter().map(|write| write.name.clone()).collect::<Vec<_>>());
        work.run(delete).await?;
    }
    if kept.is_empty() {
        return Ok(());
    }
    fn column<T>(kept: &[&ScheduleWrite], value: impl Fn(&ScheduleWrite, &ScheduleRow) -> T) -> Vec<T> {
        kept.iter().filter_map(|write| Some(value(write, write.row.as_ref()?))).collect()
    }
    let number = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    let row = work
        .query(include_str!("../queries/write_schedules.sql"))
        .bind(column(&kept, |write, _| write.job.clone()))
        .bind(column(&kept, |write, _| write.name.clone()))
        .bind(column(&kept, |write, _| write.queue.clone()))
        .bind(column(&kept, |write, _| number(write.version)))
        .bind(column(&kept, |_, row| row.due_at.map(millis)))
        .bind(column(&kept, |_, row| row.wakes))
        .bind(column(&kept, |_, row| codec(row.input.codec)))
        .bind(column(&kept, |_, row| row.input.bytes.clone()))
        .bind(column(&kept, |_, row| row.state.clone()))
        .bind(column(&kept, |write, _| write.expects.map(number)))
        .fetch_one(&mut *work.connection)
        .await?;
    // Another caller has added one in between.
    if get::<i64>(&row, "written")? < size(kept.len()) { Err(Failure::Outrun) } else { Ok(()) }
}

/// Makes due those that wait for the end of a run, and of which none lives.
pub(crate) async fn wake_forgotten(work: &mut Work<'_>) -> Fallible<()> {
    let wake = work.query(include_str!("../queries/wake_forgotten.sql"));
    if wake.execute(&mut *work.connection).await?.rows_affected() > 0 {
        work.hint(Hint::Schedules(None));
    }
    Ok(())
}

fn stored(row: &PgRow) -> Fallible<StoredSchedule> {
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
        live: get::<Vec<Uuid>>(row, "live")?.into_iter().map(RunId::from_uuid).collect(),
    })
}

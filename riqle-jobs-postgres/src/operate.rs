//! What operators do to runs, queues and workers (`Operate`).

use async_trait::async_trait;
use riqle_jobs_core::{
    Error, ErrorKind, Hint, Operate, Payload, Replay, ReplayFrom, Retention, Run, RunId, RunState, Timestamp,
    WorkerId, from_millis,
    store::{
        Pause, Pruned, WorkerOrder,
        rules::{Operation, Todo},
    },
};
use sqlx::Row;

use crate::{
    Postgres,
    enqueue::Within,
    error::{Failure, Result as Fallible},
    inspect::find_run,
    registry::order_worker,
    rows::{codec, maybe_run_id},
    work::Work,
};

#[async_trait]
impl Operate for Postgres {
    async fn replay(&self, id: RunId, new_run: RunId, how: Replay) -> Result<(), Error> {
        self.shared.limits.check_replay(&how)?;
        self.change("replay", &(id, new_run, how), |work, (id, new_run, how)| {
            Box::pin(replay(work, *id, *new_run, how))
        })
        .await
    }

    async fn cancel(&self, id: RunId) -> Result<(), Error> {
        self.change("cancel", &id, |work, id| {
            Box::pin(async move { cancel(work, Within::Ours, *id).await.map(drop) })
        })
        .await
    }

    async fn run_now(&self, id: RunId) -> Result<(), Error> {
        self.change("run_now", &id, |work, id| Box::pin(run_now(work, *id))).await
    }

    async fn pause_queue(&self, queue: &str, by: &str, why: &str) -> Result<(), Error> {
        // Checked and cleaned before it is sent; the time is the statement's.
        let pause = Pause::new(queue, by, why, riqle_jobs_core::Timestamp::UNIX_EPOCH)?;
        self.ask("pause_queue", &(queue.to_owned(), pause), |work, (queue, pause)| {
            let query = work
                .timed(include_str!("../queries/pause_queue.sql"))
                .bind(queue.clone())
                .bind(pause.by.clone())
                .bind(pause.why.clone());
            Box::pin(work.run(query))
        })
        .await
    }

    async fn resume_queue(&self, queue: &str) -> Result<(), Error> {
        self.ask("resume_queue", &queue.to_owned(), |work, queue| Box::pin(resume_queue(work, queue))).await
    }

    async fn order_worker(&self, worker: WorkerId, order: WorkerOrder) -> Result<(), Error> {
        self.ask("order_worker", &(worker, order), |work, (worker, order)| {
            Box::pin(order_worker(work, *worker, *order))
        })
        .await
    }

    async fn discard(&self, id: RunId) -> Result<(), Error> {
        self.change("discard", &id, |work, id| Box::pin(discard(work, *id))).await
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        self.prune_all(&retention).await
    }
}

/// The store's time, in milliseconds.
pub(crate) async fn now(work: &mut Work<'_>) -> Fallible<i64> {
    Ok(work.timed("SELECT riqle.now($1)").fetch_one(&mut *work.connection).await?.try_get(0)?)
}

async fn replay(work: &mut Work<'_>, id: RunId, new_run: RunId, how: &Replay) -> Fallible<()> {
    lock(work, id).await?;
    let run = known_run(work, "replay", id).await?;
    if checked(Operation::Replay { new_run }, &run, Timestamp::MIN)? == Todo::Done {
        return Ok(());
    }
    check_replay(work, &run, new_run).await?;
    let kept_below = match &how.from {
        ReplayFrom::FailedStep => i64::MAX,
        ReplayFrom::Start => 0,
        ReplayFrom::Step(path) => {
            let first = work
                .query("SELECT min(number) FROM riqle.steps WHERE run = $1 AND name = $2")
                .bind(id.as_uuid())
                .bind(path.as_str())
                .fetch_one(&mut *work.connection)
                .await?;
            first.try_get::<Option<i64>, _>(0)?.unwrap_or(i64::MAX)
        }
    };
    if run.state == RunState::Dead {
        work.query(include_str!("../queries/leave_dead.sql"))
    } else {
        work.query("UPDATE riqle.history SET replayed_by = $2 WHERE id = $1")
    }
    .bind(id.as_uuid())
    .bind(new_run.as_uuid())
    .execute(&mut *work.connection)
    .await?;
    let input = how.input.as_ref();
    let fingerprint = input.map(|input| Payload::fingerprint(input).0.to_vec());
    if run.unique_key.is_some() {
        let taken = work
            .timed(include_str!("../queries/replay_key.sql"))
            .bind(id.as_uuid())
            .bind(new_run.as_uuid())
            .bind(fingerprint.clone())
            .execute(&mut *work.connection)
            .await?;
        if taken.rows_affected() == 0 {
            return Err(Failure::Outrun);
        }
    }
    work.timed(include_str!("../queries/replay.sql"))
        .bind(id.as_uuid())
        .bind(new_run.as_uuid())
        .bind(kept_below)
        .bind(fingerprint)
        .bind(input.map(|input| codec(input.codec)))
        .bind(input.map(|input| input.bytes.clone()))
        .execute(&mut *work.connection)
        .await?;
    work.hint(Hint::Due(Some(run.queue)));
    Ok(())
}

async fn check_replay(work: &mut Work<'_>, run: &Run, new_run: RunId) -> Fallible<()> {
    if find_run(work, new_run).await?.is_some() {
        return Err(Failure::from((Operation::Replay { new_run }).rejected(new_run, "already exists")));
    }
    let holder = work
        .timed(
            "SELECT run FROM riqle.unique_keys
             WHERE job = $2 AND key = $3 AND run <> $4 AND (expires_at IS NULL OR expires_at > riqle.now($1))",
        )
        .bind(run.job.clone())
        .bind(run.unique_key.clone())
        .bind(run.id.as_uuid())
        .fetch_optional(&mut *work.connection)
        .await?;
    match holder.map(|row| maybe_run_id(&row, "run")).transpose()?.flatten() {
        Some(holder) => {
            let message = format!("the unique key of run {} is taken by run {holder}", run.id);
            Err(Failure::from(Error::new(ErrorKind::Conflict, "replay", message)))
        }
        None => Ok(()),
    }
}

/// Answers the run's schedule, if the caller's transaction is to have it looked at: neither a tick nor another run's end is to
/// wait for that.
pub(crate) async fn cancel(
    work: &mut Work<'_>,
    within: Within<'_>,
    id: RunId,
) -> Fallible<Option<ScheduleOfRun>> {
    lock(work, id).await?;
    let run = known_run(work, "cancel", id).await?;
    if checked(Operation::Cancel, &run, Timestamp::MIN)? == Todo::Done {
        return Ok(None);
    }
    let mut to_look_at = None;
    if let Some(tick) = &run.tick {
        match within {
            // Before its key, as where a tick is written.
            Within::Ours => {
                let ended =
                    "SELECT riqle.runs_ended(ARRAY[lane], ARRAY[schedule]) FROM riqle.runs WHERE id = $1";
                work.run(work.query(ended).bind(id.as_uuid())).await?;
            }
            Within::Callers(_) => {
                let (job, queue) = (run.job.clone(), run.queue.clone());
                to_look_at = Some(ScheduleOfRun { job, queue, name: tick.schedule.clone() });
            }
        }
        work.hint(Hint::Schedules(None));
    }
    work.timed(include_str!("../queries/cancel.sql"))
        .bind(id.as_uuid())
        .execute(&mut *work.connection)
        .await?;
    if run.state == RunState::Running {
        work.hint(Hint::Cancelled(id));
    }
    Ok(to_look_at)
}

/// What started a run.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ScheduleOfRun {
    pub(crate) job: String,
    pub(crate) queue: String,
    pub(crate) name: String,
}

async fn run_now(work: &mut Work<'_>, id: RunId) -> Fallible<()> {
    lock(work, id).await?;
    let run = known_run(work, "run_now", id).await?;
    let now = now(work).await?;
    if checked(Operation::RunNow, &run, from_millis(now))? == Todo::Done {
        return Ok(());
    }
    work.query("UPDATE riqle.runs SET state = 'pending', due_at = $2 WHERE id = $1")
        .bind(id.as_uuid())
        .bind(now)
        .execute(&mut *work.connection)
        .await?;
    work.hint(Hint::Due(Some(run.queue)));
    Ok(())
}

async fn resume_queue(work: &mut Work<'_>, queue: &str) -> Fallible<()> {
    let resume = work.query(include_str!("../queries/resume_queue.sql")).bind(queue.to_owned());
    if resume.execute(&mut *work.connection).await?.rows_affected() > 0 {
        work.hint(Hint::Due(Some(queue.to_owned())));
    }
    Ok(())
}

async fn discard(work: &mut Work<'_>, id: RunId) -> Fallible<()> {
    lock(work, id).await?;
    let Some(run) = find_run(work, id).await? else { return Ok(()) };
    checked(Operation::Discard, &run, Timestamp::MIN)?;
    let discard = work.query(include_str!("../queries/discard.sql")).bind(id.as_uuid());
    work.run(discard).await
}

/// Locks a run in its table, so that what is then read of it stays true. One that moves meanwhile is looked up
/// again.
async fn lock(work: &mut Work<'_>, id: RunId) -> Fallible<()> {
    for table in [
        "SELECT 1 FROM riqle.runs WHERE id = $1 FOR UPDATE",
        "SELECT 1 FROM riqle.dead WHERE id = $1 FOR UPDATE",
        "SELECT 1 FROM riqle.history WHERE id = $1 FOR UPDATE",
    ] {
        let locked = work.query(table).bind(id.as_uuid()).fetch_optional(&mut *work.connection).await?;
        if locked.is_some() {
            break;
        }
    }
    Ok(())
}

async fn known_run(work: &mut Work<'_>, operation: &'static str, id: RunId) -> Fallible<Run> {
    let missing = || Failure::from(Error::new(ErrorKind::NotFound, operation, format!("no run {id}")));
    find_run(work, id).await?.ok_or_else(missing)
}

/// `now` counts for [`Operation::RunNow`] alone.
fn checked(operation: Operation, run: &Run, now: Timestamp) -> Fallible<Todo> {
    operation.check(&run.into(), now).map_err(Failure::from)
}

//! What operators do to runs, queues and workers (`Operate`).

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    Error, ErrorKind, Hint, Operate, Payload, Replay, ReplayFrom, Retention, Run, RunId, RunState, WorkerId,
    store::{
        Pause, Pruned, WorkerOrder,
        rules::{Operation, Todo},
    },
};
use sqlx::{Row, SqliteConnection};

use crate::{
    Sqlite,
    error::{Failure, Result as Fallible},
    inspect::find_run,
    registry::order_worker,
    rows::{maybe_run_id, millis},
    settle::release_keys,
    writer::Write,
};

#[async_trait]
impl Operate for Sqlite {
    async fn replay(&self, id: RunId, new_run: RunId, how: Replay) -> Result<(), Error> {
        self.shared.limits.check_replay(&how)?;
        let writer = &self.shared.writer;
        writer
            .change("replay", (id, new_run, how), |write, (id, new_run, how)| {
                Box::pin(replay(write, *id, *new_run, how))
            })
            .await
    }

    async fn cancel(&self, id: RunId) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("cancel", id, |write, id| {
                Box::pin(async {
                    let hint = cancel(&mut write.connection, *id, write.now).await?;
                    hint.into_iter().for_each(|hint| write.hint(hint));
                    Ok(())
                })
            })
            .await
    }

    async fn run_now(&self, id: RunId) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer.change("run_now", id, |write, id| Box::pin(run_now(write, *id))).await
    }

    async fn pause_queue(&self, queue: &str, by: &str, why: &str) -> Result<(), Error> {
        // Checked and cleaned before it is sent; the time is the writer's.
        let pause = Pause::new(queue, by, why, Timestamp::default())?;
        let writer = &self.shared.writer;
        writer
            .change("pause_queue", (queue.to_owned(), pause), |write, (queue, pause)| {
                let query = sqlx::query(include_str!("../queries/pause_queue.sql"))
                    .bind(queue)
                    .bind(millis(write.now))
                    .bind(&pause.by)
                    .bind(&pause.why);
                Box::pin(write.run(query))
            })
            .await
    }

    async fn resume_queue(&self, queue: &str) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("resume_queue", queue.to_owned(), |write, queue| Box::pin(resume_queue(write, queue)))
            .await
    }

    async fn order_worker(&self, worker: WorkerId, order: WorkerOrder) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("order_worker", (worker, order), |write, (worker, order)| {
                Box::pin(order_worker(&mut write.connection, *worker, *order))
            })
            .await
    }

    async fn discard(&self, id: RunId) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer.change("discard", id, |write, id| Box::pin(discard(write, *id))).await
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        self.prune_all(retention).await
    }
}

async fn replay(write: &mut Write, id: RunId, new_run: RunId, how: &Replay) -> Fallible<()> {
    let run = known_run(&mut write.connection, "replay", id).await?;
    if checked(Operation::Replay { new_run }, &run, write.now)? == Todo::Done {
        return Ok(());
    }
    check_replay(write, &run, new_run).await?;
    let kept_below = match &how.from {
        ReplayFrom::FailedStep => i64::MAX,
        ReplayFrom::Start => 0,
        ReplayFrom::Step(path) => {
            let first = sqlx::query("SELECT min(number) FROM riqle_steps WHERE run = ?1 AND name = ?2")
                .bind(id.as_uuid())
                .bind(path.as_str())
                .fetch_one(&mut write.connection)
                .await?;
            first.try_get::<Option<i64>, _>(0)?.unwrap_or(i64::MAX)
        }
    };
    let input = how.input.as_ref();
    sqlx::query(include_str!("../queries/replay.sql"))
        .bind(id.as_uuid())
        .bind(new_run.as_uuid())
        .bind(millis(write.now))
        .bind(kept_below)
        .bind(input.map(|input| Payload::fingerprint(input).0.to_vec()))
        .bind(input.map(|input| input.codec.0))
        .bind(input.map(|input| &input.bytes))
        .execute(&mut write.connection)
        .await?;
    write.hint(Hint::Due(Some(run.queue)));
    Ok(())
}

async fn check_replay(write: &mut Write, run: &Run, new_run: RunId) -> Fallible<()> {
    if find_run(&mut write.connection, new_run).await?.is_some() {
        return Err(Failure::from((Operation::Replay { new_run }).rejected(new_run, "already exists")));
    }
    let holder = sqlx::query(
        "SELECT run FROM riqle_unique
         WHERE job = ?1 AND key = ?2 AND run <> ?3 AND (expires_at IS NULL OR expires_at > ?4)",
    )
    .bind(&run.job)
    .bind(&run.unique_key)
    .bind(run.id.as_uuid())
    .bind(millis(write.now))
    .fetch_optional(&mut write.connection)
    .await?;
    match holder.map(|row| maybe_run_id(&row, "run")).transpose()?.flatten() {
        Some(holder) => {
            let message = format!("the unique key of run {} is taken by run {holder}", run.id);
            Err(Failure::from(Error::new(ErrorKind::Conflict, "replay", message)))
        }
        None => Ok(()),
    }
}

/// Answers with what the workers are to be told after the commit.
pub(crate) async fn cancel(
    connection: &mut SqliteConnection,
    id: RunId,
    now: Timestamp,
) -> Fallible<Vec<Hint>> {
    let run = known_run(connection, "cancel", id).await?;
    if checked(Operation::Cancel, &run, now)? == Todo::Done {
        return Ok(Vec::new());
    }
    if run.unique_key.is_some() {
        let ends_with_run =
            sqlx::query("SELECT 1 FROM riqle_runs WHERE id = ?1 AND unique_scope <> 'period'")
                .bind(id.as_uuid())
                .fetch_optional(&mut *connection)
                .await?;
        if ends_with_run.is_some() {
            release_keys(connection, &[id]).await?;
        }
    }
    sqlx::query(include_str!("../queries/cancel.sql"))
        .bind(id.as_uuid())
        .bind(millis(now))
        .execute(&mut *connection)
        .await?;
    let running = (run.state == RunState::Running).then_some(Hint::Cancelled(id));
    let scheduled = run.tick.map(|_| Hint::Schedules(None));
    Ok([running, scheduled].into_iter().flatten().collect())
}

async fn run_now(write: &mut Write, id: RunId) -> Fallible<()> {
    let run = known_run(&mut write.connection, "run_now", id).await?;
    if checked(Operation::RunNow, &run, write.now)? == Todo::Done {
        return Ok(());
    }
    sqlx::query("UPDATE riqle_runs SET state = 'pending', due_at = ?2, at = NULL WHERE id = ?1")
        .bind(id.as_uuid())
        .bind(millis(write.now))
        .execute(&mut write.connection)
        .await?;
    write.hint(Hint::Due(Some(run.queue)));
    Ok(())
}

async fn resume_queue(write: &mut Write, queue: &str) -> Fallible<()> {
    let resumed = sqlx::query(include_str!("../queries/resume_queue.sql"))
        .bind(queue)
        .execute(&mut write.connection)
        .await?;
    if resumed.rows_affected() > 0 {
        write.hint(Hint::Due(Some(queue.to_owned())));
    }
    Ok(())
}

async fn discard(write: &mut Write, id: RunId) -> Fallible<()> {
    let Some(run) = find_run(&mut write.connection, id).await? else { return Ok(()) };
    checked(Operation::Discard, &run, write.now)?;
    Ok(sqlx::query(include_str!("../queries/discard.sql"))
        .bind(id.as_uuid())
        .execute(&mut write.connection)
        .await
        .map(drop)?)
}

async fn known_run(connection: &mut SqliteConnection, operation: &'static str, id: RunId) -> Fallible<Run> {
    let missing = || Failure::from(Error::new(ErrorKind::NotFound, operation, format!("no run {id}")));
    find_run(connection, id).await?.ok_or_else(missing)
}

fn checked(operation: Operation, run: &Run, now: Timestamp) -> Fallible<Todo> {
    operation.check(&run.into(), now).map_err(Failure::from)
}
